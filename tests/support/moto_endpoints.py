"""Endpoints in moto, for the tests of single steps."""

from typing import Any

import boto3

ENDPOINT = "reviews-qa"


def make_config(name: str) -> None:
    """Create an endpoint config, and the model that it serves."""
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/serving",
        PrimaryContainer={"Image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/reviews:1"},
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def make_endpoint(config: str) -> None:
    """Create an endpoint that is in service with a config of that name."""
    make_config(config)
    tags = {"model-promotion:application": "reviews", "model-promotion:execution": "arn:execution"}
    boto3.client("sagemaker").create_endpoint(
        EndpointName=ENDPOINT,
        EndpointConfigName=config,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )


def endpoints() -> dict[str, str]:
    """Return the config of each endpoint by its name."""
    sagemaker: Any = boto3.client("sagemaker")
    names = [each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]]
    return {name: sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] for name in names}
