"""Asking SageMaker about an endpoint."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion import endpoint as endpoints
from promotion.aws_errors import Meaning, meaning


def describe_endpoint(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """DescribeEndpoint's answer, or None when there is no such endpoint; every other error is raised."""
    try:
        return dict(sagemaker.describe_endpoint(EndpointName=endpoint))
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return None
        raise


def is_scaled_out(sagemaker: Any, description: dict[str, Any]) -> bool:
    """Whether the endpoint of DescribeEndpoint's answer was scaled out; False where its config is gone, too."""
    try:
        config = sagemaker.describe_endpoint_config(EndpointConfigName=description["EndpointConfigName"])
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return False
        raise
    return endpoints.is_scaled_out(description, config)
