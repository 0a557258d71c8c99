"""The time that a deployment may take by the time limits of its variants, compared with the time that the stage allows.

The limits are members of ProductionVariant in the API reference. SageMaker applies them to each start of instances: a
blue/green deployment starts all of them at once, a rolling one batch after batch (deployment-guardrails-rolling.html).
What a deployment config waits comes on top of both times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.endpoint import guardrails
from promotion.plan.endpoint_rules import VARIANTS

_LIMITS = (
    "VariantInstanceProvisionTimeoutInSeconds",
    "ModelDataDownloadTimeoutInSeconds",
    "ContainerStartupHealthCheckTimeoutInSeconds",
)
MAXIMUM_SECONDS = 28_800
"""The maximum of the stage's parameter DeploymentTimeoutSeconds: the longest deployment of SageMaker's guardrails."""


def refusals(
    endpoint_config: dict[str, Any], deployment_config: dict[str, Any], count: int, seconds: int
) -> Iterator[str]:
    """Yield the reasons why a deployment of `count` instances may take longer than the stage's `seconds`.

    `deployment_config` is empty for a first deployment.
    """
    batches = guardrails.batches(deployment_config, count)
    for path, limits in _limits_of_variants(endpoint_config):
        start = sum(limits.values())
        if start * batches <= seconds:
            continue
        one_by_one = (
            f" A rolling deployment starts {batches} batches one after another, which may take {start * batches:,} "
            "seconds."
            if batches > 1
            else ""
        )
        remedies = ["Lower the time limits"]
        if batches > 1:
            remedies.append("increase MaximumBatchSize")
        if start * batches <= MAXIMUM_SECONDS:
            remedies.append(f"deploy the stage with a DeploymentTimeoutSeconds of at least {start * batches}")
        yield (
            f"{path} has time limits for the start of instances of {_sum(limits)}, {start:,} seconds together."
            f"{one_by_one} The stage rolls a deployment back after {seconds:,} seconds (DeploymentTimeoutSeconds). "
            f"{', or '.join(remedies)}."
        )


def note(endpoint_config: dict[str, Any], deployment_config: dict[str, Any], count: int, seconds: int) -> str:
    """Return a sentence about the time of a deployment; its arguments are those of `refusals`."""
    batches = guardrails.batches(deployment_config, count)
    longest = max((sum(limits.values()) for _, limits in _limits_of_variants(endpoint_config)), default=0)
    waits = guardrails.baking_seconds(deployment_config, count)
    plus = f" plus {waits:,} seconds of wait times" if waits else ""
    allowed = f"the stage allows {seconds:,} seconds (DeploymentTimeoutSeconds){plus}"
    if not longest:
        return f"The variants have no time limits for the start of instances; {allowed}."
    by_batch = f" in each of {batches} batches" if batches > 1 else ""
    return f"The start of instances may take {longest:,} seconds{by_batch}, by the limits of the variants; {allowed}."


def _limits_of_variants(endpoint_config: dict[str, Any]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the path and the time limits of each variant that has any."""
    for kind in VARIANTS:
        for index, variant in enumerate(endpoint_config.get(kind, [])):
            if limits := {name: variant[name] for name in _LIMITS if name in variant}:
                yield f"EndpointConfig.{kind}[{index}]", limits


def _sum(limits: dict[str, int]) -> str:
    return " + ".join(f"{seconds:,} seconds ({name})" for name, seconds in limits.items())
