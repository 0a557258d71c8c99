import datetime
from typing import Any

import boto3
import pytest

from schedules import watch_promotions
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, put

NOW = datetime.datetime.now(datetime.UTC)


def watch() -> dict[str, Any]:
    return watch_promotions.handler({"stage": "qa", "table": NAME}, CONTEXT)


def highest(metric: str) -> float:
    """Return the highest value of a metric of the stage."""
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


def test_where_nothing_is_locked_and_nothing_waits_the_metrics_are_zero(dynamodb: Any) -> None:
    assert watch() == {"held": {}, "recovering": [], "waiting": {}}

    assert highest("LockHeldSeconds") == 0
    assert highest("ApprovalWaitingSeconds") == 0


def test_a_lock_is_measured_from_when_it_was_acquired(dynamodb: Any) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    # It was given up, so that no recovery is started.
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=3)

    assert list(watch()["held"]) == ["reviews-qa"]

    assert highest("LockHeldSeconds") == pytest.approx(1000, abs=600)
