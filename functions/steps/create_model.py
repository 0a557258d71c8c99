"""Create the planned model of the candidate in this account."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint.creation import create
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Create the model of `request` unless it already exists, and return its name."""
    request, sagemaker = event["request"], client("sagemaker")
    name = request["ModelName"]
    new = create("model", name, sagemaker.create_model, sagemaker.describe_model, request, "ModelName")
    logger.info("Model created" if new else "Model already exists", model=name)
    return {"model_name": name}
