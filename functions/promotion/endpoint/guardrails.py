"""SageMaker's deployment guardrails: what a DeploymentConfig asks for, how long it takes, and where it cannot work.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html and deployment-guardrails-exclusions.html;
the limits in percent are those of the API reference of CapacitySize's users, which the service model has as text only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

_SIZES = {
    # Whose size it is: the least and the most percent of the variant's instances.
    "CanarySize": (0, 50),
    "LinearStepSize": (10, 50),
    "MaximumBatchSize": (5, 50),
}
_ROUTING_NEEDS = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}


def alarm_names(deployment_config: dict[str, Any]) -> list[str]:
    """The alarms that roll a deployment back."""
    alarms = deployment_config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return sorted({alarm["AlarmName"] for alarm in alarms})


def baking_seconds(deployment_config: dict[str, Any], count: int | None = None) -> int:
    """How long a deployment waits beyond what it needs to start instances: of `count`, or at most of any number."""
    rolling = deployment_config.get("RollingUpdatePolicy")
    if rolling:
        return _steps("MaximumBatchSize", rolling, count) * int(rolling["WaitIntervalInSeconds"])
    policy = deployment_config.get("BlueGreenUpdatePolicy")
    if not policy:
        return 0
    routing = policy["TrafficRoutingConfiguration"]
    # The last step has all the traffic, and is waited for by TerminationWaitInSeconds.
    before_the_last = {"CANARY": 1, "LINEAR": _steps("LinearStepSize", routing, count) - 1}.get(routing["Type"], 0)
    return before_the_last * int(routing["WaitIntervalInSeconds"]) + int(policy.get("TerminationWaitInSeconds", 0))


def refusals(deployment_config: dict[str, Any], variants: list[dict[str, Any]]) -> Iterator[str]:
    """Why a DeploymentConfig cannot work for the `variants` of an endpoint config: sentences, each with advice."""
    blue_green, rolling = (deployment_config.get(name) for name in ("BlueGreenUpdatePolicy", "RollingUpdatePolicy"))
    if blue_green and rolling:
        yield (
            "DeploymentConfig has both BlueGreenUpdatePolicy and RollingUpdatePolicy, and SageMaker takes one. "
            "Take one out."
        )
        return
    if any("ServerlessConfig" in variant for variant in variants):
        yield (
            "DeploymentConfig does not go with ServerlessConfig: a serverless endpoint has no deployment guardrails. "
            "Take DeploymentConfig out; the smoke test still decides."
        )
        return
    if rolling and len(variants) > 1:
        yield (
            "DeploymentConfig.RollingUpdatePolicy does not go with several variants: SageMaker rolls endpoints of one "
            "variant only. Use BlueGreenUpdatePolicy."
        )
    if any(instance_type.startswith("ml.inf1.") for variant in variants for instance_type in instance_types(variant)):
        yield (
            "DeploymentConfig does not go with ml.inf1 instances: SageMaker would move all traffic at once, without "
            "watching the alarms, and not say so. Take DeploymentConfig out, or use other instances."
        )
    yield from _routing_refusals((blue_green or {}).get("TrafficRoutingConfiguration", {}), variants)
    if rolling:
        yield from _size_refusals("RollingUpdatePolicy", "MaximumBatchSize", rolling["MaximumBatchSize"], variants)
    longest = (blue_green or rolling or {}).get("MaximumExecutionTimeoutInSeconds")
    waits = baking_seconds(deployment_config, max(variant.get("InitialInstanceCount", 1) for variant in variants))
    if longest is not None and longest <= waits:
        yield (
            f"DeploymentConfig has a MaximumExecutionTimeoutInSeconds of {longest}, but its waits alone take {waits} "
            "seconds, so that SageMaker would always give up. Make it longer, or the waits shorter."
        )


def instance_types(variant: dict[str, Any]) -> list[str]:
    """What a variant may run on."""
    pools = [pool["InstanceType"] for pool in variant.get("InstancePools", [])]
    return [variant["InstanceType"], *pools] if "InstanceType" in variant else pools


def _routing_refusals(routing: dict[str, Any], variants: list[dict[str, Any]]) -> Iterator[str]:
    needed = _ROUTING_NEEDS.get(routing.get("Type", ""))
    for name in _ROUTING_NEEDS.values():
        if name == needed and name not in routing:
            yield f"DeploymentConfig's TrafficRoutingConfiguration of Type {routing['Type']} needs {name}. Give it."
        elif name != needed and name in routing:
            yield (
                f"DeploymentConfig has {name}, but its TrafficRoutingConfiguration is of Type {routing['Type']}, which "
                f"does not use it. Take {name} out, or change the Type."
            )
    if needed and needed in routing:
        yield from _size_refusals(routing["Type"], needed, routing[needed], variants)


def _size_refusals(kind: str, name: str, size: dict[str, Any], variants: list[dict[str, Any]]) -> Iterator[str]:
    least, most = _SIZES[name]
    for variant in variants:
        count = variant.get("InitialInstanceCount", 1)
        if count < 2:
            yield (
                f"DeploymentConfig of {kind} does not go with {count} instance: {name} may be at most {most} % of the "
                "instances, which is less than one. Set InitialInstanceCount to 2 or more, or shift ALL_AT_ONCE."
            )
            return
        percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / count
        if not least <= percent <= most:
            yield (
                f"DeploymentConfig's {name} is {percent:g} % of the {count} instances; SageMaker takes {least} to "
                f"{most} %. Change it, or InitialInstanceCount."
            )
            return


def _steps(name: str, policy: dict[str, Any], count: int | None) -> int:
    """How many steps of the size `name` lead to the whole fleet."""
    size, least = policy.get(name, {"Type": "CAPACITY_PERCENT", "Value": 100}), _SIZES[name][0]
    percent = float(size["Value"])
    if size["Type"] == "INSTANCE_COUNT":
        percent = 100 * percent / count if count else least
    return math.ceil(100 / max(percent, least) - 1e-9)
