"""The status of executions in Step Functions."""

from __future__ import annotations

from typing import Any

from promotion.aws.aws_errors import none_if_not_found


def is_running(stepfunctions: Any, execution: str) -> bool:
    """Return whether the execution with this ARN exists and is running."""
    return _status(stepfunctions, execution) == "RUNNING"


def has_succeeded(stepfunctions: Any, execution: str) -> bool:
    """Return whether the execution has succeeded, so that none of its functions can still be running."""
    return _status(stepfunctions, execution) == "SUCCEEDED"


def _status(stepfunctions: Any, execution: str) -> str | None:
    found = none_if_not_found(stepfunctions.describe_execution, executionArn=execution)
    return found["status"] if found else None
