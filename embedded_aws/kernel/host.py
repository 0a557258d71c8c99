"""What a service may use of the embedded AWS that it belongs to."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path


@dataclasses.dataclass
class Pace:
    """How long processes take here that take minutes on AWS, in seconds."""

    endpoint_change: float = 1.0
    endpoint_status_lag: float = 0.0  # how long DescribeEndpoint may still show the state before an update
    endpoint_config_lag: float = 0.0  # how long a new endpoint config may remain invisible
    health_check: float = 20.0  # the time limit for a container's first answer to a ping
    guardrail_wait: float = 2.0  # the time limit of each wait that a deployment config requests
    training_start: float = 0.1
    waiting: float = 1.0  # the duration of one second of a wait in a state machine or a delivery
    sleeping: float = 1.0  # the duration of one second of sleep in a function
    minute: float = 4.0  # the duration of one minute in the periods of alarms and schedules
    schedules: bool = True  # whether schedules run automatically, or only when a test calls `schedules.run`


@dataclasses.dataclass(frozen=True)
class Host:
    """A service's surroundings.

    `directory` holds the files of its processes. `exits` is closed when the embedded AWS stops, last in first out: a
    service that starts threads or processes ends them there.
    """

    directory: Path
    pace: Pace
    exits: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)
