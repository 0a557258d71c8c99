"""The status of executions in Step Functions."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from typing import Any

from promotion.aws.aws_errors import none_if_not_found


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


def start_again(stepfunctions: Any, execution: str, given: Any) -> str:
    """Start an execution with the input `given` of `execution`, once, and return its ARN."""
    name = f"again-{uuid.uuid5(uuid.NAMESPACE_URL, execution)}"
    start(stepfunctions, execution, name, given)
    return f"{execution.rsplit(':', 1)[0]}:{name}"


def _status(stepfunctions: Any, execution: str) -> str | None:
    found = find(stepfunctions, execution)
    return found.status if found else None
