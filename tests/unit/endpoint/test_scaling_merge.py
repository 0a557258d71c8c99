"""A promotion changes only what it wants to change: changes by others, and what a schedule has set, stay."""

from typing import Any

import pytest

from promotion.endpoint import scalable_targets
from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.scaling_merge import merged, with_deregistered
from tests.support.sagemaker import NEW, OLD, SageMaker
from tests.support.scalable_targets import NIGHT, RESUMED, TRACKING, target

OTHER = TRACKING | {"PolicyName": "other"}
SUSPENDED = RESUMED | {"DynamicScalingInSuspended": True}
NIGHTLY = target(ScheduledActions=[NIGHT])  # at night at most 1, otherwise 4


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result"),
    [
        pytest.param({}, {}, {"MaxCapacity": 9}, {"MaxCapacity": 9}, id="scaled meanwhile"),
        pytest.param({}, {"MaxCapacity": 6}, {}, {"MaxCapacity": 6}, id="settings"),
        pytest.param({}, {"MaxCapacity": 6}, {"MaxCapacity": 9}, {"MaxCapacity": 9}, id="both"),
        pytest.param(
            {}, {"MinCapacity": 2}, {"MaxCapacity": 1}, {"MinCapacity": 2, "MaxCapacity": 4}, id="not together"
        ),
        pytest.param({}, {}, {"SuspendedState": SUSPENDED}, {"SuspendedState": SUSPENDED}, id="suspended meanwhile"),
        pytest.param(
            {"SuspendedState": SUSPENDED}, {"SuspendedState": SUSPENDED}, {}, {"SuspendedState": RESUMED}, id="resumed"
        ),
        pytest.param({}, {"ScalingPolicies": [TRACKING]}, {}, {"ScalingPolicies": [TRACKING]}, id="policy added"),
        pytest.param(
            {}, {"ScalingPolicies": [TRACKING]}, {"ScalingPolicies": [OTHER]}, {"ScalingPolicies": [OTHER, TRACKING]},
            id="two policies",
        ),
        pytest.param({"ScalingPolicies": [OTHER]}, {}, {"ScalingPolicies": [OTHER]}, {}, id="policy removed"),
        pytest.param(
            {"ScalingPolicies": [OTHER]}, {"ScalingPolicies": [OTHER]}, {}, {}, id="policy removed meanwhile"
        ),
        pytest.param(
            {"ScalingPolicies": [TRACKING]},
            {"ScalingPolicies": []},
            {"ScalingPolicies": [TRACKING | {"Alarms": [], "DisableScaleIn": False}]},
            {"ScalingPolicies": []},
            id="members that AWS adds",
        ),
    ],
)  # fmt: skip
def test_a_target_is_merged(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged([target(**base)], [target(**ours)], [target(**theirs)]) == [target(**result)]


@pytest.mark.parametrize(
    ("found", "wanted", "result"),
    [
        pytest.param(1, NIGHTLY, 1, id="at night"),
        pytest.param(4, NIGHTLY | {"MaxCapacity": 6}, 6, id="by day"),
        pytest.param(1, target(MaxCapacity=6), 6, id="without the schedule"),
    ],
)
def test_capacities_that_a_schedule_has_set_stay(found: int, wanted: dict[str, Any], result: int) -> None:
    actual = [NIGHTLY | {"MaxCapacity": found}]

    assert merged(actual, [wanted], actual)[0]["MaxCapacity"] == result
    # Also if the promotion had deregistered the target.
    assert merged(actual, [wanted], with_deregistered([], actual))[0]["MaxCapacity"] == result


def test_targets_appear_and_disappear() -> None:
    one, other = target(), target("other")

    assert merged([], [one], []) == [one]
    assert merged([one], [], [one]) == []
    assert merged([], [one], [other]) == [one, other]
    assert merged([one], [one], []) == []
    # An earlier attempt has registered the target, but not its policy.
    assert merged([], [target(ScalingPolicies=[TRACKING])], [one]) == [target(ScalingPolicies=[TRACKING])]


def test_only_what_the_promotion_has_deregistered_comes_back() -> None:
    previous = [target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])]
    change = Change(previous, previous, OLD, NEW)
    blocking = SageMaker(counts={})  # a deleted config could have had another instance type

    assert scalable_targets.to_apply(SageMaker(), [], change) == []
    assert scalable_targets.to_restore(SageMaker(), [], change) == []
    for actual in ([], [target()], [target(ScalingPolicies=[TRACKING])]):
        assert scalable_targets.to_apply(blocking, actual, change) == previous
        assert scalable_targets.to_restore(blocking, actual, change) == previous


def test_a_rollback_restores_what_the_promotion_has_applied() -> None:
    before, wanted = target(ScalingPolicies=[OTHER]), target(MaxCapacity=9, ScalingPolicies=[TRACKING])
    change = Change([before], [wanted], OLD, NEW)

    for actual in (before, wanted):
        assert scalable_targets.to_restore(SageMaker(), [actual], change) == [before]
    suspended = wanted | {"SuspendedState": SUSPENDED}
    assert scalable_targets.to_restore(SageMaker(), [suspended], change) == [before | {"SuspendedState": SUSPENDED}]
