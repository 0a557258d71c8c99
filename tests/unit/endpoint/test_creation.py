from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint.creation import create
from promotion.errors import PromotionRefusedError, TransientError
from tests.support.s3_faults import already_exists, client_error

REQUEST = {"ModelName": "m", "ExecutionRoleArn": "role", "Tags": [{"Key": "a", "Value": "b"}]}


class SageMaker:
    """Models with unique names, as in SageMaker."""

    def __init__(self, failure: ClientError | None = None) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.failure = failure

    def create_model(self, **request: Any) -> None:
        if self.failure:
            raise self.failure
        if request["ModelName"] in self.models:
            raise already_exists("model", request["ModelName"])
        self.models[request["ModelName"]] = {key: value for key, value in request.items() if key != "Tags"}

    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        return {**self.models[ModelName], "CreationTime": "now"}


def create_model(sagemaker: SageMaker, **changes: Any) -> bool:
    request = REQUEST | changes
    return create("model", "m", sagemaker.create_model, sagemaker.describe_model, request, "ModelName")


def test_a_resource_that_does_not_exist_is_created() -> None:
    sagemaker = SageMaker()

    assert create_model(sagemaker)
    assert sagemaker.models == {"m": {"ModelName": "m", "ExecutionRoleArn": "role"}}


def test_an_existing_resource_with_the_same_content_is_reused() -> None:
    sagemaker = SageMaker()
    create_model(sagemaker)

    assert not create_model(sagemaker, Tags=[])


def test_an_existing_resource_with_other_content_is_refused() -> None:
    sagemaker = SageMaker()
    create_model(sagemaker, ExecutionRoleArn="other")

    with pytest.raises(PromotionRefusedError) as error:
        create_model(sagemaker)

    assert "The model m already exists with another ExecutionRoleArn" in str(error.value)
    assert "Find out who created it, delete it" in str(error.value)
    assert sagemaker.models["m"]["ExecutionRoleArn"] == "other"


@pytest.mark.parametrize(
    "failure",
    [
        client_error("ThrottlingException", "Rate exceeded"),
        client_error("InternalFailure", "Try later"),
        client_error("ValidationException", "Could not assume role arn:aws:iam::222222222222:role/serving."),
        client_error("ValidationException", 'Could not find model "arn:aws:sagemaker:eu-west-1:222222222222:model/m".'),
    ],
)
def test_a_transient_error_or_an_invisible_dependency_is_retried(failure: ClientError) -> None:
    with pytest.raises(TransientError) as error:
        create_model(SageMaker(failure))

    assert str(error.value).startswith(f"The model m was not created. {failure.response['Error']['Code']}: ")


def test_a_denied_creation_is_refused_with_the_message_of_aws() -> None:
    denied = client_error("AccessDeniedException", "not authorized to perform: iam:PassRole on role/serving")

    with pytest.raises(PromotionRefusedError) as error:
        create_model(SageMaker(denied))

    assert "AWS denied the creation of the model m. AccessDeniedException" in str(error.value)
    assert "iam:PassRole on role/serving" in str(error.value)


@pytest.mark.parametrize(
    "failure",
    [
        client_error("ResourceLimitExceeded", "The account-level service limit was reached."),
        client_error("ValidationException", "Could not access model data at s3://stage/models/m.tar.gz."),
        client_error("SomethingNew", "?"),
    ],
)
def test_an_unknown_error_is_raised_unchanged(failure: ClientError) -> None:
    with pytest.raises(ClientError) as error:
        create_model(SageMaker(failure))

    assert error.value is failure
