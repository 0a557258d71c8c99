from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from promotion.errors import PromotionRefusedError, ThrottledError, TransientError
from promotion.step import step
from tests.support.lambda_context import CONTEXT
from tests.support.s3_faults import client_error


def run(failure: Exception | None = None) -> dict[str, Any]:
    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if failure:
            raise failure
        return {"seen": event}

    return step(handle)({"a": 1}, CONTEXT)


def test_a_step_returns_what_its_handler_returns() -> None:
    assert run() == {"seen": {"a": 1}}


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (client_error("ThrottlingException", "Rate exceeded", "DescribeEndpoint"), "DescribeEndpoint: Throttling"),
        (client_error("SlowDown", "Reduce", "PutObject"), "PutObject: SlowDown: Reduce"),
        (client_error("InternalServerError", "", "GetItem"), "GetItem: InternalServerError"),
        (EndpointConnectionError(endpoint_url="https://sagemaker"), "Could not connect to the endpoint URL"),
        (ReadTimeoutError(endpoint_url="https://sagemaker"), "Read timeout on endpoint URL"),
    ],
)
def test_a_transient_aws_error_becomes_a_transient_error(failure: Exception, words: str) -> None:
    with pytest.raises(TransientError, match=words):
        run(failure)


@pytest.mark.parametrize(
    "failure",
    [
        client_error("AccessDeniedException", "not authorized"),
        client_error("ValidationException", 'Could not find endpoint "e".'),
        PromotionRefusedError("no"),
        KeyError("a bug"),
    ],
)
def test_any_other_error_is_raised_under_its_own_name(failure: Exception) -> None:
    with pytest.raises(type(failure)) as error:
        run(failure)

    assert error.value is failure


def test_only_a_throttled_call_is_retried_for_long() -> None:
    with pytest.raises(ThrottledError):
        run(client_error("ThrottlingException", "Rate exceeded", "DescribeEndpoint"))
    with pytest.raises(TransientError) as error:
        run(client_error("InternalFailure", "", "DescribeEndpoint"))
    assert type(error.value) is TransientError
