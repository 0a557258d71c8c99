"""Deployment guardrails: the traffic shifting, the baking periods and the rollback alarms of a deployment config.

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
    """A step of traffic shifting: the new fleet's `share` of the traffic, and its baking period in seconds."""

    share: float
    wait: int


def check(
    deployment_config: dict[str, Any], old: dict[str, Any], new: dict[str, Any], capacity: int, role_arn: str
) -> None:
    """Raise an error if a deployment config does not match the endpoint configs, or its alarms do not exist.

    `capacity` is the number of instances after the update.
    """
    blue_green, rolling = (deployment_config.get(name) for name in ("BlueGreenUpdatePolicy", "RollingUpdatePolicy"))
    if blue_green and rolling:
        raise invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified in DeploymentConfig.")
    # deployment-guardrails-exclusions.html
    names = [{variant["VariantName"] for variant in config["ProductionVariants"]} for config in (old, new)]
    if names[0] != names[1]:
        raise invalid(
            "Deployment guardrails require the same variant names in the old and the new endpoint configuration: "
            f"{sorted(names[0])} and {sorted(names[1])}."
        )
    variants = [variant for config in (old, new) for variant in config["ProductionVariants"]]
    if any("ServerlessConfig" in variant for variant in variants):
        raise invalid("DeploymentConfig is not supported for serverless endpoints.")
    if rolling and len(names[0]) > 1:
        raise invalid("RollingUpdatePolicy is not supported for endpoints with more than one variant.")
    _check_sizes(blue_green, rolling, capacity)
    _check_duration(blue_green or rolling or {}, deployment_config, capacity)
    _check_alarms(deployment_config, role_arn)


def check_of_component(deployment_config: dict[str, Any], copies: int, role_arn: str) -> None:
    """Raise an error if a component with `copies` cannot be updated with a deployment config, or alarms are missing.

    MaximumBatchSize "must be between 5% to 50% of the copy count" (API_InferenceComponentRollingUpdatePolicy.html).
    """
    rolling, capacity = deployment_config["RollingUpdatePolicy"], max(copies, 1)
    _check_sizes(None, rolling, capacity)
    _check_duration(rolling, deployment_config, capacity)
    _check_alarms(deployment_config, role_arn)


def _check_alarms(deployment_config: dict[str, Any], role_arn: str) -> None:
    if missing := _alarm_names(deployment_config) - _alarms(deployment_config, role_arn).keys():
        raise invalid(f"Could not find the alarms of AutoRollbackConfiguration: {', '.join(sorted(missing))}.")


def steps(deployment_config: dict[str, Any], capacity: int) -> Iterator[Step]:
    """Yield the steps of traffic shifting. The default is all at once."""
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
    """Return the first alarm of the config that is in state ALARM, described with the execution role, or None."""
    for name, state in sorted(_alarms(deployment_config, role_arn).items()):
        if state == "ALARM":
            return name
    return None


def _alarms(deployment_config: dict[str, Any], role_arn: str) -> dict[str, str]:
    names = _alarm_names(deployment_config)
    if not names:
        return {}
    try:
        response = execution_roles.client("cloudwatch", role_arn).describe_alarms(AlarmNames=sorted(names))
    except (ClientError, execution_roles.RoleError) as error:
        raise invalid(
            f"The alarms of AutoRollbackConfiguration could not be described with role {role_arn}: {error}"
        ) from error
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in [*response.get("MetricAlarms", []), *response.get("CompositeAlarms", [])]
    }


def _alarm_names(deployment_config: dict[str, Any]) -> set[str]:
    alarms = deployment_config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return {alarm["AlarmName"] for alarm in alarms}


def _share(size: dict[str, Any], capacity: int) -> float:
    """Return a CapacitySize as a share of the capacity, at least one instance or copy."""
    if size["Type"] == "CAPACITY_PERCENT":
        return max(float(size["Value"]) / 100, 1 / capacity)
    return float(size["Value"]) / capacity


def _even_steps(size: float, wait: int) -> Iterator[Step]:
    count = math.ceil(1 / size - 1e-9)
    yield from (Step(min(size * number, 1.0), wait) for number in range(1, count + 1))


def _check_sizes(blue_green: dict[str, Any] | None, rolling: dict[str, Any] | None, capacity: int) -> None:
    """Raise an error if a size exceeds its limits, which are in the text of the API reference."""
    routing = (blue_green or {}).get("TrafficRoutingConfiguration", {})
    required = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(routing.get("Type", ""))
    if required and required not in routing:
        raise invalid(f"{required} is required for traffic routing of type {routing['Type']}.")
    for name, size, least, most in (
        ("CanarySize", routing.get("CanarySize"), 0, 50),
        ("LinearStepSize", routing.get("LinearStepSize"), 10, 50),
        ("MaximumBatchSize", (rolling or {}).get("MaximumBatchSize"), 5, 50),
    ):
        if size is None:
            continue
        percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / capacity
        if not least <= percent <= most:
            raise invalid(f"{name} must be between {least}% and {most}% of the total instance or copy count.")


def _check_duration(policy: dict[str, Any], deployment_config: dict[str, Any], capacity: int) -> None:
    longest = policy.get("MaximumExecutionTimeoutInSeconds")
    waits = sum(step.wait for step in steps(deployment_config, capacity))
    if longest is not None and longest <= waits:
        raise invalid(
            f"MaximumExecutionTimeoutInSeconds ({longest}) must be greater than the total of the waits ({waits})."
        )
