import boto3
import pytest

from steps import create_model
from tests.support.lambda_context import CONTEXT
from tests.support.sagemaker_requests import model_request

REQUEST = model_request()
NAME = REQUEST["ModelName"]


@pytest.mark.usefixtures("moto")
def test_the_planned_model_is_created() -> None:
    assert create_model.handler({"request": REQUEST}, CONTEXT) == {"model_name": NAME}

    model = boto3.client("sagemaker").describe_model(ModelName=NAME)
    assert model["PrimaryContainer"]["ModelDataUrl"] == REQUEST["PrimaryContainer"]["ModelDataUrl"]
    assert model["ExecutionRoleArn"] == REQUEST["ExecutionRoleArn"]
