"""Create the planned endpoint config, which deploys the model to the instances of this stage."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import tagging
from promotion.endpoint.creation import create
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Create the endpoint config of `request` unless it already exists, keep its tags current, and return its name."""
    request, sagemaker = event["request"], client("sagemaker")
    name = request["EndpointConfigName"]
    new = create(
        "endpoint config",
        name,
        sagemaker.create_endpoint_config,
        sagemaker.describe_endpoint_config,
        request,
        "EndpointConfigName",
    )
    if not new:
        arn = sagemaker.describe_endpoint_config(EndpointConfigName=name)["EndpointConfigArn"]
        tagging.replace(sagemaker, arn, request["Tags"])
    logger.info("Endpoint config created" if new else "Endpoint config already exists", endpoint_config=name)
    return {"endpoint_config_name": name}
