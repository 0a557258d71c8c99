"""Deployment guardrails: how a deployment config shifts traffic, how long it bakes, and which alarms roll it back.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html and deployment-guardrails-configuration.html
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.services.sagemaker import execution_roles
from embedded_aws.services.sagemaker.operations import invalid


@dataclasses.dataclass(frozen=True)
class Step:
    """The new fleet gets `share` of the traffic, and bakes for `wait` seconds."""

    share: float
    wait: int


def check(deployment_config: dict[str, Any], old: dict[str, Any], new: dict[str, Any], role_arn: str) -> None:
    """Refuse a deployment config that does not fit these endpoint configs, or whose alarms do not exist."""
    blue_green, rolling = (deployment_config.get(name) for name in ("BlueGreenUpdatePolicy", "RollingUpdatePolicy"))
    if blue_green and rolling:
        raise invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified in DeploymentConfig.")
    # deployment-guardrails-exclusions.html
    names = [{variant["VariantName"] for variant in config["ProductionVariants"]} for config in (old, new)]
    if names[0] != names[1]:
        raise invalid(
            "Deployment guardrails need the same variant names in the old and the new endpoint configuration: "
            f"{sorted(names[0])} and {sorted(names[1])}."
        )
    variants = [variant for config in (old, new) for variant in config["ProductionVariants"]]
    if any("ServerlessConfig" in variant for variant in variants):
        raise invalid("DeploymentConfig is not supported for serverless endpoints.")
    if rolling and len(names[0]) > 1:
        raise invalid("RollingUpdatePolicy is not supported for endpoints with more than one variant.")
    capacity = sum(variant["InitialInstanceCount"] for variant in new["ProductionVariants"])
    _check_sizes(blue_green, rolling, capacity)
    _check_duration(blue_green or rolling or {}, deployment_config, capacity)
    if missing := _alarm_names(deployment_config) - _alarms(deployment_config, role_arn).keys():
        raise invalid(f"Could not find the alarms of AutoRollbackConfiguration: {', '.join(sorted(missing))}.")


def steps(deployment_config: dict[str, Any], capacity: int) -> Iterator[Step]:
    """How the traffic moves: all at once unless the config says otherwise."""
    if rolling := deployment_config.get("RollingUpdatePolicy"):
        size = _share(rolling["MaximumBatchSize"], capacity)
        yield from _even_steps(size, rolling["WaitIntervalInSeconds"])
        return
    policy = deployment_config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0})
    wait = routing["WaitIntervalInSeconds"]
    if routing["Type"] == "CANARY":
        yield Step(_share(routing["CanarySize"], capacity), wait)
    elif routing["Type"] == "LINEAR":
        yield from (step for step in _even_steps(_share(routing["LinearStepSize"], capacity), wait) if step.share < 1)
    yield Step(1.0, policy.get("TerminationWaitInSeconds", 0))


def alarm_in_alarm(deployment_config: dict[str, Any], role_arn: str) -> str | None:
    """The first alarm of the config that is in ALARM, as the execution role sees it."""
    for name, state in sorted(_alarms(deployment_config, role_arn).items()):
        if state == "ALARM":
            return name
    return None


def _alarms(deployment_config: dict[str, Any], role_arn: str) -> dict[str, str]:
    names = _alarm_names(deployment_config)
    if not names:
        return {}
    try:
        found = execution_roles.client("cloudwatch", role_arn).describe_alarms(AlarmNames=sorted(names))
    except (ClientError, execution_roles.RoleError) as error:
        raise invalid(
            f"The alarms of AutoRollbackConfiguration could not be described with role {role_arn}: {error}"
        ) from error
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
    }


def _alarm_names(deployment_config: dict[str, Any]) -> set[str]:
    alarms = deployment_config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return {alarm["AlarmName"] for alarm in alarms}


def _share(size: dict[str, Any], capacity: int) -> float:
    """A CapacitySize as a share: at least one instance."""
    if size["Type"] == "CAPACITY_PERCENT":
        return max(float(size["Value"]) / 100, 1 / capacity)
    return float(size["Value"]) / capacity


def _even_steps(size: float, wait: int) -> Iterator[Step]:
    count = math.ceil(1 / size - 1e-9)
    yield from (Step(min(size * number, 1.0), wait) for number in range(1, count + 1))


def _check_sizes(blue_green: dict[str, Any] | None, rolling: dict[str, Any] | None, capacity: int) -> None:
    """The limits that the API reference has in its text: CanarySize, LinearStepSize and MaximumBatchSize in percent."""
    routing = (blue_green or {}).get("TrafficRoutingConfiguration", {})
    needed = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(routing.get("Type", ""))
    if needed and needed not in routing:
        raise invalid(f"{needed} is required for traffic routing of type {routing['Type']}.")
    for name, size, least, most in (
        ("CanarySize", routing.get("CanarySize"), 0, 50),
        ("LinearStepSize", routing.get("LinearStepSize"), 10, 50),
        ("MaximumBatchSize", (rolling or {}).get("MaximumBatchSize"), 5, 50),
    ):
        if size is None:
            continue
        percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / capacity
        if not least <= percent <= most:
            raise invalid(f"{name} must be between {least}% and {most}% of the variant's total instance count.")


def _check_duration(policy: dict[str, Any], deployment_config: dict[str, Any], capacity: int) -> None:
    longest = policy.get("MaximumExecutionTimeoutInSeconds")
    waits = sum(step.wait for step in steps(deployment_config, capacity))
    if longest is not None and longest <= waits:
        raise invalid(
            f"MaximumExecutionTimeoutInSeconds ({longest}) must be greater than the total of the waits ({waits})."
        )
