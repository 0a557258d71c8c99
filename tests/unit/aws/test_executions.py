from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.aws.executions import has_succeeded, is_running
from tests.support.s3_faults import client_error

EXECUTION = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:first"


class StepFunctions:
    def __init__(self, answer: str | ClientError) -> None:
        self.answer = answer

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        if isinstance(self.answer, ClientError):
            raise self.answer
        return {"executionArn": executionArn, "status": self.answer}


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        ("RUNNING", True),
        ("SUCCEEDED", False),
        ("FAILED", False),
        ("TIMED_OUT", False),
        ("ABORTED", False),
        ("PENDING_REDRIVE", False),
    ],
)
def test_an_execution_is_running_only_in_the_running_status(status: str, runs: bool) -> None:
    assert is_running(StepFunctions(status), EXECUTION) is runs
    assert has_succeeded(StepFunctions(status), EXECUTION) is (status == "SUCCEEDED")


def test_an_unknown_execution_is_not_running() -> None:
    gone = client_error("ExecutionDoesNotExist", f"Execution Does Not Exist: '{EXECUTION}'")

    assert not is_running(StepFunctions(gone), EXECUTION)
    assert not has_succeeded(StepFunctions(gone), EXECUTION)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InvalidArn"])
def test_an_error_is_raised_if_the_status_cannot_be_read(code: str) -> None:
    with pytest.raises(ClientError, match=code):
        is_running(StepFunctions(client_error(code)), EXECUTION)
