"""Scaling that could never happen on the kind of endpoint that the settings describe: rules as tables.

Sources: "Amazon SageMaker AI metrics in Amazon CloudWatch" (monitoring-cloudwatch.html); async-inference-monitor.html
and async-inference-autoscale.html; serverless-endpoints-autoscale.html; PredefinedMetricType in the API reference of
Application Auto Scaling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.endpoint import autoscaling
from promotion.endpoint.config import with_names
from promotion.plan.endpoint_rules import ASYNCHRONOUS, REAL_TIME, SERVERLESS, kind_of

# The kinds of endpoints that have each predefined metric. Those of components exist for inference components only.
PREDEFINED: dict[str, frozenset[str]] = {
    "SageMakerVariantInvocationsPerInstance": frozenset({REAL_TIME, ASYNCHRONOUS}),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": frozenset({REAL_TIME, ASYNCHRONOUS}),
    "SageMakerVariantProvisionedConcurrencyUtilization": frozenset({SERVERLESS}),
    "SageMakerInferenceComponentInvocationsPerCopy": frozenset(),
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": frozenset(),
}
# The metrics of the queue of an asynchronous endpoint, which exist without instances, too.
BACKLOG = ("ApproximateBacklogSize", "ApproximateBacklogSizePerInstance", "HasBacklogWithoutCapacity")


def refusals(settings: dict[str, Any] | None, endpoint_config: dict[str, Any], endpoint: str) -> Iterator[str]:
    """Yield the reasons why `Autoscaling` of the settings could never scale an endpoint with `endpoint_config`."""
    if settings is None:
        return
    kind = kind_of(endpoint_config)
    yield from _of_policies(settings, kind)
    yield from _of_metrics(settings, with_names(endpoint_config, ""), endpoint, kind)
    if kind == SERVERLESS:
        yield from _of_concurrency(settings, endpoint_config["ProductionVariants"][0]["ServerlessConfig"])
    lowest = [settings, *(action.get("ScalableTargetAction", {}) for action in settings.get("ScheduledActions", []))]
    if all(each.get("MinCapacity") != 0 for each in lowest):
        return
    if kind == REAL_TIME:
        yield (
            "Autoscaling has a MinCapacity of 0, but only asynchronous endpoints and inference components scale to "
            "zero instances. Set MinCapacity to 1 or more."
        )
    elif kind == ASYNCHRONOUS and not _wakes(settings):
        yield (
            "Autoscaling has a MinCapacity of 0, but nothing would start the first instance again: without instances, "
            f"an endpoint has only the metrics {', '.join(BACKLOG)}. Add a policy on one of them, such as a "
            "StepScaling policy with an alarm on HasBacklogWithoutCapacity, or set MinCapacity to 1 or more."
        )


def _of_policies(settings: dict[str, Any], kind: str) -> Iterator[str]:
    for index, policy in enumerate(settings.get("ScalingPolicies", [])):
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if metric is None or kind in PREDEFINED.get(metric, frozenset()):
            continue
        offered = [name for name, kinds in PREDEFINED.items() if kind in kinds]
        yield (
            f"Autoscaling.ScalingPolicies[{index}] follows the metric {metric}, which the variants of a {kind} "
            f"endpoint do not have, so it would never scale. Use {' or '.join(offered)}, or a "
            "CustomizedMetricSpecification."
        )


def _of_metrics(settings: dict[str, Any], config: dict[str, Any], endpoint: str, kind: str) -> Iterator[str]:
    variants = [variant["VariantName"] for variant in config["ProductionVariants"]]
    for path, metric in _metrics(settings):
        dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
        if dimensions.get("EndpointName") != endpoint:
            continue
        name, variant = metric.get("MetricName"), dimensions.get("VariantName")
        if variant is not None and variant not in variants:
            yield (
                f"{path} is about the variant {variant!a:.100}, but the endpoint {endpoint} has {', '.join(variants)}. "
                "It would never have data. Correct VariantName."
            )
        if name in BACKLOG and kind != ASYNCHRONOUS:
            yield (
                f"{path} is about {name}, which only asynchronous endpoints have; {endpoint} is {kind}. It would never "
                "have data. Use another metric."
            )


def _of_concurrency(settings: dict[str, Any], serverless: dict[str, Any]) -> Iterator[str]:
    if "ProvisionedConcurrency" not in serverless:
        yield (
            "Autoscaling scales the provisioned concurrency of a serverless endpoint, but ServerlessConfig has no "
            "ProvisionedConcurrency. Add it, or remove Autoscaling: SageMaker scales the rest automatically."
        )
    elif settings["MaxCapacity"] > serverless["MaxConcurrency"]:
        yield (
            f"Autoscaling has a MaxCapacity of {settings['MaxCapacity']}, but the provisioned concurrency cannot "
            f"exceed MaxConcurrency of ServerlessConfig, which is {serverless['MaxConcurrency']}. Lower MaxCapacity or "
            "increase MaxConcurrency."
        )


def _wakes(settings: dict[str, Any]) -> bool:
    """Return whether something may start the first instance of an asynchronous endpoint.

    The settings have no alarms: that of a step scaling policy is someone else's.
    """
    return (
        any(metric.get("MetricName") in BACKLOG for _, metric in _metrics(settings))
        or any(
            action.get("ScalableTargetAction", {}).get("MinCapacity", 0)
            for action in settings.get("ScheduledActions", [])
        )
        or any(policy["PolicyType"] == autoscaling.STEP for policy in settings.get("ScalingPolicies", []))
    )


def _metrics(settings: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the content of each metric with dimensions in policies: {"MetricName", …}."""
    for index, policy in enumerate(settings.get("ScalingPolicies", [])):
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        custom, path = tracking.get("CustomizedMetricSpecification", {}), f"Autoscaling.ScalingPolicies[{index}]"
        for metric in (custom, *(each.get("MetricStat", {}).get("Metric", {}) for each in custom.get("Metrics", []))):
            if "MetricName" in metric:
                yield path, metric
