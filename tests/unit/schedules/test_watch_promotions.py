import datetime
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.services.logs import embedded_metrics
from promotion.aws import executions
from promotion.errors import PromotionError, TransientError
from promotion.history import agreement, approval, events, recovery
from promotion.source import request
from schedules import watch_promotions
from tests.support import log_lines
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, get, hold, put
from tests.support.s3_faults import client_error

MACHINE = FIRST.rpartition(":")[0].replace(":execution:", ":stateMachine:")
ROOT = Path(__file__).parents[3]
NOW = datetime.datetime.now(datetime.UTC)


def watch() -> dict[str, Any]:
    given = {"stage": "qa", "table": NAME, "bus": "default", "state_machine": MACHINE, "upstream_stage": ""}
    role = {"upstream_role_arn": "arn:aws:iam::111111111111:role/reader", "external_id": "model-promotion-qa"}
    return watch_promotions.handler(given | role, CONTEXT)


class Upstream:
    """The lists of the upstream account."""

    def __init__(self, error: Exception | None = None, **pages: list[dict[str, Any]]) -> None:
        self._error, self._pages = error, pages

    def get_paginator(self, operation: str) -> Any:
        self._operation = operation
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        assert request["PaginationConfig"] == {"PageSize": 100}
        if self._error:
            raise self._error
        member = {
            "list_training_jobs": "TrainingJobSummaries",
            "list_hyper_parameter_tuning_jobs": "HyperParameterTuningJobSummaries",
            "list_model_packages": "ModelPackageSummaryList",
        }[self._operation]
        return [{member: self._pages.get(self._operation, [])}]


@pytest.fixture(autouse=True)
def upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """Let the upstream account be empty."""
    empty = Upstream()
    monkeypatch.setattr(watch_promotions, "upstream_client", lambda *_: empty)
    return empty


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    with log_lines.captured() as written:
        yield written


def values(log: io.StringIO, metric: str, **dimensions: str) -> list[float]:
    """Return the values of a metric that CloudWatch extracts from the log."""
    wanted = {"Stage": "qa"} | dimensions
    found = [datum for line in log.getvalue().splitlines() for _, datum in embedded_metrics(line)]
    return [
        datum["Value"]
        for datum in found
        if datum["MetricName"] == metric and {each["Name"]: each["Value"] for each in datum["Dimensions"]} == wanted
    ]


def test_the_metrics_are_zero_without_locks_and_pending_approvals(dynamodb: Any, log: io.StringIO) -> None:
    nothing: dict[str, Any] = {
        "held": {},
        "recovering": [],
        "waiting": {},
        "published": [],
        "differing": {},
        "missed": [],
    }
    assert watch() == nothing

    assert max(values(log, "LockHeldSeconds")) == 0
    assert max(values(log, "ApprovalWaitingSeconds")) == 0
    assert max(values(log, "DifferingEndpoints")) == 0


def test_the_age_of_a_lock_is_published(dynamodb: Any, log: io.StringIO) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    # Its recovery was abandoned, so that no other one is started.
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=6)

    assert list(watch()["held"]) == ["reviews-qa"]

    assert max(values(log, "LockHeldSeconds")) == pytest.approx(1000, abs=600)


def test_a_check_that_fails_does_not_prevent_the_others(dynamodb: Any, log: io.StringIO) -> None:
    since = (NOW - datetime.timedelta(seconds=1000)).isoformat()
    put("lock", "broken-qa", execution="no ARN", promotion="{}", acquired_at=since)
    put("lock", "reviews-qa", execution=FIRST, promotion="{}", acquired_at=since, recoveries=6)
    put("approval", "broken-qa#1", execution=FIRST, automation="x", promotion="{")

    with pytest.raises(PromotionError, match="checks failed"):
        watch()

    assert max(values(log, "LockHeldSeconds")) == pytest.approx(1000, abs=600)
    assert max(values(log, "ApprovalWaitingSeconds")) == 0


def test_a_lock_that_cannot_be_checked_does_not_prevent_the_recovery_of_another(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovered: list[str] = []

    def recover(_table: Any, _stepfunctions: Any, endpoint: str, *_: Any) -> bool:
        if endpoint == "broken-qa":
            raise TransientError("DescribeExecution: unavailable")
        recovered.append(endpoint)
        return True

    monkeypatch.setattr(recovery, "recover_if_dead", recover)
    for endpoint in ("broken-qa", "reviews-qa"):
        hold(endpoint, FIRST, acquired_at=NOW.isoformat())

    with pytest.raises(PromotionError, match=r"1 checks failed\. .* the lock of the endpoint broken-qa"):
        watch()

    assert recovered == ["reviews-qa"]


def put_live(endpoint: str, **changes: Any) -> None:
    """Write the live record of an endpoint that does not exist."""
    promotion = {"execution": FIRST, "model_name": "model-1", "endpoint_config_name": "config-1", "status": "Succeeded"}
    record = json.dumps(promotion | {"ended_at": NOW.isoformat(), "source_kind": "training_job"} | changes)
    put("live", endpoint, execution=FIRST, promotion=record)
    put(f"history#{endpoint}", f"{NOW.isoformat()}#first", promotion=record)


def test_endpoints_that_differ_are_counted_in_every_run_and_reported_once(
    dynamodb: Any, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: published.append(detail))
    put_live("reviews-qa")
    put_live("ratings-qa")

    for _ in range(2):
        assert sorted(watch()["differing"]) == ["ratings-qa", "reviews-qa"]
        assert min(values(log, "DifferingEndpoints")) == 2

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
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: published.append(detail))
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
    dynamodb: Any, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: None)
    for endpoint in ("broken-qa", "reviews-qa"):
        put_live(endpoint)
    watch()
    put("live", "broken-qa", execution=FIRST, promotion="{")

    with pytest.raises(PromotionError, match=r"1 checks failed\. .* the endpoint broken-qa"):
        watch()

    assert min(values(log, "DifferingEndpoints")) == 2


def test_a_throttled_check_is_no_failure_and_counts_as_before(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: None)
    put_live("reviews-qa")
    first = watch()["differing"]

    def throttled(*_: Any) -> None:
        raise client_error("ThrottlingException", "Rate exceeded", "DescribeEndpoint")

    monkeypatch.setattr(agreement, "read", throttled)

    assert watch()["differing"] == first != {}


def test_an_endpoint_that_is_being_changed_is_neither_counted_nor_reported_again(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: published.append(detail))
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
    dynamodb: Any, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_live("reviews-qa")

    def fail(*_: Any) -> None:
        raise TransientError("PutEvents: unavailable")

    monkeypatch.setattr(events, "publish_difference", fail)
    with pytest.raises(PromotionError, match="unavailable"):
        watch()
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: published.append(detail))
    watch()

    assert min(values(log, "DifferingEndpoints")) == 1
    assert len(published) == 1


def test_of_two_checks_at_the_same_time_only_one_reports(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: published.append(detail))
    put_live("reviews-qa", endpoint_config_name="gone")
    monkeypatch.setattr(agreement, "reported", lambda _: {})  # as both have read it

    assert watch()["differing"] == watch()["differing"] != {}

    assert len(published) == 1


def test_the_email_of_a_difference_contains_no_link(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "publish_difference", lambda _, bus, detail: published.append(detail))
    put_live("reviews-qa", model_name="HTTPS://example.org")

    watch()

    assert "the model example.org is on record" in published[0]["summary"]


def job(name: str, minutes: float) -> dict[str, Any]:
    """Return the summary of a training job that completed so many minutes ago."""
    arn = f"arn:aws:sagemaker:eu-west-1:111111111111:training-job/{name}"
    completed = NOW - datetime.timedelta(minutes=minutes)
    return {"TrainingJobName": name, "TrainingJobArn": arn, "CreationTime": completed, "LastModifiedTime": completed}


def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return a list to which the input of each execution is added that the check starts."""
    inputs: list[dict[str, Any]] = []

    def start(stepfunctions: Any, execution: str, name: str, given: dict[str, Any]) -> bool:
        assert execution.startswith(MACHINE.replace(":stateMachine:", ":execution:"))
        inputs.append(given)
        return True

    monkeypatch.setattr(executions, "start", start)
    return inputs


def test_a_job_whose_event_was_lost_gets_the_execution_of_its_event(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = started(monkeypatch)
    put("started", "since", at=(NOW - datetime.timedelta(hours=20)).isoformat())
    put("started", f"{NOW:%Y-%m-%d}#training_job#heard", execution=FIRST)
    jobs = [job("recent", 2), job("heard", 60), job("lost", 60), job("before-this-stage", 21 * 60)]
    upstream = Upstream(list_training_jobs=jobs)
    monkeypatch.setattr(watch_promotions, "upstream_client", lambda *_: upstream)

    found = watch()["missed"]

    assert found == ["arn:aws:sagemaker:eu-west-1:111111111111:training-job/lost"]
    assert [request.read(each, "111111111111", "222222222222", "eu-west-1") for each in inputs] == [
        request.Promote("training_job", "lost", by_event=True)
    ]


def test_lost_events_of_tuning_jobs_and_model_packages_are_found(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = started(monkeypatch)
    put("started", "since", at=(NOW - datetime.timedelta(hours=20)).isoformat())
    hour_ago = NOW - datetime.timedelta(hours=1)
    arns = {kind: f"arn:aws:sagemaker:eu-west-1:111111111111:{kind}/reviews" for kind in ("model-package", "tuning")}
    tuning = {"HyperParameterTuningJobName": "reviews", "HyperParameterTuningJobArn": arns["tuning"]}
    upstream = Upstream(
        list_hyper_parameter_tuning_jobs=[tuning | {"CreationTime": hour_ago, "LastModifiedTime": hour_ago}],
        list_model_packages=[{"ModelPackageArn": arns["model-package"], "CreationTime": hour_ago}],
    )
    monkeypatch.setattr(watch_promotions, "upstream_client", lambda *_: upstream)

    watch()

    assert [request.read(each, "111111111111", "222222222222", "eu-west-1") for each in inputs] == [
        request.Promote("tuning_job", "reviews", by_event=True),
        request.Promote("model_package", arns["model-package"], by_event=True),
    ]


def test_nothing_is_missed_before_the_first_check(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = Upstream(list_training_jobs=[job("earlier", 60)])
    monkeypatch.setattr(watch_promotions, "upstream_client", lambda *_: upstream)

    assert watch()["missed"] == watch()["missed"] == []
    assert datetime.datetime.fromisoformat((get("started", "since") or {})["at"]) >= NOW


def test_an_upstream_account_without_the_permission_is_no_failure(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = client_error("AccessDeniedException", "not authorized", "ListTrainingJobs")
    monkeypatch.setattr(watch_promotions, "upstream_client", lambda *_: Upstream(denied))

    assert watch()["missed"] == []


@pytest.mark.parametrize(
    ("status", "minutes", "heard", "starts", "remains"),
    [
        ("Rejected", 60, False, True, False),
        ("Rejected", 60, True, False, False),
        ("TimedOut", 5, False, False, True),
        ("Waiting", None, False, False, True),
    ],
)
def test_an_approval_that_ended_without_an_event_is_reported(
    dynamodb: Any,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    minutes: float | None,
    heard: bool,
    starts: bool,
    remains: bool,
) -> None:
    inputs = started(monkeypatch)
    identifier = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    record = {"endpoint": "reviews-qa", "digest": "d", "source_name": "reviews-1"}
    put("approval", "reviews-qa#d", execution=FIRST, automation=identifier, promotion=json.dumps(record))
    if heard:
        put("started", f"{NOW:%Y-%m-%d}#approval#{identifier}", execution=FIRST)
    automation: dict[str, Any] = {
        "AutomationExecutionId": identifier,
        "AutomationExecutionStatus": status,
        "StepExecutions": [],
    }
    automation["ExecutionStartTime"] = NOW - datetime.timedelta(hours=2)
    if minutes is not None:
        automation["ExecutionEndTime"] = NOW - datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(approval, "find", lambda *_: automation)

    found = watch()

    assert (len(inputs), len(found["missed"])) == (starts, starts)
    for each in inputs:
        assert request.read(each, "111111111111", FIRST.split(":")[4], "eu-west-1") == request.PublishRejection(
            identifier
        )
    assert ("ended" not in (get("approval", "reviews-qa#d") or {})) == remains
