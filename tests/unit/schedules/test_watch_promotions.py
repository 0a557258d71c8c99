import datetime
import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from promotion.errors import PromotionError, TransientError
from promotion.history import events, recovery
from schedules import watch_promotions
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, get, hold, put

ROOT = Path(__file__).parents[3]
NOW = datetime.datetime.now(datetime.UTC)


def watch() -> dict[str, Any]:
    return watch_promotions.handler({"stage": "qa", "table": NAME, "bus": "default"}, CONTEXT)


def statistic(name: str, metric: str) -> float:
    """Return a statistic of a metric of the stage."""
    (found,) = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="ModelPromotion",
        MetricName=metric,
        Dimensions=[{"Name": "Stage", "Value": "qa"}],
        StartTime=NOW - datetime.timedelta(hours=1),
        EndTime=NOW + datetime.timedelta(hours=1),
        Period=7200,
        Statistics=[name],
    )["Datapoints"]
    return float(found[name])


def maximum(metric: str) -> float:
    return statistic("Maximum", metric)


def test_the_metrics_are_zero_without_locks_and_pending_approvals(dynamodb: Any) -> None:
    assert watch() == {"held": {}, "recovering": [], "waiting": {}, "published": [], "differing": {}}

    assert maximum("LockHeldSeconds") == 0
    assert maximum("ApprovalWaitingSeconds") == 0
    assert maximum("DifferingEndpoints") == 0


def test_the_age_of_a_lock_is_published(dynamodb: Any) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    # Its recovery was abandoned, so that no other one is started.
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=6)

    assert list(watch()["held"]) == ["reviews-qa"]

    assert maximum("LockHeldSeconds") == pytest.approx(1000, abs=600)


def test_a_check_that_fails_does_not_prevent_the_others(dynamodb: Any) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    put("lock", "broken-qa", execution="no ARN", promotion="{}", acquired_at=since)
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=6)
    put("approval", "broken-qa#1", execution=FIRST, automation="x", promotion="{")

    with pytest.raises(PromotionError, match="checks failed"):
        watch()

    assert maximum("LockHeldSeconds") == pytest.approx(1000, abs=600)
    assert maximum("ApprovalWaitingSeconds") == 0


def put_live(endpoint: str, **changes: Any) -> None:
    """Write the live record of an endpoint that does not exist."""
    promotion = {"execution": FIRST, "model_name": "model-1", "endpoint_config_name": "config-1", "status": "Succeeded"}
    record = json.dumps(promotion | {"ended_at": NOW.isoformat(), "source_kind": "training_job"} | changes)
    put("live", endpoint, execution=FIRST, promotion=record)
    put(f"history#{endpoint}", f"{NOW.isoformat()}#first", promotion=record)


def test_endpoints_that_differ_are_counted_in_every_run_and_reported_once(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda client, bus, detail: published.append(detail))
    put_live("reviews-qa")
    put_live("ratings-qa")

    for _ in range(2):
        assert sorted(watch()["differing"]) == ["ratings-qa", "reviews-qa"]
        assert statistic("Minimum", "DifferingEndpoints") == 2

    assert [each["endpoint"] for each in published] == ["ratings-qa", "reviews-qa"]
    example = json.loads((ROOT / "events/published/endpoint-differs.json").read_text())["detail"]
    assert set(published[1]) == set(example)
    assert published[1]["application"] == "reviews"
    assert published[1]["execution"] == FIRST
    assert "The endpoint reviews-qa does not exist, but the model model-1 is on record" in published[1]["summary"]


def test_a_difference_is_reported_again_after_the_endpoint_agreed(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda client, bus, detail: published.append(detail))
    put_live("reviews-qa")
    watch()
    dynamodb.delete_item(TableName=NAME, Key={"kind": {"S": "live"}, "key": {"S": "reviews-qa"}})
    put("autoscaling", "reviews-qa", execution=FIRST)
    assert watch()["differing"] == {}
    assert get("difference", "reviews-qa") == {"kind": "difference", "key": "reviews-qa", "text": ""}

    put_live("reviews-qa")
    watch()

    assert len(published) == 2


def test_an_endpoint_that_cannot_be_checked_does_not_prevent_the_others_and_counts_as_before(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "publish_difference", lambda client, bus, detail: None)
    for endpoint in ("broken-qa", "reviews-qa"):
        put_live(endpoint)
    watch()
    put("live", "broken-qa", execution=FIRST, promotion="{")

    with pytest.raises(PromotionError, match=r"1 checks failed\. .* the endpoint broken-qa"):
        watch()

    assert statistic("Minimum", "DifferingEndpoints") == 2


def test_an_endpoint_that_is_being_changed_is_neither_counted_nor_reported_again(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda client, bus, detail: published.append(detail))
    put_live("reviews-qa")
    first = watch()
    hold("reviews-qa", FIRST, acquired_at=NOW.isoformat())
    monkeypatch.setattr(recovery, "recover_if_dead", lambda *_: False)

    during = watch()
    dynamodb.delete_item(TableName=NAME, Key={"kind": {"S": "lock"}, "key": {"S": "reviews-qa"}})
    after = watch()

    assert during["differing"] == {}
    assert first["differing"] == after["differing"]
    assert len(published) == 1


def test_a_difference_that_cannot_be_published_is_counted_and_published_by_the_next_run(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_live("reviews-qa")

    def fail(*_: Any) -> None:
        raise TransientError("PutEvents: unavailable")

    monkeypatch.setattr(events, "publish_difference", fail)
    with pytest.raises(PromotionError, match="unavailable"):
        watch()
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda client, bus, detail: published.append(detail))
    watch()

    assert statistic("Minimum", "DifferingEndpoints") == 1
    assert len(published) == 1


def test_the_email_of_a_difference_contains_no_link(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda client, bus, detail: published.append(detail))
    put_live("reviews-qa", model_name="HTTPS://example.org")

    watch()

    assert "the model example.org is on record" in published[0]["summary"]
