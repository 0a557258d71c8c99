from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint import scalable_targets
from promotion.errors import PromotionRefusedError, TransientError
from tests.support.s3_faults import client_error
from tests.support.scalable_targets import NIGHT, TRACKING, target

NAME = ("sagemaker", "endpoint/reviews-qa/variant/AllTraffic", "sagemaker:variant:DesiredInstanceCount")


class Service:
    """Application Auto Scaling as far as it takes requests: those it was sent, and what it refuses them with."""

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


def test_what_is_already_as_wanted_is_left_alone() -> None:
    service, scaled = Service(), target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])

    scalable_targets.apply(service, [scaled], [scaled])

    assert service.requests == []


def test_a_new_target_comes_with_all_that_hangs_on_it() -> None:
    service, wanted = Service(), target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])

    scalable_targets.apply(service, [], [wanted])

    assert service.requests == [
        ("register_scalable_target", {key: wanted[key] for key in ("MinCapacity", "MaxCapacity", "SuspendedState")}),
        ("put_scaling_policy", TRACKING),
        ("put_scheduled_action", NIGHT),
    ]


def test_only_what_differs_is_changed_and_what_is_not_wanted_goes() -> None:
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


def test_a_target_that_is_not_wanted_goes_and_may_be_gone() -> None:
    gone = Service({"deregister_scalable_target": client_error("ObjectNotFoundException")})
    denied = Service({"deregister_scalable_target": client_error("AccessDeniedException")})

    scalable_targets.apply(gone, [target()], [])

    assert gone.operations == ["deregister_scalable_target"]
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
def test_what_the_service_refuses_is_tried_again_or_said(code: str, error: type[Exception]) -> None:
    service = Service({"put_scaling_policy": client_error(code, "its own words")})

    with pytest.raises(error, match="its own words"):
        scalable_targets.apply(service, [], [target(ScalingPolicies=[TRACKING])])


def test_an_action_whose_moment_has_come_meanwhile_is_no_trouble() -> None:
    past = Service({"put_scheduled_action": client_error("ValidationException", "it is in the past")})
    once = NIGHT | {"Schedule": "at(2026-01-01T00:00:00)"}

    scalable_targets.apply(past, [], [target(ScheduledActions=[once])])

    with pytest.raises(PromotionRefusedError, match="in the past"):
        scalable_targets.apply(past, [], [target(ScheduledActions=[NIGHT])])
