"""A worker process with its own embedded AWS, which runs one trial after another."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

if os.environ.get("AWS_CONFIG_FILE") != os.devnull:
    # moto reads the developer's credentials when it is imported. No trial may reach a real account.
    for _variable in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[_variable]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel.host import Pace
from tests.faults import matrix
from tests.faults.judging import Result
from tests.faults.matrix import Case
from tests.faults.world import World
from tests.support.world import deploy

_world: World


def begin() -> None:
    global _world
    directory = tempfile.TemporaryDirectory()
    aws = EmbeddedAws(
        Path(directory.name), pace=Pace(endpoint_change=0.3, waiting=0.1, sleeping=0.1, schedules=False)
    ).start()
    atexit.register(directory.cleanup)
    atexit.register(aws.stop)
    deploy()
    _world = World(f"p{os.getpid()}", aws)


def cases(scenario: str) -> list[Case]:
    return matrix.cases(scenario, _world)


def run(case: Case) -> Result:
    try:
        return matrix.run_case(case, _world)
    except Exception as error:  # noqa: BLE001 - the other trials continue
        return Result("broken", [f"the trial itself failed: {type(error).__name__}: {error}"], 0)
