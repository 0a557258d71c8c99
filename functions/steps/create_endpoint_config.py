"""Create the endpoint config that puts the model on this stage's instances, as it was planned."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint.creation import create
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
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
    logger.info("Endpoint config created" if new else "Endpoint config is there already", endpoint_config=name)
    return {"endpoint_config_name": name}
