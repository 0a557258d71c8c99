"""Look how far the deployment is."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import alarms, guardrails, state
from promotion.endpoint.sagemaker import describe_endpoint
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, last = event["promotion"], event["last"]
    # An alarm may be over again by the time that SageMaker has rolled back, so it is looked for each time.
    watched = guardrails.alarm_names(promotion.get("deployment_config", {}))
    rang = {*last["alarms"], *alarms.ringing(client("cloudwatch"), watched)}
    progress = state.progress(
        describe_endpoint(client("sagemaker"), promotion["endpoint"]),
        promotion["endpoint_config_name"],
        promotion["previous_endpoint_config_name"] or None,
        last["changing"],
        last["looks"],
        tuple(sorted(rang)),
    )
    logger.info("Deployment checked", verdict=progress.verdict, alarms=progress.alarms)
    return dataclasses.asdict(progress)
