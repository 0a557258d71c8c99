"""Check the progress of the deployment."""

from __future__ import annotations

import dataclasses
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.aws.clients import client
from promotion.endpoint import alarms, guardrails, state
from promotion.endpoint.target import describe_target
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the progress of the deployment, given the `last` progress."""
    record: PromotionRecord = event["promotion"]
    last = event["last"]
    # An alarm may have left the ALARM state by the time SageMaker has rolled back, so each check records the alarms.
    alarmed = {*last["alarms"], *_in_alarm(guardrails.alarm_names(record.get("deployment_config", {})))}
    progress = state.progress(
        describe_target(client("sagemaker"), record),
        record["endpoint_config_name"],
        record["previous_endpoint_config_name"] or None,
        last["changing"],
        last["unchanged_checks"],
        tuple(sorted(alarmed)),
    )
    logger.info("Deployment checked", verdict=progress.verdict, alarms=progress.alarms)
    return dataclasses.asdict(progress)


def _in_alarm(names: list[str]) -> list[str]:
    """Return the alarms that are in ALARM; none if CloudWatch cannot say, since they only explain a rollback."""
    try:
        return alarms.in_alarm(client("cloudwatch"), names)
    except ClientError as error:
        if meaning(error) is not Meaning.TRANSIENT:
            raise
        logger.warning("Alarms not read", reason=message(error))
        return []
