"""Asking SageMaker about an endpoint."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws_errors import Meaning, meaning


def describe_endpoint(sagemaker: Any, endpoint: str) -> dict[str, Any] | None:
    """DescribeEndpoint's answer, or None when there is no such endpoint; every other error is raised."""
    try:
        return dict(sagemaker.describe_endpoint(EndpointName=endpoint))
    except ClientError as error:
        if meaning(error) is Meaning.NOT_FOUND:
            return None
        raise
