"""The status of executions in Step Functions, and the names of those that functions start."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
from typing import Any

from promotion.aws.aws_errors import none_if_not_found

# API reference, StartExecution: at most 80 characters. Only these do not prevent CloudWatch Logs from logging them.
_MAXIMUM_LENGTH = 80
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")


@dataclasses.dataclass(frozen=True)
class Execution:
    """The status of an execution, and when it ended, None if it is running."""

    status: str
    ended_at: datetime.datetime | None


def find(stepfunctions: Any, execution: str) -> Execution | None:
    """Return the execution with this ARN, or None if it does not exist (or no longer exists, 90 days after its end)."""
    found = none_if_not_found(stepfunctions.describe_execution, executionArn=execution)
    return Execution(found["status"], found.get("stopDate")) if found else None


def is_running(stepfunctions: Any, execution: str) -> bool:
    """Return whether the execution with this ARN exists and is running."""
    return _status(stepfunctions, execution) == "RUNNING"


def has_succeeded(stepfunctions: Any, execution: str) -> bool:
    """Return whether the execution has succeeded, so that none of its functions can still be running."""
    return _status(stepfunctions, execution) == "SUCCEEDED"


def start(stepfunctions: Any, execution: str, name: str, given: Any) -> bool:
    """Start an execution by the state machine of `execution`; return False if there was one with this name already."""
    state_machine = execution.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    try:
        stepfunctions.start_execution(stateMachineArn=state_machine, name=name, input=json.dumps(given))
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        return False
    return True


def name(subject: str, cause: str, time: str = "") -> str:
    """Return the name `<subject>-<12 digits of the digest of the cause>[-<time>]` of an execution.

    The same cause has the same name, so that it starts one execution, at each time. A long subject is truncated.
    """
    digest = hashlib.sha256(cause.encode()).hexdigest()[:12]
    tail = "-".join(["", digest, *filter(None, [time])])
    return _OTHERS.sub("-", subject)[: _MAXIMUM_LENGTH - len(tail)] + tail


def start_again(stepfunctions: Any, execution: str, application: str, given: Any) -> str:
    """Start an execution with the input `given` of `execution`, once, and return its ARN."""
    again = name(f"{application}-again", execution)
    start(stepfunctions, execution, again, given)
    return f"{execution.rsplit(':', 1)[0]}:{again}"


def _status(stepfunctions: Any, execution: str) -> str | None:
    found = find(stepfunctions, execution)
    return found.status if found else None
