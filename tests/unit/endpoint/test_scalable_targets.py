import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint import scalable_targets
from promotion.errors import PromotionRefusedError, TransientError
from tests.support.s3_faults import client_error
from tests.support.scalable_targets import NIGHT, TRACKING, target

NAME = ("sagemaker", "endpoint/reviews-qa/variant/AllTraffic", "sagemaker:variant:DesiredInstanceCount")


class Service:
    """A client of Application Auto Scaling that records its requests and can refuse them."""

    def __init__(self, refusals: dict[str, ClientError] | None = None) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.refusals = refusals or {}

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> None:
            name = tuple(request.pop(key) for key in ("ServiceNamespace", "ResourceId", "ScalableDimension"))
            assert name == NAME
            self.requests.append((operation, request))
            if operation in self.refusals:
                raise self.refusals[operation]

        return call

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.requests]


def test_nothing_is_requested_without_a_difference() -> None:
    service, scaled = Service(), target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])

    scalable_targets.apply(service, [scaled], [scaled])

    assert service.requests == []


def test_a_new_target_is_registered_with_its_policies_and_actions() -> None:
    service, wanted = Service(), target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])

    scalable_targets.apply(service, [], [wanted])

    assert service.requests == [
        ("register_scalable_target", {key: wanted[key] for key in ("MinCapacity", "MaxCapacity", "SuspendedState")}),
        ("put_scaling_policy", TRACKING),
        ("put_scheduled_action", NIGHT),
    ]


def test_only_differences_are_changed() -> None:
    service = Service()
    by_hand = TRACKING | {"PolicyName": "by hand"}
    other_type = {"PolicyName": "steps", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": {}}
    tracking = TRACKING | {"PolicyName": "steps"}
    actual = target(ScalingPolicies=[by_hand, other_type, TRACKING], ScheduledActions=[NIGHT])

    scalable_targets.apply(service, [actual], [target(ScalingPolicies=[tracking, TRACKING])])

    assert service.requests == [
        ("delete_scaling_policy", {"PolicyName": "by hand"}),
        ("delete_scaling_policy", {"PolicyName": "steps"}),
        ("put_scaling_policy", tracking),
        ("delete_scheduled_action", {"ScheduledActionName": "night"}),
    ]


def test_an_unwanted_target_is_deregistered_if_it_still_exists() -> None:
    missing = Service({"deregister_scalable_target": client_error("ObjectNotFoundException")})
    denied = Service({"deregister_scalable_target": client_error("AccessDeniedException")})

    scalable_targets.apply(missing, [target()], [])

    assert missing.operations == ["deregister_scalable_target"]
    with pytest.raises(ClientError, match="AccessDenied"):
        scalable_targets.apply(denied, [target()], [])


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ObjectNotFoundException", TransientError),
        ("ConcurrentUpdateException", ClientError),
        ("ThrottlingException", ClientError),
        ("ValidationException", PromotionRefusedError),
        ("LimitExceededException", PromotionRefusedError),
        ("AccessDeniedException", PromotionRefusedError),
    ],
)
def test_a_refused_request_is_retried_or_reported(code: str, error: type[Exception]) -> None:
    service = Service({"put_scaling_policy": client_error(code, "the message of AWS")})

    with pytest.raises(error, match="the message of AWS"):
        scalable_targets.apply(service, [], [target(ScalingPolicies=[TRACKING])])


@pytest.mark.parametrize(("failures", "succeeds"), [(1, True), (12, True), (13, False)])
def test_the_role_of_the_first_target_of_an_account_is_awaited_for_a_minute(
    failures: int, succeeds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, slept = Service(), [0.0]
    service.refusals["register_scalable_target"] = client_error("ValidationException", "Unable to assume IAM role: x")

    def sleep(seconds: float) -> None:
        slept[0] += seconds
        if service.operations.count("register_scalable_target") == failures:
            service.refusals.clear()

    monkeypatch.setattr(time, "sleep", sleep)

    if succeeds:
        scalable_targets.apply(service, [], [target()])
    else:
        with pytest.raises(TransientError, match="Unable to assume IAM role"):
            scalable_targets.apply(service, [], [target()])

    assert slept[0] == min(failures, 12) * 5


def test_a_one_time_action_in_the_past_is_ignored() -> None:
    past = Service({"put_scheduled_action": client_error("ValidationException", "it is in the past")})
    once = NIGHT | {"Schedule": "at(2026-01-01T00:00:00)"}

    scalable_targets.apply(past, [], [target(ScheduledActions=[once])])

    with pytest.raises(PromotionRefusedError, match="in the past"):
        scalable_targets.apply(past, [], [target(ScheduledActions=[NIGHT])])
