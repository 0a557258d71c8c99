from typing import Any

import botocore.session
import pytest

from promotion.endpoint.state import (
    BUSY,
    Inspection,
    Progress,
    RollbackStep,
    assert_serves,
    inspect,
    is_older,
    is_scaled_out,
    progress,
    rollback_step,
    with_new_settings,
)
from promotion.errors import PromotionRefusedError
from promotion.record import PromotionRecord

REQUESTED, PREVIOUS, OTHER = "reviews-qa-new", "reviews-qa-old", "reviews-qa-by-hand"
EARLIER, TIME, LATER = "2026-01-02T03:04:04Z", "2026-01-02T03:04:05.000Z", "2026-01-02T04:04:06+01:00"
STATUSES = botocore.session.get_session().get_service_model("sagemaker").shape_for("EndpointStatus").enum
REST = ["InService", "OutOfService"]
BROKEN = ["Failed", "UpdateRollbackFailed"]


def endpoint(status: str, config: str, **more: Any) -> dict[str, Any]:
    """Return a DescribeEndpoint response."""
    return {"EndpointName": "reviews-qa", "EndpointStatus": status, "EndpointConfigName": config, **more}


def live(config: str, created_at: str) -> PromotionRecord:
    """Return the record of the live promotion."""
    return {"endpoint_config_name": config, "created_at": created_at, "model_name": "reviews-qa-live"}


def pending(config: str) -> dict[str, Any]:
    return {"PendingDeploymentSummary": {"EndpointConfigName": config}}


def test_every_status_of_the_service_model_is_known() -> None:
    assert sorted([*BUSY, *REST, *BROKEN]) == sorted(STATUSES)


def test_a_missing_endpoint_is_created() -> None:
    assert inspect(None, REQUESTED, TIME, None) == Inspection("update", previous=None)


def test_a_deleted_endpoint_is_created_again_even_with_a_live_record() -> None:
    assert inspect(None, REQUESTED, TIME, live(OTHER, LATER)) == Inspection("update", previous=None)


@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS])
@pytest.mark.parametrize("status", sorted(BUSY))
def test_an_endpoint_that_is_being_updated_is_busy(status: str, config: str) -> None:
    assert inspect(endpoint(status, config), REQUESTED, TIME, live(config, LATER)) == Inspection(
        "busy", config, f"The endpoint reviews-qa is {status}."
    )


@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS])
@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("Failed", "Delete the endpoint, then start the promotion again."),
        ("UpdateRollbackFailed", "Update it to a working endpoint config with UpdateEndpoint, then start"),
    ],
)
def test_a_broken_endpoint_is_unusable_with_reason_and_remedy(status: str, remedy: str, config: str) -> None:
    inspection = inspect(endpoint(status, config, FailureReason="no capacity"), REQUESTED, TIME, None)

    assert (inspection.outcome, inspection.previous) == ("unusable", config)
    assert f"The endpoint reviews-qa is {status}: no capacity. " in inspection.reason
    assert remedy in inspection.reason


def test_the_requested_config_in_service_is_already_live() -> None:
    assert inspect(endpoint("InService", REQUESTED), REQUESTED, TIME, live(REQUESTED, TIME)) == Inspection(
        "already_live", REQUESTED, f"The endpoint reviews-qa already has the config {REQUESTED}."
    )


@pytest.mark.parametrize(("record", "previous"), [(None, REQUESTED), (live(PREVIOUS, LATER), PREVIOUS)])
def test_a_requested_config_that_someone_else_deployed_is_tested(record: PromotionRecord | None, previous: str) -> None:
    assert inspect(endpoint("InService", REQUESTED), REQUESTED, TIME, record) == Inspection("update", previous)


@pytest.mark.parametrize(
    ("description", "change"),
    [
        (endpoint("InService", REQUESTED), None),
        (endpoint("Updating", REQUESTED), None),  # its instances are scaling
        (endpoint("Updating", REQUESTED, **pending(REQUESTED)), None),
        (endpoint("InService", PREVIOUS), f"changed it to {PREVIOUS}"),
        (endpoint("Updating", REQUESTED, **pending(OTHER)), f"changed it to {OTHER}"),
        (None, "deleted it"),
    ],
)
def test_an_endpoint_serves_a_config_until_someone_changes_it(description: Any, change: str | None) -> None:
    if change is None:
        assert_serves(description, "reviews-qa", REQUESTED)
        return
    with pytest.raises(PromotionRefusedError) as error:
        assert_serves(description, "reviews-qa", REQUESTED)
    assert change in str(error.value)


def test_the_requested_config_out_of_service_is_not_live() -> None:
    assert inspect(endpoint("OutOfService", REQUESTED), REQUESTED, TIME, None) == Inspection("update", REQUESTED)


@pytest.mark.parametrize("status", REST)
@pytest.mark.parametrize("record", [None, live(PREVIOUS, EARLIER), live(PREVIOUS, TIME), live(OTHER, LATER)])
def test_a_config_that_is_not_newer_is_replaced(record: PromotionRecord | None, status: str) -> None:
    assert inspect(endpoint(status, PREVIOUS), REQUESTED, TIME, record) == Inspection("update", PREVIOUS)


@pytest.mark.parametrize("status", REST)
def test_a_newer_model_stays_live(status: str) -> None:
    inspection = inspect(endpoint(status, PREVIOUS), REQUESTED, TIME, live(PREVIOUS, LATER))

    assert (inspection.outcome, inspection.previous) == ("newer_live", PREVIOUS)
    assert "reviews-qa-live, which is live on the endpoint reviews-qa, is newer" in inspection.reason
    assert f"created at {LATER}, the candidate at {TIME}." in inspection.reason


def test_a_newer_model_that_someone_replaced_manually_does_not_prevent_the_update() -> None:
    assert inspect(endpoint("InService", OTHER), REQUESTED, TIME, live(PREVIOUS, LATER)).outcome == "update"


@pytest.mark.parametrize("previous", [PREVIOUS, None])
@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS, OTHER])
@pytest.mark.parametrize("status", sorted(BUSY))
def test_a_changing_endpoint_is_in_progress(status: str, config: str, previous: str | None) -> None:
    seen = progress(endpoint(status, config), REQUESTED, previous, changing=False, unchanged_checks=1)

    assert seen == Progress(
        "in_progress", changing=True, unchanged_checks=0, reason=f"The endpoint reviews-qa is {status}."
    )


@pytest.mark.parametrize("changing", [True, False])
@pytest.mark.parametrize("previous", [PREVIOUS, None, REQUESTED])
def test_the_requested_config_in_service_is_deployed(previous: str | None, changing: bool) -> None:
    in_service = endpoint("InService", REQUESTED, FailureReason="of an earlier update")

    assert progress(in_service, REQUESTED, previous, changing, unchanged_checks=0) == Progress("deployed")


@pytest.mark.parametrize("previous", [PREVIOUS, None])
def test_the_requested_config_out_of_service_has_failed(previous: str | None) -> None:
    seen = progress(endpoint("OutOfService", REQUESTED), REQUESTED, previous, changing=True, unchanged_checks=0)

    assert seen == Progress(
        "failed", reason=f"The endpoint reviews-qa is OutOfService with the new endpoint config {REQUESTED}."
    )


@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS])
@pytest.mark.parametrize("status", BROKEN)
def test_a_broken_endpoint_has_failed_with_the_reason(status: str, config: str) -> None:
    seen = progress(
        endpoint(status, config, FailureReason="no capacity"), REQUESTED, PREVIOUS, True, unchanged_checks=0
    )

    assert seen.verdict == "failed"
    assert f"The endpoint reviews-qa is {status}: no capacity." in seen.reason


@pytest.mark.parametrize("status", REST)
def test_in_service_with_the_previous_config_after_an_update_is_a_rollback(status: str) -> None:
    rolled_back = endpoint(status, PREVIOUS, FailureReason="The primary container did not pass the ping health check.")

    seen = progress(rolled_back, REQUESTED, PREVIOUS, changing=True, unchanged_checks=0)

    assert seen == Progress(
        "failed",
        reason=f"SageMaker rolled back the endpoint reviews-qa to {PREVIOUS}: The primary container did not pass the "
        "ping health check.",
    )


def test_a_rollback_without_a_failure_reason_says_so() -> None:
    seen = progress(endpoint("InService", PREVIOUS), REQUESTED, PREVIOUS, changing=True, unchanged_checks=0)

    assert seen.reason == f"SageMaker rolled back the endpoint reviews-qa to {PREVIOUS}: SageMaker gave no reason."


def test_an_endpoint_counts_as_rolled_back_after_four_checks_without_a_change() -> None:
    checks = [Progress("in_progress")]
    for _ in range(4):
        last = checks[-1]
        unchanged = endpoint("InService", PREVIOUS)
        checks.append(progress(unchanged, REQUESTED, PREVIOUS, last.changing, last.unchanged_checks))

    assert checks[1] == Progress(
        "in_progress", unchanged_checks=1, reason="The update of the endpoint reviews-qa has not started yet."
    )
    assert [each.verdict for each in checks[1:]] == ["in_progress", "in_progress", "in_progress", "failed"]
    assert not any(each.changing for each in checks)


def test_a_config_that_is_still_pending_is_not_deployed() -> None:
    seen = progress(
        endpoint("InService", PREVIOUS, **pending(REQUESTED)), REQUESTED, PREVIOUS, False, unchanged_checks=0
    )

    assert seen.verdict == "in_progress"


def test_an_empty_pending_deployment_does_not_count() -> None:
    settled = endpoint("InService", REQUESTED, PendingDeploymentSummary=None)

    assert progress(settled, REQUESTED, PREVIOUS, changing=True, unchanged_checks=0) == Progress("deployed")


@pytest.mark.parametrize("previous", [PREVIOUS, None])
@pytest.mark.parametrize("changing", [True, False])
@pytest.mark.parametrize("status", REST)
def test_another_config_is_a_change_by_someone_else(status: str, changing: bool, previous: str | None) -> None:
    seen = progress(endpoint(status, OTHER), REQUESTED, previous, changing, unchanged_checks=0)

    assert seen == Progress(
        "failed", reason=f"Someone else changed the endpoint reviews-qa to {OTHER} during the deployment."
    )


def test_a_missing_endpoint_was_deleted_during_the_deployment() -> None:
    assert progress(None, REQUESTED, PREVIOUS, changing=True, unchanged_checks=0) == Progress(
        "failed", reason="Someone deleted the endpoint during the deployment."
    )


@pytest.mark.parametrize("previous", [PREVIOUS, None])
@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS, OTHER])
@pytest.mark.parametrize("status", sorted(BUSY))
def test_a_rollback_waits_for_an_endpoint_that_is_being_updated(status: str, config: str, previous: str | None) -> None:
    assert rollback_step(endpoint(status, config), REQUESTED, previous) == RollbackStep(
        "wait", f"The endpoint reviews-qa is {status}."
    )


@pytest.mark.parametrize(
    ("status", "config", "previous", "step"),
    [
        ("InService", REQUESTED, PREVIOUS, "update"),
        ("OutOfService", REQUESTED, PREVIOUS, "update"),
        ("InService", PREVIOUS, PREVIOUS, "rolled_back"),
        ("OutOfService", PREVIOUS, PREVIOUS, "rolled_back"),
        ("OutOfService", REQUESTED, REQUESTED, "rolled_back"),
        ("InService", OTHER, PREVIOUS, "failed"),
        ("OutOfService", OTHER, PREVIOUS, "failed"),
        ("Failed", REQUESTED, PREVIOUS, "failed"),
        ("Failed", PREVIOUS, PREVIOUS, "failed"),
        ("Failed", OTHER, PREVIOUS, "failed"),
        ("UpdateRollbackFailed", REQUESTED, PREVIOUS, "failed"),
        ("UpdateRollbackFailed", PREVIOUS, PREVIOUS, "failed"),
        ("UpdateRollbackFailed", OTHER, PREVIOUS, "failed"),
        # An endpoint that the promotion created is deleted in any status.
        ("InService", REQUESTED, None, "delete"),
        ("OutOfService", REQUESTED, None, "delete"),
        ("Failed", REQUESTED, None, "delete"),
        ("UpdateRollbackFailed", REQUESTED, None, "delete"),
        ("InService", OTHER, None, "failed"),
        ("OutOfService", OTHER, None, "failed"),
        ("Failed", OTHER, None, "failed"),
        ("UpdateRollbackFailed", OTHER, None, "failed"),
    ],
)
def test_a_rollback_reverts_only_the_update_of_the_promotion(
    status: str, config: str, previous: str | None, step: str
) -> None:
    assert rollback_step(endpoint(status, config), REQUESTED, previous).step == step


def test_an_endpoint_that_was_never_created_is_restored() -> None:
    assert rollback_step(None, REQUESTED, None) == RollbackStep("rolled_back")


def test_an_endpoint_that_someone_deleted_is_not_created_again() -> None:
    failed = rollback_step(None, REQUESTED, PREVIOUS)

    assert failed.step == "failed"
    assert f"Create it again with its previous endpoint config {PREVIOUS}, or start a promotion" in failed.reason


@pytest.mark.parametrize(
    ("previous", "before"),
    [(PREVIOUS, f"The previous endpoint config is {PREVIOUS}."), (None, "The endpoint did not exist before.")],
)
def test_a_change_by_someone_else_is_not_rolled_back(previous: str | None, before: str) -> None:
    failed = rollback_step(endpoint("InService", OTHER), REQUESTED, previous)

    assert f"Someone else changed the endpoint reviews-qa to {OTHER} during the promotion" in failed.reason
    assert failed.reason.endswith(before)


@pytest.mark.parametrize("status", BROKEN)
def test_the_rollback_of_a_broken_endpoint_fails_with_the_reason(status: str) -> None:
    failed = rollback_step(endpoint(status, REQUESTED, FailureReason="no capacity"), REQUESTED, PREVIOUS)

    assert f"The endpoint reviews-qa is {status}: no capacity." in failed.reason


def test_a_rollback_waits_for_a_pending_deployment() -> None:
    stale = endpoint("InService", PREVIOUS, **pending(REQUESTED))

    assert rollback_step(stale, REQUESTED, PREVIOUS).step == "wait"


@pytest.mark.parametrize(
    ("time", "than", "older"),
    [(EARLIER, TIME, True), (TIME, LATER, True), (TIME, TIME, False), (LATER, TIME, False), (TIME, EARLIER, False)],
)
def test_times_in_different_time_zones_are_compared(time: str, than: str, older: bool) -> None:
    assert is_older(time, than) is older


def test_the_same_time_in_another_time_zone_is_not_older() -> None:
    assert not is_older("2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00")


def running(**counts: int | None) -> dict[str, Any]:
    return {"ProductionVariants": [{"VariantName": name, "DesiredInstanceCount": n} for name, n in counts.items()]}


def started_with(**counts: int | None) -> dict[str, Any]:
    return {"ProductionVariants": [{"VariantName": name, "InitialInstanceCount": n} for name, n in counts.items()]}


@pytest.mark.parametrize(
    ("actual", "started", "scaled_out"),
    [
        (running(AllTraffic=5), started_with(AllTraffic=2), True),
        (running(AllTraffic=2), started_with(AllTraffic=2), False),
        (running(AllTraffic=1), started_with(AllTraffic=2), False),
        (running(AllTraffic=None), started_with(AllTraffic=None), False),
        (running(AllTraffic=3), started_with(AllTraffic=None), False),
        (running(a=1, b=4), started_with(a=1, b=2), True),
        ({}, started_with(AllTraffic=1), False),
    ],
    ids=["scaled-out", "same", "scaled-in", "serverless", "unknown-size", "one-of-two", "no-variants"],
)
def test_an_endpoint_is_scaled_out_if_it_has_more_instances_than_it_started_with(
    actual: dict[str, Any], started: dict[str, Any], scaled_out: bool
) -> None:
    assert is_scaled_out(actual, started, started) is scaled_out


@pytest.mark.parametrize(("requested", "scaled_out"), [(1, True), (4, True), (5, False), (6, False), (None, True)])
def test_an_endpoint_is_not_scaled_out_if_the_new_config_starts_with_more_instances(
    requested: int | None, scaled_out: bool
) -> None:
    assert is_scaled_out(running(A=5), started_with(A=2), started_with(A=requested)) is scaled_out


def test_variants_with_other_names_do_not_count_in_the_new_config() -> None:
    assert is_scaled_out(running(A=5), started_with(A=2), started_with(B=9))


@pytest.mark.parametrize("changing", [True, False])
@pytest.mark.parametrize("unchanged_checks", [0, 1, 2])
@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS, OTHER])
@pytest.mark.parametrize("status", STATUSES)
def test_alarms_do_not_change_the_verdict_but_are_named_in_a_failure(
    status: str, config: str, unchanged_checks: int, changing: bool
) -> None:
    given = (endpoint(status, config), REQUESTED, PREVIOUS, changing, unchanged_checks)

    without, with_alarms = progress(*given), progress(*given, ("errors", "latency"))

    assert (with_alarms.verdict, with_alarms.changing, with_alarms.unchanged_checks) == (
        without.verdict,
        without.changing,
        without.unchanged_checks,
    )
    assert with_alarms.alarms == ("errors", "latency")
    assert ("In ALARM during the deployment: errors, latency." in with_alarms.reason) is (
        with_alarms.verdict == "failed"
    )


@pytest.mark.parametrize(
    ("smoke_test", "by_event", "outcome"),
    [
        ("s3://models/first.json", False, "already_live"),
        ("skip", False, "already_live"),
        ("s3://models/second.json", True, "already_live"),
        ("s3://models/second.json", False, "update"),
    ],
)
def test_the_live_model_is_tested_again_only_with_another_smoke_test_and_on_request(
    smoke_test: str, by_event: bool, outcome: str
) -> None:
    inspection = Inspection("already_live", "new")

    found = with_new_settings(
        inspection, {"smoke_test": smoke_test, "by_event": by_event}, {"smoke_test": "s3://models/first.json"}
    )

    assert (found.outcome, found.previous) == (outcome, "new")


@pytest.mark.parametrize(
    ("changed", "live", "outcome"),
    [
        ({}, {}, "already_live"),
        # The autoscaling, the quality gate or anything else that an approval covers.
        ({"deployment_digest": "second"}, {}, "update"),
        ({"tags": {"team": "search"}}, {}, "update"),
        ({"by_event": True, "deployment_digest": "second", "tags": {"team": "search"}}, {}, "already_live"),
        # The record of a version that had neither.
        ({"tags": {}}, {"deployment_digest": None}, "already_live"),
    ],
)
def test_the_live_model_is_promoted_again_on_request_if_its_settings_have_changed(
    changed: dict[str, Any], live: dict[str, Any], outcome: str
) -> None:
    usual: Any = {"smoke_test": "skip", "by_event": False, "deployment_digest": "first", "tags": {"team": "reviews"}}
    recorded: Any = usual if not live else {"smoke_test": "skip"}

    found = with_new_settings(Inspection("already_live", "new"), usual | changed, recorded)

    assert (found.outcome, found.previous) == (outcome, "new")
