"""Every row of the tables of metrics, for every kind of endpoint, and the ways to zero instances and back."""

from typing import Any

import pytest

from promotion.plan import scaling_rules
from promotion.plan.endpoint_rules import ASYNCHRONOUS, REAL_TIME, SERVERLESS
from promotion.plan.scaling_rules import BACKLOG, PREDEFINED

INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
PROVISIONED = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 1}}
ON_DEMAND = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
KINDS: dict[str, dict[str, Any]] = {
    REAL_TIME: {"ProductionVariants": [INSTANCES]},
    ASYNCHRONOUS: {"ProductionVariants": [INSTANCES], "AsyncInferenceConfig": {"OutputConfig": {}}},
    SERVERLESS: {"ProductionVariants": [PROVISIONED]},
}
STEP = {
    "PolicyName": "wake",
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity"},
}
MORNING = {"ScheduledActionName": "morning", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 1}}
NIGHT = {"ScheduledActionName": "night", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 0}}


def predefined(metric: str) -> dict[str, Any]:
    return {
        "PolicyName": "follow",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 1,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        },
    }


def custom(metric: str, *, math: bool = False, **dimensions: str) -> dict[str, Any]:
    given = {
        "MetricName": metric,
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }
    specification: dict[str, Any] = (
        {"Metrics": [{"Id": "m", "MetricStat": {"Metric": given, "Stat": "Sum"}}]} if math else given
    )
    return {
        "PolicyName": "follow",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 1,
            "CustomizedMetricSpecification": specification,
        },
    }


def found(kind: str, *policies: dict[str, Any], **more: Any) -> list[str]:
    given = {"MinCapacity": 1, "MaxCapacity": 4, "ScalingPolicies": list(policies)} | more
    return list(scaling_rules.refusals(given, KINDS[kind], "reviews-qa"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", [*PREDEFINED, "ECSServiceAverageCPUUtilization"])
def test_a_policy_follows_a_metric_that_the_kind_of_endpoint_has(kind: str, metric: str) -> None:
    reasons = found(kind, predefined(metric))

    if kind in PREDEFINED.get(metric, frozenset()):
        assert reasons == []
    else:
        (reason,) = reasons
        assert f"Autoscaling.ScalingPolicies[0] follows the metric {metric}, which the variants of a {kind}" in reason
        assert "Use SageMakerVariant" in reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", [*BACKLOG, "CPUUtilization"])
@pytest.mark.parametrize("math", [False, True])
def test_only_an_asynchronous_endpoint_has_the_metrics_of_a_queue(kind: str, metric: str, math: bool) -> None:
    reasons = found(kind, custom(metric, math=math, EndpointName="reviews-qa"))

    assert bool(reasons) is (metric in BACKLOG and kind != ASYNCHRONOUS)
    assert all("which only asynchronous endpoints have" in reason for reason in reasons)
    # A metric of another endpoint may well exist.
    assert found(kind, custom(metric, math=math, EndpointName="books-qa")) == []


@pytest.mark.parametrize(("variant", "refused"), [("AllTraffic", False), ("Alltraffic", True)])
def test_a_metric_of_a_variant_that_the_endpoint_does_not_have_is_refused(variant: str, refused: bool) -> None:
    reasons = found(REAL_TIME, custom("CPUUtilization", EndpointName="reviews-qa", VariantName=variant))

    assert bool(reasons) is refused
    assert all(
        "is about the variant 'Alltraffic', but the endpoint reviews-qa has AllTraffic" in each for each in reasons
    )


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (REAL_TIME, {"MinCapacity": 0}, "only asynchronous endpoints and inference components scale to zero"),
        (
            REAL_TIME,
            {"ScheduledActions": [NIGHT]},
            "only asynchronous endpoints and inference components scale to zero",
        ),
        (REAL_TIME, {}, None),
        (ASYNCHRONOUS, {"MinCapacity": 0}, "nothing would start the first instance again"),
        (
            ASYNCHRONOUS,
            {"MinCapacity": 0, "ScalingPolicies": [predefined("SageMakerVariantInvocationsPerInstance")]},
            "nothing would start the first instance again",
        ),
        (ASYNCHRONOUS, {"ScheduledActions": [NIGHT]}, "nothing would start the first instance again"),
        (ASYNCHRONOUS, {"ScheduledActions": [NIGHT, MORNING]}, None),
        (ASYNCHRONOUS, {"MinCapacity": 0, "ScalingPolicies": [custom("ApproximateBacklogSizePerInstance")]}, None),
        # Someone else may have the alarm.
        (ASYNCHRONOUS, {"MinCapacity": 0, "ScalingPolicies": [STEP]}, None),
        (SERVERLESS, {"MinCapacity": 0}, None),
    ],
)
def test_an_endpoint_scales_to_zero_only_if_something_wakes_it(
    kind: str, given: dict[str, Any], reason: str | None
) -> None:
    reasons = found(kind, **given)

    assert [(reason or "") in each for each in reasons] == ([True] if reason else [])


@pytest.mark.parametrize(
    ("variant", "maximum", "reason"),
    [
        (PROVISIONED, 5, None),
        (PROVISIONED, 6, "the provisioned concurrency cannot exceed MaxConcurrency of ServerlessConfig, which is 5"),
        (ON_DEMAND, 5, "ServerlessConfig has no ProvisionedConcurrency"),
    ],
)
def test_only_provisioned_concurrency_scales(variant: dict[str, Any], maximum: int, reason: str | None) -> None:
    given = {"MinCapacity": 1, "MaxCapacity": maximum}

    reasons = list(scaling_rules.refusals(given, {"ProductionVariants": [variant]}, "reviews-qa"))

    assert [(reason or "") in each for each in reasons] == ([True] if reason else [])


def test_settings_without_autoscaling_are_accepted() -> None:
    assert list(scaling_rules.refusals(None, KINDS[SERVERLESS], "reviews-qa")) == []
