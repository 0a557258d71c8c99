"""Compute the time that a promotion adds to SageMaker's own on AWS, and write it into docs/performance.md: `make docs`.

It is the time of the update of a live endpoint, from the end of the training job to the event of the success, without
the deployment itself. It follows from the path through the definition and the constants below.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

from embedded_aws.services.stepfunctions import jsonata
from tests.linter import Project

PAGE = Path(__file__).parent / "performance.md"
_TABLES = re.compile("<!-- overhead -->\n.*?<!-- end of the overhead -->", re.DOTALL)
_ASSUMED = "assumed"
_MEASURED = "measured, CPU time on the machine of the benchmark"


@dataclasses.dataclass(frozen=True)
class Constant:
    """A time in seconds, its meaning, and its source, or that it is assumed."""

    seconds: float
    meaning: str
    source: str = _ASSUMED


CONSTANTS = {
    "event": Constant(0.5, "EventBridge forwards the event to the stage's account and starts the execution"),
    "transition": Constant(0.03, "Step Functions enters a state"),
    "invocation": Constant(0.03, "Step Functions invokes a function whose environment exists"),
    "integration": Constant(0.05, "Step Functions itself calls DynamoDB or EventBridge"),
    "environment": Constant(0.4, "cold: Lambda creates an execution environment with 3 MB of code and starts Python"),
    "import": Constant(0.49, "cold: the function with most modules imports them from bytecode", _MEASURED),
    "client": Constant(0.06, "cold: a function creates its first client; the others take less", _MEASURED),
    "connection": Constant(0.05, "cold: a client opens its TLS connection"),
    "copy": Constant(1.5, "an artifact of 50 GB is copied", "measured, [below](#one-object-of-50-gb)"),
    "smoke test": Constant(1.0, "ten requests of a smoke test, one after the other"),
}
SLOWER = 1.5
"""The CPU time of a full vCPU of Lambda (arm64) in relation to the measured one; assumed."""

CALL_SECONDS = {
    "application-autoscaling": 0.1,
    "dynamodb": 0.01,
    "ecr": 0.1,
    "iam": 0.1,
    "monitoring": 0.05,
    "s3": 0.03,
    "sagemaker": 0.15,
    "ssm": 0.05,
    "sts": 0.05,
}
"""The time of a call of each service in the Region of the stage; assumed. The requests of the smoke test are extra."""

DEPLOYMENT_SECONDS = 300
"""The time of the deployment itself, with one instance; assumed. Only the waits between checks depend on it."""

_TAKEN = {
    "Recovery attempts exhausted?": "Resolve candidate",
    "Which request?": "Plan copy",
    "Preview only?": "Quality gate passed?",
    "Quality gate passed?": "Approval required?",
    "Approval required?": "Copy artifacts",
    "Images to copy?": "Create model",
    "Lock acquired?": "Inspect endpoint",
    "Update required?": "Create alarms",
    "Deployed?": "Run smoke test",
    "Smoke test passed?": "Resolve images",
}
"""The next state after each choice."""

_END = "Publish promotion"
_DURING_THE_DEPLOYMENT = "Wait for deployment to start"
_WAIT = "Wait for deployment"

CALLS = {
    "Resolve candidate": {"ssm": 1, "sts": 1, "sagemaker": 2},
    "Plan copy": {"dynamodb": 2, "ecr": 2, "iam": 1, "s3": 9, "sagemaker": 3, "sts": 1},
    "Check quality gate": {"dynamodb": 1},
    "Copy artifacts": {"s3": 4, "sts": 1},
    "Create model": {"sagemaker": 1},
    "Create endpoint config": {"sagemaker": 1},
    "Acquire endpoint lock": {"dynamodb": 1},
    "Inspect endpoint": {"application-autoscaling": 1, "dynamodb": 3, "s3": 1, "sagemaker": 4, "ssm": 1},
    "Create alarms": {"monitoring": 2, "sagemaker": 1},
    "Update endpoint": {"application-autoscaling": 1, "dynamodb": 1, "sagemaker": 5},
    "Check endpoint": {"sagemaker": 1},
    "Run smoke test": {"s3": 1, "sagemaker": 2},
    "Resolve images": {"sagemaker": 3},
    "Apply autoscaling": {"application-autoscaling": 1, "dynamodb": 2, "sagemaker": 2},
}
"""The calls of each function in an update on the embedded AWS, with those of the reader role."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A state with the number of its function's calls, and its time in seconds if its function is warm or cold."""

    state: str
    calls: int
    warm: float
    cold: float


def path(states: dict[str, Any]) -> list[str]:
    """Return the states of an update from the first one to the publication. Each is entered once."""
    found, state = [], "Recovery attempts exhausted?"
    while True:
        found.append(state)
        if state == _END:
            return found
        state = _TAKEN[state] if states[state]["Type"] == "Choice" else states[state]["Next"]


def rows() -> list[Row]:
    """Return the states with a time of their own, then the other ones as one row, and the detection."""
    states = _states()
    found, others = [], 0.0
    for name in path(states):
        state = states[name]
        others += CONSTANTS["transition"].seconds
        if state["Type"] == "Map":
            state = next(iter(state["ItemProcessor"]["States"].values()))
        if state["Type"] != "Task":
            continue
        if not state["Resource"].endswith(":lambda:invoke"):
            others += CONSTANTS["integration"].seconds
            continue
        found.append(_of_function(name))
    event = CONSTANTS["event"].seconds
    wait = detection_seconds()
    found.append(Row("The end of the deployment is noticed", 0, wait, wait))
    return [*found, Row("The event, and all other states", 0, event + others, event + others)]


def _of_function(name: str) -> Row:
    extra = {"Copy artifacts": CONSTANTS["copy"].seconds, "Run smoke test": CONSTANTS["smoke test"].seconds}
    calls = CALLS[name]
    warm = CONSTANTS["invocation"].seconds + extra.get(name, 0.0)
    warm += sum(number * CALL_SECONDS[service] for service, number in calls.items())
    processor = SLOWER * (CONSTANTS["import"].seconds + CONSTANTS["client"].seconds)
    start = CONSTANTS["environment"].seconds + processor + len(calls) * CONSTANTS["connection"].seconds
    return Row(name, sum(calls.values()), warm, warm + start)


def detection_seconds() -> float:
    """Return the longest time between the end of a deployment and the check that finds it, in seconds.

    This is the last wait, since the deployment may end right after a check.
    """
    ends = 1000 * 10**6
    known = {"deployment_ends": ends, "promotion": {"baking_seconds": 0}}
    limit = Project.read().parameters["DeploymentTimeoutSeconds"]["Default"]
    now = ends - 1000 * (limit - DEPLOYMENT_SECONDS)
    expression = _states()[_WAIT]["Seconds"].strip("{%} ").replace("$millis()", str(now))
    return float(jsonata.evaluate(expression, known))


def total() -> Row:
    """Return the sums of all rows."""
    found = rows()
    sums = (sum(getattr(row, column) for row in found) for column in ("calls", "warm", "cold"))
    return Row("**Together**", *sums)


def tables() -> str:
    """Return the times of the states and the constants as Markdown."""
    lines = ["| State | calls | warm, s | cold, s |", "|---|--:|--:|--:|"]
    for row in [*rows(), total()]:
        lines.append(f"| {row.state} | {row.calls or ''} | {row.warm:.2f} | {row.cold:.2f} |")
    lines += ["", "| Constant | seconds | Source |", "|---|--:|---|"]
    lines += [f"| {each.meaning} | {each.seconds:g} | {each.source} |" for each in CONSTANTS.values()]
    calls = ", ".join(f"{service} {seconds:g}" for service, seconds in CALL_SECONDS.items())
    lines.append(f"| a call of a service: {calls} | | {_ASSUMED} |")
    lines.append(f"| a vCPU of Lambda needs more time than the measured one, times | {SLOWER:g} | {_ASSUMED} |")
    lines.append(
        f"| a deployment, whose duration decides the wait before its last check | {DEPLOYMENT_SECONDS} | {_ASSUMED} |"
    )
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """Return `page` with the current tables between its marks."""
    return _TABLES.sub(lambda _: f"<!-- overhead -->\n{tables()}\n<!-- end of the overhead -->", page)


@functools.cache
def _states() -> dict[str, Any]:
    return dict(Project.read().definition["States"])


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
