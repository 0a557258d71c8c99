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
M5 = {"VariantName": "AllTraffic", "ModelName": "reviews", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
C5 = M5 | {"InstanceType": "ml.c5.large"}
SERVERLESS = {
    "VariantName": "AllTraffic",
    "ModelName": "reviews",
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
}
HOST = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        {"MinCapacity": 0, "MaxCapacity": 0},
        GOOD | {"SuspendedState": {"ScheduledScalingSuspended": True}},
        GOOD | {"ScheduledActions": [NIGHT | {"StartTime": "2026-01-02T03:04:05Z", "Timezone": "Europe/Dublin"}]},
    ],
)
def test_valid_autoscaling_is_returned_unchanged(good: dict[str, Any]) -> None:
    assert autoscaling.validated(good, "here") == good


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "here is not an object"),
        ({"MaxCapacity": 1}, "here.MinCapacity is missing"),
        ({"MinCapacity": 1}, "here.MaxCapacity is missing"),
        ({"MinCapacity": 2, "MaxCapacity": 1}, "MinCapacity is 2. It must be from 0 to MaxCapacity, which is 1."),
        ({"MinCapacity": -1, "MaxCapacity": 1}, "MinCapacity is -1. It must be from 0"),
        ({"MinCapacity": "1", "MaxCapacity": 1}, "MinCapacity"),
        (GOOD | {"RoleARN": "arn"}, "here has the unknown key 'RoleARN'. Valid keys: MaxCapacity"),
        (GOOD | {"MinimumCapacity": 1}, "unknown key 'MinimumCapacity' (did you mean \"MinCapacity\"?)"),
        (GOOD | {"ScalingPolicies": {}}, "here.ScalingPolicies is not a list"),
        (GOOD | {"ScalingPolicies": ["x"]}, "here.ScalingPolicies[0] is not an object"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"ResourceId": "x"}]}, "ResourceId is set by the promotion"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"Colour": "x"}]}, "Colour"),
        (GOOD | {"ScalingPolicies": [{"PolicyName": "x"}]}, "here.ScalingPolicies[0] requires a PolicyType"),
        (GOOD | {"ScalingPolicies": [TRACKING | {"PolicyType": "StepScaling"}]}, "(StepScalingPolicyConfiguration or"),
        (
            GOOD | {"ScalingPolicies": [TRACKING | {"PolicyType": "PredictiveScaling"}]},
            "requires a PolicyType (StepScaling or TargetTrackingScaling)",
        ),
        (GOOD | {"ScalingPolicies": [TRACKING, TRACKING]}, "has the PolicyName 'invocations' twice"),
        (GOOD | {"ScheduledActions": [{"Schedule": "rate(1 day)"}]}, "ScheduledActionName"),
        (GOOD | {"ScheduledActions": [NIGHT | {"StartTime": "at noon"}]}, "StartTime"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        autoscaling.validated(value, "here")

    assert message in str(error.value)


def test_a_target_has_no_generated_members_and_no_past_times() -> None:
    description = {
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

    assert autoscaling.from_description(description, policies, actions, NOW) == target(
        SuspendedState=RESUMED | {"ScheduledScalingSuspended": True},
        ScalingPolicies=[TRACKING | {"PolicyName": "a"}, TRACKING],
        ScheduledActions=[
            NIGHT | {"ScheduledActionName": "later", "StartTime": LATER.isoformat()},
            NIGHT | {"EndTime": LATER.isoformat()},
        ],
    )


def test_targets_are_equivalent_regardless_of_order_and_one_time_actions() -> None:
    once = NIGHT | {"Schedule": "at(2026-01-01T00:00:00)"}

    assert autoscaling.are_equivalent([target("a"), target("b")], [target("b"), target("a")])
    assert autoscaling.are_equivalent([target(ScheduledActions=[once])], [target()])
    assert not autoscaling.are_equivalent([target(ScheduledActions=[NIGHT])], [target()])
    assert not autoscaling.are_equivalent([target(MaxCapacity=5)], [target()])
    assert not autoscaling.are_equivalent([], [target()])


@pytest.mark.parametrize(
    ("old", "new", "blocks"),
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
def test_a_target_blocks_a_change_of_its_hardware(old: Any, new: Any, blocks: bool) -> None:
    assert autoscaling.blocks_update(target(), old, new) is blocks


def test_without_settings_the_previous_targets_are_kept() -> None:
    assert autoscaling.wanted("reviews-qa", None, [target()], [C5]) == [target()]
    assert autoscaling.wanted("reviews-qa", None, [], [C5]) == []


@pytest.mark.parametrize("previous", [target("another"), target(ScalableDimension=CONCURRENCY)])
def test_a_previous_target_that_cannot_be_kept_is_refused(previous: autoscaling.Target) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        autoscaling.wanted("reviews-qa", None, [previous], [M5])

    assert previous["ResourceId"] in str(error.value)
    assert "Set Autoscaling in the settings" in str(error.value)


def test_settings_replace_the_previous_targets() -> None:
    previous = [target("another"), target(MaxCapacity=9, ScalingPolicies=[TRACKING | {"PolicyName": "by hand"}])]

    assert autoscaling.wanted("reviews-qa", GOOD, previous, [M5]) == [
        target(ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT])
    ]


def test_settings_apply_to_each_variant() -> None:
    variants = [M5 | {"VariantName": "Cpu"}, M5 | {"VariantName": "Gpu"}]

    assert autoscaling.wanted("reviews-qa", GOOD, [target(), target("Gpu", MaxCapacity=9)], variants) == [
        target(name, ScalingPolicies=[TRACKING], ScheduledActions=[NIGHT]) for name in ("Cpu", "Gpu")
    ]


def test_autoscaling_that_an_operator_suspended_stays_suspended_unless_the_settings_resume_it() -> None:
    suspended = {"DynamicScalingInSuspended": True}
    previous = [target(SuspendedState=RESUMED | suspended)]

    [unchanged] = autoscaling.wanted("reviews-qa", GOOD, previous, [M5])
    [resumed] = autoscaling.wanted("reviews-qa", GOOD | {"SuspendedState": RESUMED}, previous, [M5])

    assert unchanged["SuspendedState"] == RESUMED | suspended
    assert resumed["SuspendedState"] == RESUMED


def test_a_serverless_variant_scales_its_provisioned_concurrency() -> None:
    [wanted] = autoscaling.wanted("reviews-qa", GOOD, [], [SERVERLESS])

    assert wanted["ScalableDimension"] == CONCURRENCY


def test_an_inference_component_scales_by_its_copies() -> None:
    [wanted] = autoscaling.wanted("reviews-qa", GOOD, [], [HOST])
    kept = autoscaling.wanted("reviews-qa", None, [wanted], [HOST])

    assert (wanted["ResourceId"], wanted["ScalableDimension"]) == ("inference-component/reviews-qa", autoscaling.COPIES)
    assert kept == [wanted]
    assert not autoscaling.blocks_update(wanted, [HOST], None)
