"""The time limits of the variants and the time that the stage allows for a deployment."""

from typing import Any

import pytest

from promotion.plan import time_budget

DOWNLOAD = {"ModelDataDownloadTimeoutInSeconds": 3600}
LIMITS = {**DOWNLOAD, "ContainerStartupHealthCheckTimeoutInSeconds": 3600}
PROVISION = {"VariantInstanceProvisionTimeoutInSeconds": 1800}
VARIANT = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 4}
ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
        "WaitIntervalInSeconds": 300,
    }
}


def config(*variants: dict[str, int], shadow: dict[str, int] | None = None) -> dict[str, Any]:
    shadows = {"ShadowProductionVariants": [VARIANT | shadow]} if shadow is not None else {}
    return {"ProductionVariants": [VARIANT | limits for limits in variants], **shadows}


@pytest.mark.parametrize(
    ("given", "deployment_config", "seconds", "reason"),
    [
        (config({}), {}, 10, None),
        (config(DOWNLOAD), {}, 3600, None),
        (
            config(DOWNLOAD),
            {},
            3599,
            "ProductionVariants[0] has time limits for the start of instances of 3,600 seconds",
        ),
        (
            config({}, LIMITS),
            {},
            5400,
            "EndpointConfig.ProductionVariants[1] has time limits for the start of instances of 3,600 seconds "
            "(ModelDataDownloadTimeoutInSeconds) + 3,600 seconds (ContainerStartupHealthCheckTimeoutInSeconds), 7,200 "
            "seconds together. The stage rolls a deployment back after 5,400 seconds (DeploymentTimeoutSeconds). Lower "
            "the time limits, or deploy the stage with a DeploymentTimeoutSeconds of at least 7200.",
        ),
        (config({}, shadow=LIMITS), {}, 5400, "EndpointConfig.ShadowProductionVariants[0] has"),
        (config(PROVISION | DOWNLOAD), {}, 5399, "5,400 seconds together"),
        (config(DOWNLOAD), ROLLING, 14400, None),
        (
            config(DOWNLOAD),
            ROLLING,
            14399,
            "A rolling deployment starts 4 batches one after another, which may take 14,400 seconds. The stage rolls",
        ),
        (
            config(DOWNLOAD),
            ROLLING,
            5400,
            "Lower the time limits, or increase MaximumBatchSize, or deploy the stage with a",
        ),
    ],
)
def test_time_limits_that_exceed_the_time_of_the_stage_are_refused(
    given: dict[str, Any], deployment_config: dict[str, Any], seconds: int, reason: str | None
) -> None:
    reasons = list(time_budget.refusals(given, deployment_config, 4, seconds))

    assert bool(reasons) is bool(reason)
    assert all((reason or "") in each for each in reasons)


def test_a_time_that_no_stage_can_allow_is_not_offered() -> None:
    (reason,) = time_budget.refusals(config(LIMITS | PROVISION), ROLLING, 4, 28_800)

    assert "which may take 36,000 seconds" in reason
    assert reason.endswith("Lower the time limits, or increase MaximumBatchSize.")


@pytest.mark.parametrize(
    ("given", "deployment_config", "note"),
    [
        (
            config({}),
            {},
            "The variants have no time limits for the start of instances; the stage allows 5,400 seconds "
            "(DeploymentTimeoutSeconds).",
        ),
        (
            config(DOWNLOAD),
            {},
            "The start of instances may take 3,600 seconds, by the limits of the variants; the stage",
        ),
        (
            config(DOWNLOAD),
            ROLLING,
            "may take 3,600 seconds in each of 4 batches, by the limits of the variants; the stage allows 5,400 "
            "seconds (DeploymentTimeoutSeconds) plus 1,200 seconds of wait times.",
        ),
    ],
)
def test_the_preview_says_the_numbers(given: dict[str, Any], deployment_config: dict[str, Any], note: str) -> None:
    assert note in time_budget.note(given, deployment_config, 4, 5400)
