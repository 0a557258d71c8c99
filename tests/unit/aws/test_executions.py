import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.aws.executions import has_succeeded, is_running, name
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


def test_a_name_says_what_the_execution_is_about_and_is_that_of_its_cause() -> None:
    first = name("reviews-again", EXECUTION)

    assert re.fullmatch(r"reviews-again-[0-9a-f]{12}", first)
    assert name("reviews-again", EXECUTION) == first
    assert name("reviews-again", EXECUTION + "2") != first
    assert name("recovery-reviews-qa", EXECUTION, "2026112811") == f"recovery-reviews-qa-{first[-12:]}-2026112811"


@pytest.mark.parametrize("subject", ["a" * 200, "missed-reviews/3", "missed-größe 1", "a:b c"])
def test_a_name_has_at_most_80_characters_that_do_not_prevent_logging(subject: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name(subject, EXECUTION, "2026112811"))
    assert name(subject, EXECUTION).startswith(re.sub(r"[^A-Za-z0-9_-]+", "-", subject)[:8])
