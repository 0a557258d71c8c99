"""Measure the time that a promotion adds to SageMaker's own, on the embedded AWS: python -m benchmarks.overhead

The waits have their length on AWS. Two models are promoted one after the other: the functions of the first promotion
start cold, those of the second one are warm. The embedded AWS starts functions from a process that has imported their
packages, and its calls have no network between them, so the times are those of the processes alone.
"""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

if os.environ.get("AWS_CONFIG_FILE") != os.devnull:
    # moto reads the developer's credentials when it is imported. Nothing here may reach a real account.
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[variable]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.kernel.host import Pace
from sandbox import stacks
from tests.support.settings import register
from tests.support.world import QA, Lab, Stage

# How long the embedded SageMaker takes to create or update an endpoint.
DEPLOYMENT_SECONDS = 60.0
# The defaults of the template, which the sandbox shortens.
_WAITS = {"PollSeconds": "30", "RetrySeconds": "2", "MaxRetrySeconds": "60", "RecoveryWaitSeconds": "120"}
_WAITS |= {"RepositoryArns": "arn:aws:ecr:eu-west-1:111111111111:repository/echo"}


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        pace = Pace(endpoint_change=0.3, schedules=False)
        with EmbeddedAws(Path(directory), pace=pace):
            stacks.deploy(lambda _: None, _WAITS)
            stage, lab = Stage("qa", QA), Lab()
            lab.push("echo", "1")
            register(stage, "reviews")
            pace.endpoint_change = DEPLOYMENT_SECONDS
            for functions in ("cold", "warm"):
                _promote(stage, lab, functions)


def _promote(stage: Stage, lab: Lab, functions: str) -> None:
    with faults.watched() as calls:
        arn = stage.execution_of(lab.train("reviews", functions)).arn
    pages = stage.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    states = _durations(events)
    if states[-1][0] != "Promoted":
        sys.exit(f"The promotion ended in the state {states[-1][0]}.")
    whole = sum(duration for _, duration in states)
    until_published = sum(duration for name, duration in states[: _index(states, "Record publication")])
    print(
        f"\n{functions}: {until_published - DEPLOYMENT_SECONDS:.1f} s until the event of the success, in addition to "
        f"the {DEPLOYMENT_SECONDS:.0f} s of SageMaker; {whole:.1f} s in all"
    )
    for name, duration in states:
        print(f"{duration:8.2f} s  {name}")
    made = Counter((call.principal.rpartition("-")[0].rpartition("/")[2], call.service) for call in calls)
    for (role, service), number in sorted(made.items()):
        print(f"{number:8}  {role} {service}")


def _durations(events: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return the seconds between the entry into each state and into the next one."""
    entered = [
        (event["stateEnteredEventDetails"]["name"], event["timestamp"])
        for event in events
        if "stateEnteredEventDetails" in event
    ]
    times: list[datetime.datetime] = [time for _, time in entered] + [events[-1]["timestamp"]]
    return [(name, (times[number + 1] - time).total_seconds()) for number, (name, time) in enumerate(entered)]


def _index(states: list[tuple[str, float]], name: str) -> int:
    return [each for each, _ in states].index(name)


if __name__ == "__main__":
    main()
