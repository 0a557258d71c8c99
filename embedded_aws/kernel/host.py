"""The parts of the embedded AWS that its services may use."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from embedded_aws.kernel.quotas import Quotas


@dataclasses.dataclass
class Pace:
    """The durations, in seconds, of processes that take minutes on AWS."""

    endpoint_change: float = 1.0
    endpoint_status_lag: float = 0.0  # the time for which DescribeEndpoint shows the state before an update
    endpoint_config_lag: float = 0.0  # the time for which a new endpoint config remains invisible
    service_role_lag: float = 0.0  # the time for which a service cannot assume the role that it has created
    health_check: float = 20.0  # the time limit for a container's first response to a ping
    guardrail_wait: float = 2.0  # the time limit of each wait that a deployment config requests
    training_start: float = 0.1
    waiting: float = 1.0  # the duration of one second of a wait in a state machine or a delivery
    sleeping: float = 1.0  # the duration of one second of sleep in a function
    minute: float = 4.0  # the duration of one minute in the periods of alarms and schedules
    schedules: bool = True  # whether schedules run automatically, or only when a test calls `schedules.run`


@dataclasses.dataclass(frozen=True)
class Host:
    """The environment of a service.

    `directory` contains the files of its processes; `quotas` are enforced unless they are None. `exits` is closed when
    the embedded AWS stops, last in, first out: a service that starts threads or processes registers their end there.
    """

    directory: Path
    pace: Pace
    quotas: Quotas | None = None
    exits: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)
