"""Notify the operators of what happened to a promotion."""

from __future__ import annotations

import os
from typing import Any

from promotion.aws.clients import client
from promotion.history import lock, records
from promotion.history.table import PromotionTable
from promotion.messages import message
from promotion.messages.message import Message
from promotion.record import PromotionRecord
from promotion.source.admission import UNKNOWN
from promotion.source.request import OWN_SOURCE, SUCCEEDED
from promotion.step import logger, step

# A promotion that replaced another one is rarely preceded by more failed ones.
_SEARCHED = 20


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Publish the notification of an event from EventBridge, and return its `subject`."""
    table = PromotionTable(client("dynamodb"), os.environ["TABLE"])
    notification = _notification(table, os.environ["STAGE"], event)
    client("sns").publish(**notification.request(os.environ["TOPIC"]))
    logger.info("Operators notified", subject=notification.subject)
    return {"subject": notification.subject}


def _notification(table: PromotionTable, stage: str, event: dict[str, Any]) -> Message:
    detail, detail_type = event["detail"], event["detail-type"]
    if event["source"] != OWN_SOURCE:
        holder = lock.holder_with_execution(table, detail["executionArn"])
        return message.of_execution(stage, holder.record["application"] if holder else UNKNOWN, detail)
    record: PromotionRecord = detail
    live = _replaced(table, record) if detail_type == SUCCEEDED else records.live(table, record["endpoint"])
    return message.of_promotion(detail_type, record, live)


def _replaced(table: PromotionTable, record: PromotionRecord) -> PromotionRecord | None:
    """Return the promotion that a successful one has replaced, if it served another endpoint config."""
    for former in reversed(records.newest(table, record["endpoint"], _SEARCHED)):
        if former["status"] == "Succeeded" and former["ended_at"] < record["ended_at"]:
            is_other = former["endpoint_config_name"] != record["endpoint_config_name"]
            return former if is_other else None
    return None
