"""Descriptions of endpoints, endpoint configs and models from SageMaker, or None if they do not exist."""

from __future__ import annotations

from typing import Any

from promotion.aws.aws_errors import none_if_not_found


def describe_endpoint(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """Return the DescribeEndpoint response, or None if the endpoint does not exist."""
    return none_if_not_found(sagemaker.describe_endpoint, EndpointName=endpoint)


def describe_model(sagemaker: Any, model: str) -> dict[str, Any] | None:
    """Return the DescribeModel response, or None if the model does not exist."""
    return none_if_not_found(sagemaker.describe_model, ModelName=model)


def describe_endpoint_config(sagemaker: Any, endpoint_config: str) -> dict[str, Any] | None:
    """Return the DescribeEndpointConfig response, or None if the endpoint config does not exist."""
    return none_if_not_found(sagemaker.describe_endpoint_config, EndpointConfigName=endpoint_config)


def tags(sagemaker: Any, arn: str) -> dict[str, str]:
    """Return the tags of a resource."""
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def variants_of(sagemaker: Any, endpoint_config: str) -> list[dict[str, Any]] | None:
    """Return the production variants of an endpoint config, or None if it was deleted."""
    config = describe_endpoint_config(sagemaker, endpoint_config)
    return config["ProductionVariants"] if config else None


def variant_names(description: dict[str, Any]) -> list[str]:
    """Return the names of the production variants of an endpoint; `description` is a DescribeEndpoint response."""
    return [variant["VariantName"] for variant in description.get("ProductionVariants", [])]
