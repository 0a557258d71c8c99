"""Each step of a rollback makes one change, and fails with a reason if none is possible."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint import rollback, scalable_targets
from promotion.endpoint.autoscaling import Target
from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.state import RollbackStep
from promotion.errors import PromotionRefusedError
from tests.support.s3_faults import client_error, not_found
from tests.support.sagemaker import BUSY, NEW, OLD, SageMaker
from tests.support.scalable_targets import target

PREVIOUS, OTHERS = target(), target(MaxCapacity=9)


class Hosting(SageMaker):
    def delete_endpoint(self, **request: Any) -> None:
        self.update_endpoint(**request)


class Targets:
    """The scalable targets of an endpoint in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.actual: list[Target] = []
        self.refusal: Exception | None = None
        monkeypatch.setattr(scalable_targets, "read", lambda *_: list(self.actual))
        monkeypatch.setattr(scalable_targets, "apply", self.apply)

    def apply(self, _: Any, __: list[Target], wanted: list[Target]) -> None:
        if self.refusal:
            raise self.refusal
        self.actual = wanted

    def deregister_scalable_target(self, **_: str) -> None:
        self.actual = []


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> Targets:
    return Targets(monkeypatch)


def step(sagemaker: Hosting, scaling: Targets, previous: str | None = OLD, *known: Target) -> RollbackStep:
    """Take a step of the rollback of a promotion that has deregistered the targets or applied those of `OTHERS`."""
    sagemaker.counts = {}  # the configs no longer exist, so that any target could have blocked the update
    return rollback.take_step(sagemaker, scaling, "reviews-qa", Change(list(known), [OTHERS], previous, NEW))


def test_an_endpoint_with_the_new_config_is_updated_at_once(targets: Targets) -> None:
    sagemaker = Hosting(NEW)

    assert step(sagemaker, targets).step == "update"

    request = {"EndpointName": "reviews-qa", "EndpointConfigName": OLD, "RetainAllVariantProperties": False}
    assert sagemaker.requests == [request]


def test_a_new_endpoint_is_deleted_with_its_targets(targets: Targets) -> None:
    sagemaker, targets.actual = Hosting(NEW), [OTHERS]

    assert step(sagemaker, targets, None).step == "delete"

    assert sagemaker.requests == [{"EndpointName": "reviews-qa"}]
    assert targets.actual == []


def test_an_endpoint_is_restored_after_its_targets(targets: Targets) -> None:
    sagemaker, targets.actual = Hosting(), [OTHERS]

    assert step(sagemaker, targets, OLD, PREVIOUS).step == "wait"
    assert targets.actual == [PREVIOUS]
    assert step(sagemaker, targets, OLD, PREVIOUS) == RollbackStep("rolled_back")


def test_a_change_by_someone_else_survives_the_rollback(targets: Targets) -> None:
    targets.actual = [target(MaxCapacity=7)]

    assert step(Hosting(), targets, OLD, PREVIOUS) == RollbackStep("rolled_back")

    assert targets.actual == [target(MaxCapacity=7)]


def test_an_endpoint_that_did_not_exist_is_restored_without_targets(targets: Targets) -> None:
    targets.actual = [OTHERS]

    assert step(Hosting(None), targets, None) == RollbackStep("rolled_back")

    assert targets.actual == []


def test_an_endpoint_that_someone_else_changed_gets_only_its_missing_targets(targets: Targets) -> None:
    failed = step(Hosting("another"), targets, OLD, PREVIOUS)

    assert failed.step == "failed"
    assert targets.actual == [PREVIOUS]
    targets.actual = [OTHERS]
    assert step(Hosting("another"), targets, OLD, PREVIOUS) == failed
    assert targets.actual == [OTHERS]


def test_the_reason_names_targets_that_cannot_be_restored(targets: Targets) -> None:
    failed = step(Hosting("another", "Failed"), targets, OLD, PREVIOUS)
    targets.refusal = PromotionRefusedError("The scaling could not be set.")
    refused = step(Hosting("another"), targets, OLD, PREVIOUS)

    assert "Its autoscaling was removed and has not been restored." in failed.reason
    assert "in the promotion table, in the item of the kind autoscaling" in failed.reason
    assert refused.reason.endswith(" The scaling could not be set.")


@pytest.mark.parametrize(
    ("refusal", "previous", "found"),
    [
        (BUSY, OLD, RollbackStep("wait", "The endpoint reviews-qa is being updated.")),
        (not_found("endpoint", "reviews-qa"), None, RollbackStep("wait", "The endpoint reviews-qa no longer exists.")),
    ],
)
def test_a_rollback_waits_for_an_endpoint_that_changes_meanwhile(
    targets: Targets, refusal: ClientError, previous: str | None, found: RollbackStep
) -> None:
    assert step(Hosting(NEW, refusal=refusal), targets, previous) == found


def test_a_repeated_deletion_that_is_denied_since_the_endpoint_is_gone_is_no_error(targets: Targets) -> None:
    class Deleted(Hosting):
        def delete_endpoint(self, **request: Any) -> None:
            self.endpoint = None
            super().delete_endpoint(**request)

    sagemaker = Deleted(NEW, refusal=client_error("AccessDeniedException"))

    assert step(sagemaker, targets, None) == RollbackStep("wait", "The endpoint reviews-qa no longer exists.")
    assert step(sagemaker, targets, None) == RollbackStep("rolled_back")


def test_a_rollback_fails_without_the_previous_config(targets: Targets) -> None:
    found = step(Hosting(NEW, refusal=not_found("endpoint-configuration", OLD)), targets)

    assert found.step == "failed"
    assert (
        f"The endpoint reviews-qa could not be rolled back to the endpoint config {OLD}. ValidationException"
        in found.reason
    )


def test_a_denied_request_is_raised_so_that_a_recovery_can_continue(targets: Targets) -> None:
    denied = client_error("AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        step(Hosting(NEW, refusal=denied), targets)
    targets.refusal = PromotionRefusedError("denied")
    targets.refusal.__cause__ = denied
    with pytest.raises(PromotionRefusedError, match="denied"):
        step(Hosting(), targets, OLD, PREVIOUS)


def test_a_rollback_fails_if_its_targets_are_refused(targets: Targets) -> None:
    targets.refusal = PromotionRefusedError("The scaling could not be set.")

    found = step(Hosting(), targets, OLD, PREVIOUS)

    assert found == RollbackStep("failed", "The scaling could not be set.")
