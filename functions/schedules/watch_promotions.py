"""Monitor held locks and pending approvals: publish their ages as metrics, and start recoveries after lost events."""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws.clients import client
from promotion.history import approval_requests, lock, recovery
from promotion.history.table import PromotionTable
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the seconds that locks are `held` and approvals are `waiting`, and the endpoints in recovery."""
    stage, table = event["stage"], PromotionTable(client("dynamodb"), event["table"])
    now = datetime.datetime.now(datetime.UTC)
    # The locks are checked first, since reading the approvals can fail.
    held = {each.endpoint: each.unexplained_seconds(now) for each in lock.all_held(table)}
    _put_metric(stage, "LockHeldSeconds", held)
    recovering = recovery.recover_all_dead(table, client("stepfunctions"), now)
    waiting = approval_requests.waiting_seconds(table, client("ssm"), now)
    _put_metric(stage, "ApprovalWaitingSeconds", waiting)
    logger.info("Locks and approvals checked", held=held, recovering=recovering, waiting=waiting)
    return {"held": held, "recovering": recovering, "waiting": waiting}


def _put_metric(stage: str, metric: str, seconds: dict[str, float]) -> None:
    """Put the longest time, or zero if there is none, so that the alarm returns to OK."""
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
