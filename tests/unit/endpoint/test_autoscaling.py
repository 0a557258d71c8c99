import datetime
from typing import Any

import pytest

from promotion.endpoint import autoscaling
from promotion.endpoint.autoscaling import CONCURRENCY, INSTANCES
from promotion.errors import InvalidRequestError, PromotionRefusedError
from tests.support.scalable_targets import NIGHT, RESUMED, TRACKING, target

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
EARLIER, LATER = NOW - datetime.timedelta(days=1), NOW + datetime.timedelta(days=1)
GOOD = {"MinCapacity": 1, "MaxCapacity": 4, "ScalingPolicies": [TRACKING], "ScheduledActions": [NIGHT]}
M5 = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
C5 = M5 | {"InstanceType": "ml.c5.large"}
SERVERLESS = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        {"MinCapacity": 0, "MaxCapacity": 0},
        GOOD | {"SuspendedState": {"ScheduledScalingSuspended": True}},
        GOOD | {"ScheduledActions": [NIGHT | {"StartTime": "2026-01-02T03:04:05Z", "Timezone": "Europe/Dublin"}]},
    ],
)
def test_what_the_api_takes_lock_held_as_it_is(good: dict[str, Any]) -> None:
    assert autoscaling.validated(good, "here") == good


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "here is not an object"),
        ({"MaxCapacity": 1}, "here has no MinCapacity"),
        ({"MinCapacity": 1}, "here has no MaxCapacity"),
        ({"MinCapacity": 2, "MaxCapacity": 1}, "at most MaxCapacity"),
        ({"MinCapacity": -1, "MaxCapacity": 1}, "at least 0"),
        ({"MinCapacity": "1", "MaxCapacity": 1}, "MinCapacity"),
        (GOOD | {"RoleARN": "arn"}, "here has the unknown key 'RoleARN'; known are MaxCapacity"),
        (GOOD | {"ScalingPolicies": {}}, "here.ScalingPolicies is not a list"),
        (GOOD | {"ScalingPolicies": ["x"]}, "here.ScalingPolicies[0] is not an object"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"ResourceId": "x"}]}, "ResourceId is filled in by the promotion"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"Colour": "x"}]}, "Colour"),
        (GOOD | {"ScalingPolicies": [{"PolicyName": "x"}]}, "here.ScalingPolicies[0] needs a PolicyType"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"PolicyType": "StepScaling"}]}, "configuration of that type"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"PolicyType": "PredictiveScaling"}]}, "one of StepScaling"),
        (GOOD | {"ScalingPolicies": [TRACKING, TRACKING]}, "two with the PolicyName 'invocations'"),
        (GOOD | {"ScheduledActions": [{"Schedule": "rate(1 day)"}]}, "ScheduledActionName"),
        (GOOD | {"ScheduledActions": [NIGHT | {"StartTime": "at noon"}]}, "StartTime"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_place(wrong: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        autoscaling.validated(wrong, "here")

    assert said in str(error.value)


def test_what_is_described_is_kept_without_what_the_service_fills_in() -> None:
    found = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/reviews-qa/variant/AllTraffic",
        "ScalableDimension": INSTANCES,
        "MinCapacity": 1,
        "MaxCapacity": 4,
        "SuspendedState": {"ScheduledScalingSuspended": True},
        "RoleARN": "arn",
        "CreationTime": EARLIER,
    }
    policies: list[dict[str, Any]] = [
        {**TRACKING, "PolicyARN": "arn", "CreationTime": EARLIER, "Alarms": []},
        {**TRACKING, "PolicyName": "a"},
    ]
    actions: list[dict[str, Any]] = [
        {**NIGHT, "ScheduledActionARN": "arn", "CreationTime": EARLIER, "StartTime": EARLIER, "EndTime": LATER},
        {**NIGHT, "ScheduledActionName": "later", "StartTime": LATER},
        {**NIGHT, "ScheduledActionName": "over", "EndTime": EARLIER},
    ]

    assert autoscaling.whole(found, policies, actions, NOW) == target(
        SuspendedState=RESUMED | {"ScheduledScalingSuspended": True},
        ScalingPolicies=[TRACKING | {"PolicyName": "a"}, TRACKING],
        ScheduledActions=[
            NIGHT | {"ScheduledActionName": "later", "StartTime": LATER.isoformat()},
            NIGHT | {"EndTime": LATER.isoformat()},
        ],
    )


def test_targets_are_alike_whatever_their_order_and_whatever_happened_once() -> None:
    once = NIGHT | {"Schedule": "at(2026-01-01T00:00:00)"}

    assert autoscaling.alike([target("a"), target("b")], [target("b"), target("a")])
    assert autoscaling.alike([target(ScheduledActions=[once])], [target()])
    assert not autoscaling.alike([target(ScheduledActions=[NIGHT])], [target()])
    assert not autoscaling.alike([target(MaxCapacity=5)], [target()])
    assert not autoscaling.alike([], [target()])


@pytest.mark.parametrize(
    ("old", "new", "stands"),
    [
        ([M5], [M5 | {"ModelName": "another"}], False),
        ([M5], [C5], True),
        ([M5], [M5 | {"VariantName": "another"}], True),
        ([M5], [SERVERLESS], True),
        ([M5], [M5 | {"InstancePools": [{"InstanceType": "ml.c5.large"}]}], True),
        (None, [M5], True),
        ([M5], None, True),
    ],
)
def test_a_target_stands_in_the_way_of_other_hardware(old: Any, new: Any, stands: bool) -> None:
    assert autoscaling.stands_in_the_way(target(), old, new) is stands


def test_without_settings_what_was_stays() -> None:
    assert autoscaling.wanted("reviews-qa", None, [target()], [C5]) == [target()]
    assert autoscaling.wanted("reviews-qa", None, [], [C5]) == []


@pytest.mark.parametrize("previous", [target("another"), target(ScalableDimension=CONCURRENCY)])
def test_what_cannot_stay_and_is_not_in_the_settings_is_refused_by_name(previous: autoscaling.Target) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        autoscaling.wanted("reviews-qa", None, [previous], [M5])

    assert previous["ResourceId"] in str(error.value)
    assert "Say in the settings, as Autoscaling" in str(error.value)


def test_settings_hold_instead_of_what_was() -> None:
    previous = [target("another"), target(MaxCapacity=9, ScalingPolicies=[TRACKING | {"PolicyName": "by hand"}])]

    assert autoscaling.wanted("reviews-qa", GOOD, previous, [M5]) == [
        target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])
    ]


def test_scaling_that_somebody_suspended_stays_so_unless_the_settings_say_otherwise() -> None:
    suspended = {"DynamicScalingInSuspended": True}
    previous = [target(SuspendedState=RESUMED | suspended)]

    [stays] = autoscaling.wanted("reviews-qa", GOOD, previous, [M5])
    [resumed] = autoscaling.wanted("reviews-qa", GOOD | {"SuspendedState": RESUMED}, previous, [M5])

    assert stays["SuspendedState"] == RESUMED | suspended
    assert resumed["SuspendedState"] == RESUMED


def test_a_serverless_variant_scales_its_provisioned_concurrency() -> None:
    [wanted] = autoscaling.wanted("reviews-qa", GOOD, [], [SERVERLESS])

    assert wanted["ScalableDimension"] == CONCURRENCY
