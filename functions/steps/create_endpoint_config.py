"""Create the endpoint config that puts the model on this stage's instances."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint.config import create_endpoint_config_request
from promotion.endpoint.creation import create
from promotion.endpoint.model import own_tags
from promotion.source.candidate import Candidate
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    candidate, plan = Candidate.from_json(event["candidate"]), event["plan"]
    request = create_endpoint_config_request(
        candidate,
        event["model_name"],
        stage=event["stage"],
        endpoint_config=plan["settings"]["EndpointConfig"],
        tags=own_tags(candidate, plan["digest"], event["execution"], None),
    )
    name, sagemaker = request["EndpointConfigName"], client("sagemaker")
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
