"""Take the next step of the rollback of the endpoint and its autoscaling to their state before the promotion."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import component, rollback, target
from promotion.endpoint.state import RollbackStep
from promotion.history import lock
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the rollback `step` that was taken, and its `reason`."""
    record: PromotionRecord = event["promotion"]
    table = PromotionTable(client("dynamodb"), event["table"])
    if record.get("changing"):
        endpoint = record["endpoint"]
        lock.assert_held(table, event["execution"], endpoint)
        change = lock.recorded_change(table, record)
        sagemaker, scaling = client("sagemaker"), client("application-autoscaling")
        if record.get("component"):
            taken = component.take_step(sagemaker, scaling, target.describe(sagemaker, record), record, change)
        else:
            taken = rollback.take_step(sagemaker, scaling, endpoint, change)
    else:
        taken = RollbackStep("rolled_back", "The promotion had not changed the endpoint.")
    logger.info("Rollback step taken", step=taken.step)
    return dataclasses.asdict(taken)
