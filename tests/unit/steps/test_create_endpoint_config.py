import boto3
import pytest

from steps import create_endpoint_config
from tests.support.lambda_context import CONTEXT
from tests.support.sagemaker_requests import config_request, model_request

REQUEST = config_request(model_name=model_request()["ModelName"])
NAME = REQUEST["EndpointConfigName"]


@pytest.fixture(autouse=True)
def _model(moto: None) -> None:
    boto3.client("sagemaker").create_model(**model_request())


def test_the_planned_endpoint_config_is_created() -> None:
    assert create_endpoint_config.handler({"request": REQUEST}, CONTEXT) == {"endpoint_config_name": NAME}

    [variant] = boto3.client("sagemaker").describe_endpoint_config(EndpointConfigName=NAME)["ProductionVariants"]
    assert (variant["ModelName"], variant["InstanceType"]) == (model_request()["ModelName"], "ml.m5.large")


def test_an_existing_endpoint_config_gets_the_tags_of_the_settings() -> None:
    sagemaker = boto3.client("sagemaker")
    create_endpoint_config.handler({"request": REQUEST}, CONTEXT)
    tags = [*REQUEST["Tags"], {"Key": "cost-center", "Value": "4711"}]

    create_endpoint_config.handler({"request": REQUEST | {"Tags": tags}}, CONTEXT)

    arn = sagemaker.describe_endpoint_config(EndpointConfigName=NAME)["EndpointConfigArn"]
    assert {"Key": "cost-center", "Value": "4711"} in sagemaker.list_tags(ResourceArn=arn)["Tags"]
