from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint.sagemaker import describe_endpoint
from tests.support.s3_faults import client_error, not_found


class SageMaker:
    def __init__(self, response: dict[str, Any] | ClientError) -> None:
        self.response = response

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        if isinstance(self.response, ClientError):
            raise self.response
        return {"EndpointName": EndpointName, **self.response}


def test_an_endpoint_is_described() -> None:
    assert describe_endpoint(SageMaker({"EndpointStatus": "InService"}), "reviews-qa") == {
        "EndpointName": "reviews-qa",
        "EndpointStatus": "InService",
    }


def test_a_missing_endpoint_is_none() -> None:
    assert describe_endpoint(SageMaker(not_found("endpoint", "reviews-qa")), "reviews-qa") is None


@pytest.mark.parametrize(
    "failure",
    [
        client_error("AccessDeniedException", "not authorized to perform: sagemaker:DescribeEndpoint"),
        client_error("ThrottlingException", "Rate exceeded"),
        client_error("ValidationException", "1 validation error detected"),
        client_error("InternalFailure"),
    ],
)
def test_other_errors_do_not_mean_that_an_endpoint_is_missing(failure: ClientError) -> None:
    with pytest.raises(ClientError) as error:
        describe_endpoint(SageMaker(failure), "reviews-qa")

    assert error.value is failure
