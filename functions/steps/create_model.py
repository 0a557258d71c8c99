"""Create the candidate's model in this account, with this stage's artifacts, role and network."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint.creation import create
from promotion.endpoint.model import create_model_request, own_tags
from promotion.endpoint.smoke_test import SKIP
from promotion.source.candidate import Candidate
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    candidate, plan = Candidate.from_json(event["candidate"]), event["plan"]
    suite = plan["smoke_test"] if plan["smoke_test"] != SKIP else None
    request = create_model_request(
        candidate,
        plan["containers"],
        stage=event["stage"],
        model=plan["settings"]["Model"],
        role_arn=event["sagemaker_role_arn"],
        tags=own_tags(candidate, plan["digest"], event["execution"], suite, plan["metrics_uri"]),
    )
    name, sagemaker = request["ModelName"], client("sagemaker")
    new = create("model", name, sagemaker.create_model, sagemaker.describe_model, request, "ModelName")
    logger.info("Model created" if new else "Model is there already", model=name)
    return {"model_name": name}
