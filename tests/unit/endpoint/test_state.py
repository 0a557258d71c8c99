from typing import Any

import botocore.session
import pytest

from promotion.endpoint.state import (
    BUSY,
    Inspection,
    Progress,
    RollbackStep,
    inspect,
    is_older,
    is_scaled_out,
    progress,
    rollback_step,
)
from promotion.record import PromotionRecord

REQUESTED, PREVIOUS, OTHER = "reviews-qa-new", "reviews-qa-old", "reviews-qa-by-hand"
EARLIER, TIME, LATER = "2026-01-02T03:04:04Z", "2026-01-02T03:04:05.000Z", "2026-01-02T04:04:06+01:00"
STATUSES = botocore.session.get_session().get_service_model("sagemaker").shape_for("EndpointStatus").enum
REST = ["InService", "OutOfService"]
BROKEN = ["Failed", "UpdateRollbackFailed"]


def endpoint(status: str, config: str, **more: Any) -> dict[str, Any]:
    """DescribeEndpoint's answer."""
    return {"EndpointName": "reviews-qa", "EndpointStatus": status, "EndpointConfigName": config, **more}


def live(config: str, created_at: str) -> PromotionRecord:
    """The record of what is live."""
    return {"endpoint_config_name": config, "created_at": created_at, "model_name": "reviews-qa-live"}


def pending(config: str) -> dict[str, Any]:
    return {"PendingDeploymentSummary": {"EndpointConfigName": config}}


def test_every_status_that_aws_has_is_judged() -> None:
    assert sorted([*BUSY, *REST, *BROKEN]) == sorted(STATUSES)


def test_an_endpoint_that_is_not_there_is_made() -> None:
    assert inspect(None, REQUESTED, TIME, None) == Inspection("update", previous=None)


def test_an_endpoint_that_was_deleted_is_made_again_whatever_is_on_record() -> None:
    assert inspect(None, REQUESTED, TIME, live(OTHER, LATER)) == Inspection("update", previous=None)


@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS])
@pytest.mark.parametrize("status", sorted(BUSY))
def test_an_endpoint_that_is_being_changed_is_busy(status: str, config: str) -> None:
    assert inspect(endpoint(status, config), REQUESTED, TIME, live(config, LATER)) == Inspection(
        "busy", config, f"The endpoint reviews-qa is {status}."
    )


@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS])
@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("Failed", "Only deleting it helps, then start the promotion again."),
        ("UpdateRollbackFailed", "Its fleet is mixed; bring it to a config that works with UpdateEndpoint, then start"),
    ],
)
def test_a_broken_endpoint_is_unusable_with_the_reason_and_what_to_do(status: str, advice: str, config: str) -> None:
    inspection = inspect(endpoint(status, config, FailureReason="no capacity"), REQUESTED, TIME, None)

    assert (inspection.outcome, inspection.previous) == ("unusable", config)
    assert f"The endpoint reviews-qa is {status}: no capacity. " in inspection.reason
    assert advice in inspection.reason


def test_the_requested_config_in_service_is_already_live() -> None:
    assert inspect(endpoint("InService", REQUESTED), REQUESTED, TIME, live(REQUESTED, TIME)) == Inspection(
        "already_live", REQUESTED, f"The endpoint reviews-qa already has the config {REQUESTED}."
    )


def test_the_requested_config_out_of_service_is_not_live() -> None:
    assert inspect(endpoint("OutOfService", REQUESTED), REQUESTED, TIME, None) == Inspection("update", REQUESTED)


@pytest.mark.parametrize("status", REST)
@pytest.mark.parametrize("record", [None, live(PREVIOUS, EARLIER), live(PREVIOUS, TIME), live(OTHER, LATER)])
def test_another_config_that_is_not_newer_is_changed(record: PromotionRecord | None, status: str) -> None:
    assert inspect(endpoint(status, PREVIOUS), REQUESTED, TIME, record) == Inspection("update", PREVIOUS)


@pytest.mark.parametrize("status", REST)
def test_a_newer_model_stays_live(status: str) -> None:
    inspection = inspect(endpoint(status, PREVIOUS), REQUESTED, TIME, live(PREVIOUS, LATER))

    assert (inspection.outcome, inspection.previous) == ("newer_live", PREVIOUS)
    assert inspection.reason == (
        f"reviews-qa-live, which is live on reviews-qa, is of {LATER} and so newer than this candidate of {TIME}."
    )


def test_a_newer_model_on_record_that_someone_replaced_by_hand_holds_up_nothing() -> None:
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
        "failed", reason=f"The endpoint reviews-qa is OutOfService with the new config {REQUESTED}."
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
def test_in_service_with_the_old_config_after_a_change_is_a_rollback_and_no_success(status: str) -> None:
    rolled_back = endpoint(status, PREVIOUS, FailureReason="The primary container did not pass the ping health check.")

    seen = progress(rolled_back, REQUESTED, PREVIOUS, changing=True, unchanged_checks=0)

    assert seen == Progress(
        "failed",
        reason=f"SageMaker put the endpoint reviews-qa back to {PREVIOUS}: The primary container did not pass the ping "
        "health check.",
    )


def test_a_rollback_without_a_reason_is_told_as_such() -> None:
    seen = progress(endpoint("InService", PREVIOUS), REQUESTED, PREVIOUS, changing=True, unchanged_checks=0)

    assert seen.reason == f"SageMaker put the endpoint reviews-qa back to {PREVIOUS}: SageMaker gave no reason"


def test_the_first_look_at_an_unchanged_endpoint_may_be_stale_and_the_second_is_not() -> None:
    first = progress(endpoint("InService", PREVIOUS), REQUESTED, PREVIOUS, changing=False, unchanged_checks=0)
    second = progress(endpoint("InService", PREVIOUS), REQUESTED, PREVIOUS, first.changing, first.unchanged_checks)

    assert first == Progress(
        "in_progress", unchanged_checks=1, reason="The endpoint reviews-qa has not begun to change."
    )
    assert not first.changing
    assert second.verdict == "failed"


def test_a_config_that_is_still_pending_is_not_deployed() -> None:
    seen = progress(
        endpoint("InService", PREVIOUS, **pending(REQUESTED)), REQUESTED, PREVIOUS, False, unchanged_checks=0
    )

    assert seen.verdict == "in_progress"


def test_an_empty_pending_deployment_is_none() -> None:
    settled = endpoint("InService", REQUESTED, PendingDeploymentSummary=None)

    assert progress(settled, REQUESTED, PREVIOUS, changing=True, unchanged_checks=0) == Progress("deployed")


@pytest.mark.parametrize("previous", [PREVIOUS, None])
@pytest.mark.parametrize("changing", [True, False])
@pytest.mark.parametrize("status", REST)
def test_a_config_that_is_neither_old_nor_new_was_brought_by_someone_else(
    status: str, changing: bool, previous: str | None
) -> None:
    seen = progress(endpoint(status, OTHER), REQUESTED, previous, changing, unchanged_checks=0)

    assert seen == Progress(
        "failed", reason=f"Someone else changed the endpoint reviews-qa to the config {OTHER} meanwhile."
    )


def test_an_endpoint_that_is_gone_was_deleted_by_someone() -> None:
    assert progress(None, REQUESTED, PREVIOUS, changing=True, unchanged_checks=0) == Progress(
        "failed", reason="Someone deleted the endpoint during the deployment."
    )


@pytest.mark.parametrize("previous", [PREVIOUS, None])
@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS, OTHER])
@pytest.mark.parametrize("status", sorted(BUSY))
def test_on_the_rollback_step_a_changing_endpoint_is_waited_for(status: str, config: str, previous: str | None) -> None:
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
        # What this promotion created is deleted, however it ended.
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
def test_the_rollback_step_undoes_what_this_promotion_did_and_nothing_else(
    status: str, config: str, previous: str | None, step: str
) -> None:
    assert rollback_step(endpoint(status, config), REQUESTED, previous).step == step


def test_an_endpoint_that_did_not_exist_and_does_not_is_restored() -> None:
    assert rollback_step(None, REQUESTED, None) == RollbackStep("rolled_back")


def test_an_endpoint_that_someone_deleted_is_not_made_again_by_itself() -> None:
    way = rollback_step(None, REQUESTED, PREVIOUS)

    assert way.step == "failed"
    assert f"Its config was {PREVIOUS}; create it anew with that config, or promote again" in way.reason


@pytest.mark.parametrize(
    ("previous", "before"), [(PREVIOUS, f"Its config was {PREVIOUS} before."), (None, "it did not exist before.")]
)
def test_an_endpoint_that_someone_else_changed_is_left_as_it_is(previous: str | None, before: str) -> None:
    way = rollback_step(endpoint("InService", OTHER), REQUESTED, previous)

    assert f"Someone else changed the endpoint reviews-qa to the config {OTHER} during the promotion" in way.reason
    assert way.reason.endswith(before)


@pytest.mark.parametrize("status", BROKEN)
def test_a_broken_endpoint_needs_people_who_are_told_why(status: str) -> None:
    way = rollback_step(endpoint(status, REQUESTED, FailureReason="no capacity"), REQUESTED, PREVIOUS)

    assert f"The endpoint reviews-qa is {status}: no capacity." in way.reason


def test_a_deployment_that_is_pending_is_waited_for_before_anything_counts_as_restored() -> None:
    stale = endpoint("InService", PREVIOUS, **pending(REQUESTED))

    assert rollback_step(stale, REQUESTED, PREVIOUS).step == "wait"


@pytest.mark.parametrize(
    ("time", "than", "older"),
    [(EARLIER, TIME, True), (TIME, LATER, True), (TIME, TIME, False), (LATER, TIME, False), (TIME, EARLIER, False)],
)
def test_one_time_is_older_than_another_whatever_their_zones(time: str, than: str, older: bool) -> None:
    assert is_older(time, than) is older


def test_the_same_moment_in_another_zone_is_not_older() -> None:
    assert not is_older("2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00")


def fleet(**counts: int | None) -> dict[str, Any]:
    return {"ProductionVariants": [{"VariantName": name, "DesiredInstanceCount": n} for name, n in counts.items()]}


def started_with(**counts: int | None) -> dict[str, Any]:
    return {"ProductionVariants": [{"VariantName": name, "InitialInstanceCount": n} for name, n in counts.items()]}


@pytest.mark.parametrize(
    ("has", "started", "scaled_out"),
    [
        (fleet(AllTraffic=5), started_with(AllTraffic=2), True),
        (fleet(AllTraffic=2), started_with(AllTraffic=2), False),
        (fleet(AllTraffic=1), started_with(AllTraffic=2), False),
        (fleet(AllTraffic=None), started_with(AllTraffic=None), False),
        (fleet(AllTraffic=3), started_with(AllTraffic=None), False),
        (fleet(a=1, b=4), started_with(a=1, b=2), True),
        ({}, started_with(AllTraffic=1), False),
    ],
    ids=["out", "same", "in", "serverless", "of-unknown-size", "one-of-two", "no-variants"],
)
def test_a_fleet_is_scaled_out_when_it_has_more_than_it_started_with(
    has: dict[str, Any], started: dict[str, Any], scaled_out: bool
) -> None:
    assert is_scaled_out(has, started, started) is scaled_out


@pytest.mark.parametrize(("requested", "scaled_out"), [(1, True), (4, True), (5, False), (6, False), (None, True)])
def test_a_fleet_that_was_scaled_out_does_not_keep_a_new_config_from_starting_with_more(
    requested: int | None, scaled_out: bool
) -> None:
    assert is_scaled_out(fleet(A=5), started_with(A=2), started_with(A=requested)) is scaled_out


def test_what_runs_is_not_smaller_than_a_config_whose_variants_have_other_names() -> None:
    assert is_scaled_out(fleet(A=5), started_with(A=2), started_with(B=9))


@pytest.mark.parametrize("changing", [True, False])
@pytest.mark.parametrize("unchanged_checks", [0, 1, 2])
@pytest.mark.parametrize("config", [REQUESTED, PREVIOUS, OTHER])
@pytest.mark.parametrize("status", STATUSES)
def test_alarms_change_no_verdict_but_are_named_when_it_failed(
    status: str, config: str, unchanged_checks: int, changing: bool
) -> None:
    given = (endpoint(status, config), REQUESTED, PREVIOUS, changing, unchanged_checks)

    silent, loud = progress(*given), progress(*given, ("errors", "latency"))

    assert (loud.verdict, loud.changing, loud.unchanged_checks) == (
        silent.verdict,
        silent.changing,
        silent.unchanged_checks,
    )
    assert loud.alarms == ("errors", "latency")
    assert ("In ALARM during the deployment: errors, latency." in loud.reason) is (loud.verdict == "failed")
