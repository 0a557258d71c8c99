"""What SageMaker says of an endpoint and of its endpoint config; None stands for one that does not exist."""

from __future__ import annotations

from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.endpoint import state as endpoints


def describe_endpoint(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """Return DescribeEndpoint's answer, or None if there is no such endpoint."""
    return none_if_not_found(sagemaker.describe_endpoint, EndpointName=endpoint)


def describe_model(sagemaker: Any, model: str) -> dict[str, Any] | None:
    """Return DescribeModel's answer, or None if there is no such model."""
    return none_if_not_found(sagemaker.describe_model, ModelName=model)


def describe_endpoint_config(sagemaker: Any, endpoint_config: str) -> dict[str, Any] | None:
    """Return DescribeEndpointConfig's answer, or None if there is no such endpoint config."""
    return none_if_not_found(sagemaker.describe_endpoint_config, EndpointConfigName=endpoint_config)


def live_config(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """Return the config that an endpoint has now, or None if the endpoint or its config does not exist."""
    description = describe_endpoint(sagemaker, endpoint)
    return describe_endpoint_config(sagemaker, description["EndpointConfigName"]) if description else None


def is_scaled_out(sagemaker: Any, description: dict[str, Any], requested: str) -> bool:
    """Return whether the endpoint was scaled out beyond the instances that the config `requested` starts with.

    `description` is DescribeEndpoint's answer. False if its own config was deleted.
    """
    config = describe_endpoint_config(sagemaker, description["EndpointConfigName"])
    new = describe_endpoint_config(sagemaker, requested)
    return bool(config and new and endpoints.is_scaled_out(description, config, new))


def variants_of(sagemaker: Any, endpoint_config: str) -> list[dict[str, Any]] | None:
    """Return the production variants of an endpoint config, or None if it was deleted."""
    found = describe_endpoint_config(sagemaker, endpoint_config)
    return found["ProductionVariants"] if found else None
