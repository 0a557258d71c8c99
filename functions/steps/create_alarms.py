"""Create the alarms of the endpoint, to which a DeploymentConfig can refer, or update those that differ."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import alarms, guardrails
from promotion.endpoint.sagemaker import describe_endpoint_config
from promotion.errors import TransientError
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Create or update the alarms of the endpoint where they differ, and return the names of all."""
    record: PromotionRecord = event["promotion"]
    config = describe_endpoint_config(client("sagemaker"), record["endpoint_config_name"])
    if config is None:
        raise TransientError(f"The endpoint config {record['endpoint_config_name']} is not visible in SageMaker yet.")
    requests = alarms.requests_of(
        record["endpoint"],
        config,
        error_rate_percent=event["error_rate_percent"],
        latency_milliseconds=event["latency_milliseconds"],
        topic_arn=event["topic_arn"],
    )
    cloudwatch = client("cloudwatch")
    written = alarms.put_where_different(cloudwatch, requests)
    # A first deployment has no guardrails.
    named = (
        guardrails.alarm_names(record.get("deployment_config", {})) if record["previous_endpoint_config_name"] else []
    )
    derived = alarms.deployment_requests_of(record["endpoint"], requests, record["endpoint_config_name"])
    alarms.create_again(cloudwatch, [request for request in derived if request["AlarmName"] in named])
    logger.info("Alarms created or updated", endpoint=record["endpoint"], alarms=written)
    return {"alarms": [request["AlarmName"] for request in requests]}
