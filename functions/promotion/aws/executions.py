"""Asking Step Functions about an execution."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def is_running(stepfunctions: Any, execution: str) -> bool:
    """Whether the execution of this ARN is running; one that Step Functions does not know is not."""
    return _status(stepfunctions, execution) == "RUNNING"


def has_succeeded(stepfunctions: Any, execution: str) -> bool:
    """Whether the execution came to its end, so that none of its functions can be running any more."""
    return _status(stepfunctions, execution) == "SUCCEEDED"


def _status(stepfunctions: Any, execution: str) -> str | None:
    try:
        return str(stepfunctions.describe_execution(executionArn=execution)["status"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return None
