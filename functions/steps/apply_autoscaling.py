"""Apply the autoscaling of the settings to the endpoint or, without one, the previous autoscaling; and its tags."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import alarms, scalable_targets, tagging
from promotion.endpoint.state import assert_serves
from promotion.endpoint.target import describe_target
from promotion.history import lock
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Apply the autoscaling and the tags in the journal; what someone else has changed since the journal stays."""
    record: PromotionRecord = event["promotion"]
    endpoint, table, sagemaker = (
        record["endpoint"],
        PromotionTable(client("dynamodb"), event["table"]),
        client("sagemaker"),
    )
    change, targets = lock.recorded_change(table, record), client("application-autoscaling")
    description = describe_target(sagemaker, record)
    actual = scalable_targets.read(targets, endpoint, description)
    wanted = scalable_targets.to_apply(sagemaker, actual, change)
    lock.assert_held(table, event["execution"], endpoint)
    scalable_targets.apply(targets, actual, wanted)
    if record.get("component") and (policy := scalable_targets.waking_policy(targets, wanted)):
        alarms.put_where_different(client("cloudwatch"), [alarms.wake_request(endpoint, policy)])
    if description and change.tags:
        tagging.apply(sagemaker, description["EndpointArn"], change.tags)
    # The next state records this config as the live one.
    assert_serves(describe_target(sagemaker, record), endpoint, record["endpoint_config_name"])
    logger.info("Autoscaling applied", endpoint=endpoint, targets=[target["ResourceId"] for target in wanted])
    return {}
