"""SageMaker's deployment guardrails: the alarms, duration and restrictions of a DeploymentConfig.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html and deployment-guardrails-exclusions.html;
the percentages come from the API reference (CanarySize, LinearStepSize, MaximumBatchSize), because the service model
has them only in its documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

_SIZES = {
    # The minimum and maximum percentage of the variant's instances.
    "CanarySize": (0, 50),
    "LinearStepSize": (10, 50),
    "MaximumBatchSize": (5, 50),
}
_REQUIRED_SIZES = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}


def alarm_names(deployment_config: dict[str, Any]) -> list[str]:
    """Return the names of the alarms that roll back a deployment, sorted."""
    alarms = deployment_config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return sorted({alarm["AlarmName"] for alarm in alarms})


def baking_seconds(deployment_config: dict[str, Any], count: int | None = None) -> int:
    """Return the total wait time of a deployment of `count` instances in seconds; None means the longest possible."""
    rolling = deployment_config.get("RollingUpdatePolicy")
    if rolling:
        return _steps("MaximumBatchSize", rolling, count) * int(rolling["WaitIntervalInSeconds"])
    policy = deployment_config.get("BlueGreenUpdatePolicy")
    if not policy:
        return 0
    routing = policy["TrafficRoutingConfiguration"]
    # After the last step, which shifts the rest of the traffic, only TerminationWaitInSeconds applies.
    waits = {"CANARY": 1, "LINEAR": _steps("LinearStepSize", routing, count) - 1}.get(routing["Type"], 0)
    return waits * int(routing["WaitIntervalInSeconds"]) + int(policy.get("TerminationWaitInSeconds", 0))


def batches(deployment_config: dict[str, Any], count: int) -> int:
    """Return the number of batches of instances that a deployment of `count` instances starts one after another."""
    rolling = deployment_config.get("RollingUpdatePolicy")
    return _steps("MaximumBatchSize", rolling, count) if rolling else 1


def refusals(deployment_config: dict[str, Any], variants: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the reasons why SageMaker cannot apply a DeploymentConfig to `variants`, each with the remedy."""
    blue_green, rolling = (deployment_config.get(name) for name in ("BlueGreenUpdatePolicy", "RollingUpdatePolicy"))
    if blue_green and rolling:
        yield (
            "DeploymentConfig has both BlueGreenUpdatePolicy and RollingUpdatePolicy, but SageMaker accepts only one. "
            "Remove one of them."
        )
        return
    if any("ServerlessConfig" in variant for variant in variants):
        yield (
            "DeploymentConfig cannot be combined with ServerlessConfig: a serverless endpoint has no deployment "
            "guardrails. Remove DeploymentConfig. If the smoke test fails, the promotion still rolls back."
        )
        return
    if rolling and len(variants) > 1:
        yield (
            "DeploymentConfig.RollingUpdatePolicy cannot be combined with several variants: SageMaker supports rolling "
            "deployments only for endpoints with one variant. Use BlueGreenUpdatePolicy."
        )
    if any(instance_type.startswith("ml.inf1.") for variant in variants for instance_type in instance_types(variant)):
        yield (
            "DeploymentConfig cannot be combined with ml.inf1 instances: SageMaker would shift all traffic at once "
            "without monitoring the alarms. Remove DeploymentConfig or use another instance type."
        )
    yield from _routing_refusals((blue_green or {}).get("TrafficRoutingConfiguration", {}), variants)
    if rolling:
        yield from _size_refusals("RollingUpdatePolicy", "MaximumBatchSize", rolling["MaximumBatchSize"], variants)
    waits = baking_seconds(deployment_config, max(variant.get("InitialInstanceCount", 1) for variant in variants))
    yield from _timeout_refusals(blue_green or rolling or {}, waits)


def component_refusals(deployment_config: dict[str, Any], copies: int) -> Iterator[str]:
    """Yield the reasons why SageMaker cannot update a component of `copies` with a DeploymentConfig, with the remedy.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_InferenceComponentRollingUpdatePolicy.html
    """
    rolling = deployment_config["RollingUpdatePolicy"]
    size, (minimum, maximum) = rolling["MaximumBatchSize"], _SIZES["MaximumBatchSize"]
    percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / copies
    if not minimum <= percent <= maximum:
        yield (
            f"DeploymentConfig has a MaximumBatchSize of {percent:g}% of the {copies} copies, but SageMaker accepts "
            f"{minimum}% to {maximum}%. Change MaximumBatchSize or InferenceComponent.CopyCount."
        )
    yield from _timeout_refusals(rolling, baking_seconds(deployment_config, copies))


def _timeout_refusals(policy: dict[str, Any], waits: int) -> Iterator[str]:
    timeout = policy.get("MaximumExecutionTimeoutInSeconds")
    if timeout is not None and timeout <= waits:
        yield (
            f"DeploymentConfig has a MaximumExecutionTimeoutInSeconds of {timeout}, but its wait times add up to "
            f"{waits} seconds, so every deployment would time out. Increase the timeout or shorten the wait times."
        )


def instance_types(variant: dict[str, Any]) -> list[str]:
    """Return the instance types that a variant can run on, those of its instance pools included."""
    pools = [pool["InstanceType"] for pool in variant.get("InstancePools", [])]
    return [variant["InstanceType"], *pools] if "InstanceType" in variant else pools


def _routing_refusals(routing: dict[str, Any], variants: list[dict[str, Any]]) -> Iterator[str]:
    required = _REQUIRED_SIZES.get(routing.get("Type", ""))
    for name in _REQUIRED_SIZES.values():
        if name == required and name not in routing:
            yield (
                f"DeploymentConfig has a TrafficRoutingConfiguration of Type {routing['Type']}, which requires {name}. "
                f"Add {name}."
            )
        elif name != required and name in routing:
            yield (
                f"DeploymentConfig has {name}, but its TrafficRoutingConfiguration is of Type {routing['Type']}, which "
                f"does not use it. Remove {name} or change the Type."
            )
    if required and required in routing:
        yield from _size_refusals(routing["Type"], required, routing[required], variants)


def _size_refusals(kind: str, name: str, size: dict[str, Any], variants: list[dict[str, Any]]) -> Iterator[str]:
    minimum, maximum = _SIZES[name]
    for variant in variants:
        count = variant.get("InitialInstanceCount", 1)
        if count < 2:
            yield (
                f"DeploymentConfig of {kind} cannot be combined with {count} instance: {name} can be at most "
                f"{maximum}% of the instances, which is less than one. Set InitialInstanceCount to 2 or more, or "
                "use ALL_AT_ONCE."
            )
            return
        percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / count
        if not minimum <= percent <= maximum:
            yield (
                f"DeploymentConfig has a {name} of {percent:g}% of the {count} instances, but SageMaker accepts "
                f"{minimum}% to {maximum}%. Change {name} or InitialInstanceCount."
            )
            return


def _steps(name: str, policy: dict[str, Any], count: int | None) -> int:
    """Return the number of steps of the size `name` that cover all instances."""
    size, minimum = policy.get(name, {"Type": "CAPACITY_PERCENT", "Value": 100}), _SIZES[name][0]
    percent = float(size["Value"])
    if size["Type"] in ("INSTANCE_COUNT", "COPY_COUNT"):
        percent = 100 * percent / count if count else minimum
    return math.ceil(100 / max(percent, minimum) - 1e-9)
