import datetime
from typing import Any

import boto3
import pytest

from promotion.errors import PromotionError
from schedules import watch_promotions
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, put

NOW = datetime.datetime.now(datetime.UTC)


def watch() -> dict[str, Any]:
    return watch_promotions.handler({"stage": "qa", "table": NAME, "bus": "default"}, CONTEXT)


def maximum(metric: str) -> float:
    """Return the maximum of a metric of the stage."""
    (found,) = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="ModelPromotion",
        MetricName=metric,
        Dimensions=[{"Name": "Stage", "Value": "qa"}],
        StartTime=NOW - datetime.timedelta(hours=1),
        EndTime=NOW + datetime.timedelta(hours=1),
        Period=7200,
        Statistics=["Maximum"],
    )["Datapoints"]
    return float(found["Maximum"])


def test_the_metrics_are_zero_without_locks_and_pending_approvals(dynamodb: Any) -> None:
    assert watch() == {"held": {}, "recovering": [], "waiting": {}, "published": []}

    assert maximum("LockHeldSeconds") == 0
    assert maximum("ApprovalWaitingSeconds") == 0


def test_the_age_of_a_lock_is_published(dynamodb: Any) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    # Its recovery was abandoned, so that no other one is started.
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=3)

    assert list(watch()["held"]) == ["reviews-qa"]

    assert maximum("LockHeldSeconds") == pytest.approx(1000, abs=600)


def test_a_check_that_fails_does_not_prevent_the_others(dynamodb: Any) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    put("lock", "broken-qa", execution="no ARN", promotion="{}", acquired_at=since)
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=3)
    put("approval", "broken-qa#1", execution=FIRST, automation="x", promotion="{")

    with pytest.raises(PromotionError, match="checks failed"):
        watch()

    assert maximum("LockHeldSeconds") == pytest.approx(1000, abs=600)
    assert maximum("ApprovalWaitingSeconds") == 0
