"""Asking Step Functions about an execution."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def is_running(stepfunctions: Any, execution: str) -> bool:
    """Whether the execution of this ARN is running; one that Step Functions does not know is not."""
    try:
        return bool(stepfunctions.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return False
