"""Executions of a stage's state machine: start one, follow it to its end, and explain its result."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import time
from collections.abc import Callable
from typing import Any

from command.stage import Stage
from promotion.errors import InvalidRequestError
from promotion.source import request

PAUSE_SECONDS = 2.0
"""The interval at which a running execution is checked."""

# The last states of an execution that did what was requested, or found that it is done.
_SUCCEEDED = {
    "Already live",
    "Approval requested",
    "Not deployed again",
    "Nothing to recover",
    "Planned again",
    "Previewed",
    "Promoted",
    "Recovered",
}
_ARN = re.compile(r"arn:[a-z-]+:sagemaker:[a-z0-9-]+:(\d{12}):")
_WOULD_SUCCEED = {"already_live", "approval_requested", "promoted"}


@dataclasses.dataclass(frozen=True)
class Result:
    """The end of an execution: its last state, and its output or its error and cause."""

    execution: str
    state: str
    output: Any = None
    error: str | None = None
    cause: str | None = None

    @property
    def has_succeeded(self) -> bool:
        """Whether the execution did what was requested; a preview, whether the promotion would."""
        if self.state == "Previewed":
            return self.output.get("would_be") in _WOULD_SUCCEED
        return self.state in _SUCCEEDED

    @property
    def reason(self) -> str:
        """The reason for the result, as the execution gives it."""
        members = self.output if isinstance(self.output, dict) else {}
        return str(self.cause or members.get("reason") or members.get("why") or members.get("summary") or "")


def start(stage: Stage, given: dict[str, Any], subject: str) -> str:
    """Start an execution with an input and return its ARN; its name begins with `subject`."""
    now = datetime.datetime.now(datetime.UTC)
    # The name of an execution has up to 80 letters, digits, hyphens and underscores (StartExecution).
    name = re.sub(r"[^a-zA-Z0-9_-]+", "-", subject)[:60].strip("-")
    answer = stage.client("stepfunctions").start_execution(
        stateMachineArn=stage.state_machine, name=f"{name}-{now:%Y%m%d%H%M%S%f}"[:80], input=json.dumps(given)
    )
    return str(answer["executionArn"])


def follow(stage: Stage, execution: str, entered: Callable[[str], None]) -> Result:
    """Wait for the end of an execution and return it; call `entered` with each state once, when it is entered."""
    client, last, known = stage.client("stepfunctions"), 0, set()
    while True:
        # The status is read before the history, so that the history of an ended execution is complete.
        description = client.describe_execution(executionArn=execution)
        events = _events_since(client, execution, last)
        last = max([last, *(event["id"] for event in events)])
        states = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
        for state in states:
            if state not in known:
                known.add(state)
                entered(state)
        if description["status"] != "RUNNING":
            return ended(stage, description)
        time.sleep(PAUSE_SECONDS)


def ended(stage: Stage, description: dict[str, Any]) -> Result:
    """Return the result of an ended execution, from its DescribeExecution response."""
    arn, output = description["executionArn"], description.get("output")
    return Result(
        arn,
        last_state(stage, arn) if description["status"] in ("SUCCEEDED", "FAILED") else description["status"],
        json.loads(output) if output else None,
        description.get("error"),
        description.get("cause"),
    )


def last_state(stage: Stage, execution: str) -> str:
    """Return the state that an execution has entered last, or "" before the first one."""
    newest = stage.client("stepfunctions").get_execution_history(
        executionArn=execution, reverseOrder=True, maxResults=25, includeExecutionData=False
    )
    names = [
        event["stateEnteredEventDetails"]["name"] for event in newest["events"] if "stateEnteredEventDetails" in event
    ]
    return str(names[0]) if names else ""


def running(stage: Stage) -> list[dict[str, Any]]:
    """Return the running executions: `execution`, `name`, `started_at` (a datetime), `state` and `subject`."""
    client = stage.client("stepfunctions")
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=stage.state_machine, statusFilter="RUNNING"
    )
    return [
        {
            "execution": each["executionArn"],
            "name": each["name"],
            "started_at": each["startDate"],
            "state": last_state(stage, each["executionArn"]),
            "subject": _subject(stage, client.describe_execution(executionArn=each["executionArn"]).get("input")),
        }
        for page in pages
        for each in page["executions"]
    ]


def _events_since(client: Any, execution: str, last: int) -> list[dict[str, Any]]:
    """Return the events of an execution after the event `last`, oldest first."""
    found: list[dict[str, Any]] = []
    pages = client.get_paginator("get_execution_history").paginate(
        executionArn=execution, reverseOrder=True, includeExecutionData=False
    )
    for page in pages:
        found += [event for event in page["events"] if event["id"] > last]
        if page["events"] and page["events"][-1]["id"] <= last:
            break
    return found[::-1]


def _subject(stage: Stage, text: str | None) -> str:
    """Return what an execution is about, according to its input: the name of a source or an endpoint, or ""."""
    try:
        given, arn = json.loads(text or "null"), _ARN.search(text or "")
        account = str(given.get("account") or (arn[1] if arn else "")) if isinstance(given, dict) else ""
        found = request.read(given, account, stage.account, stage.region)
    except (ValueError, InvalidRequestError):
        return ""
    match found:
        case request.Promote():
            return found.name
        case request.RollBack() | request.Recover():
            return found.endpoint or ""
    return ""
