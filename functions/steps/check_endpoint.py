"""Check the progress of the deployment."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import alarms, guardrails, state
from promotion.endpoint.sagemaker import describe_endpoint
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the progress of the deployment, given the `last` progress."""
    record: PromotionRecord = event["promotion"]
    last = event["last"]
    # An alarm may have left the ALARM state by the time SageMaker has rolled back, so each check records the alarms.
    monitored = guardrails.alarm_names(record.get("deployment_config", {}))
    alarmed = {*last["alarms"], *alarms.in_alarm(client("cloudwatch"), monitored)}
    progress = state.progress(
        describe_endpoint(client("sagemaker"), record["endpoint"]),
        record["endpoint_config_name"],
        record["previous_endpoint_config_name"] or None,
        last["changing"],
        last["unchanged_checks"],
        tuple(sorted(alarmed)),
    )
    logger.info("Deployment checked", verdict=progress.verdict, alarms=progress.alarms)
    return dataclasses.asdict(progress)
