"""Take the endpoint for this promotion, or see to it that whoever holds it gives it back."""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws.clients import client
from promotion.history import lock
from promotion.history.recovery import recover_if_dead
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, dynamodb, table = event["promotion"], client("dynamodb"), event["table"]
    endpoint, now = promotion["endpoint"], datetime.datetime.now(datetime.UTC)
    if lock.take(dynamodb, table, event["execution"], promotion, now.isoformat()):
        return {"taken": True, "holder": ""}
    holder = lock.running(dynamodb, table, endpoint)
    if holder and recover_if_dead(dynamodb, client("stepfunctions"), table, endpoint, holder, now):
        logger.info("Recovery started", endpoint=endpoint, of=holder.execution)
    name = holder.execution if holder else ""
    logger.info("Endpoint held", endpoint=endpoint, holder=name)
    return {"taken": False, "holder": name}
