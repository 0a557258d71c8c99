"""Look at what is held and what waits: tell CloudWatch for how long, and recover what died without being heard."""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws.clients import client
from promotion.history import approval, approval_requests, lock
from promotion.history.recovery import recover_if_dead
from promotion.history.table import PromotionTable
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    now, table = datetime.datetime.now(datetime.UTC), PromotionTable(client("dynamodb"), event["table"])
    # What is found of the endpoints is told before anything that may fail of the approvals.
    held = _held(table, now)
    _tell(event["stage"], "EndpointHeldSeconds", held)
    recovering = _recover(table, now)
    waiting = _waiting(table, now)
    _tell(event["stage"], "ApprovalWaitingSeconds", waiting)
    logger.info("Looked", held=held, recovering=recovering, waiting=waiting)
    return {"held": held, "recovering": recovering, "waiting": waiting}


def _tell(stage: str, metric: str, seconds: dict[str, float]) -> None:
    """Zero, too, so that the alarm on it is over when nothing is left."""
    client("cloudwatch").put_metric_data(
        Namespace="ModelPromotion",
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "Stage", "Value": stage}],
                "Value": max(seconds.values(), default=0),
                "Unit": "Seconds",
            }
        ],
    )


def _held(table: PromotionTable, now: datetime.datetime) -> dict[str, float]:
    """For how long each endpoint is held."""
    return {held.endpoint: held.unexplained_seconds(now) for held in lock.all_held(table)}


def _recover(table: PromotionTable, now: datetime.datetime) -> list[str]:
    """The endpoints whose recovery was started, since who holds them has died."""
    return [
        held.endpoint
        for held in lock.all_held(table)
        if recover_if_dead(table, client("stepfunctions"), held.endpoint, held.holder, now)
    ]


def _waiting(table: PromotionTable, now: datetime.datetime) -> dict[str, float]:
    """For how long each candidate waits for its approval. What has ended is noted, and not asked for again."""
    waiting = {}
    for promotion, request in approval_requests.open_requests(table):
        found = approval.read(client("ssm"), request.automation)
        if found is None or found["AutomationExecutionStatus"] not in approval.OPEN:
            approval_requests.record_ended(table, promotion, request)
        elif not approval.is_given(found):
            seconds = (now - found["ExecutionStartTime"]).total_seconds()
            waiting[f"{promotion['endpoint']}, {promotion['source_name']}"] = seconds
    return waiting
