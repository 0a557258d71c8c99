"""Check the progress of the deployment."""

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
    # An alarm may be over when SageMaker has rolled back, so it is checked each time.
    monitored = guardrails.alarm_names(promotion.get("deployment_config", {}))
    alarmed = {*last["alarms"], *alarms.in_alarm(client("cloudwatch"), monitored)}
    progress = state.progress(
        describe_endpoint(client("sagemaker"), promotion["endpoint"]),
        promotion["endpoint_config_name"],
        promotion["previous_endpoint_config_name"] or None,
        last["changing"],
        last["looks"],
        tuple(sorted(alarmed)),
    )
    logger.info("Deployment checked", verdict=progress.verdict, alarms=progress.alarms)
    return dataclasses.asdict(progress)
