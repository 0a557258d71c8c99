"""Acquire the lock of the endpoint, or start a recovery if the holder of the lock is dead."""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws.clients import client
from promotion.history import lock
from promotion.history.recovery import recover_if_dead
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.step import logger, step

# The holder of the lock is checked at the first one of so many attempts.
_CHECKS = 5


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return whether the lock was `acquired`, and its current `holder` if not."""
    record: PromotionRecord = event["promotion"]
    table = PromotionTable(client("dynamodb"), event["table"])
    endpoint, now = record["endpoint"], datetime.datetime.now(datetime.UTC)
    if lock.acquire(table, event["execution"], record, now.isoformat()):
        logger.info("Lock acquired", endpoint=endpoint)
        return {"acquired": True, "holder": ""}
    holder = lock.holder(table, endpoint)
    # Step Functions accepts 15 DescribeExecution a second, of all waiting promotions together.
    if (
        holder
        and event["checks"] % _CHECKS == 0
        and recover_if_dead(table, client("stepfunctions"), endpoint, holder, now)
    ):
        logger.info("Recovery started", endpoint=endpoint, of=holder.execution)
    name = holder.execution if holder else ""
    logger.info("Lock held by another execution", endpoint=endpoint, holder=name)
    return {"acquired": False, "holder": name}
