"""Asking SageMaker about an endpoint."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.endpoint import state as endpoints


def describe_endpoint(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """DescribeEndpoint's answer, or None when there is no such endpoint; every other error is raised."""
    try:
        return dict(sagemaker.describe_endpoint(EndpointName=endpoint))
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return None
        raise


def describe_model(sagemaker: Any, model: str) -> dict[str, Any] | None:
    """DescribeModel's answer, or None when there is none of that name; every other error is raised."""
    try:
        return dict(sagemaker.describe_model(ModelName=model))
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return None
        raise


def describe_endpoint_config(sagemaker: Any, endpoint_config: str) -> dict[str, Any] | None:
    """DescribeEndpointConfig's answer, or None when there is none of that name; every other error is raised."""
    try:
        return dict(sagemaker.describe_endpoint_config(EndpointConfigName=endpoint_config))
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return None
        raise


def live_config(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """DescribeEndpointConfig's answer for what an endpoint has now; None where there is none or its config is gone."""
    description = describe_endpoint(sagemaker, endpoint)
    return describe_endpoint_config(sagemaker, description["EndpointConfigName"]) if description else None


def is_scaled_out(sagemaker: Any, description: dict[str, Any], requested: str) -> bool:
    """Whether the endpoint of DescribeEndpoint's answer was scaled out beyond what `requested`, a config, starts with.

    False where its own config is gone.
    """
    config = describe_endpoint_config(sagemaker, description["EndpointConfigName"])
    new = describe_endpoint_config(sagemaker, requested)
    return bool(config and new and endpoints.is_scaled_out(description, config, new))


def variants_of(sagemaker: Any, config: str) -> list[dict[str, Any]] | None:
    """The production variants of an endpoint config; None when it is gone."""
    try:
        return list(sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"])
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return None
        raise
