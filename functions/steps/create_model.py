"""Create the candidate's model in this account, as it was planned."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint.creation import create
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    request, sagemaker = event["request"], client("sagemaker")
    name = request["ModelName"]
    new = create("model", name, sagemaker.create_model, sagemaker.describe_model, request, "ModelName")
    logger.info("Model created" if new else "Model is there already", model=name)
    return {"model_name": name}
