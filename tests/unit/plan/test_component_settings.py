"""The settings of an inference component: what is accepted, and what is refused with its path and a remedy."""

import json
from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.plan import component_settings
from promotion.plan.settings import read

NEEDS = {"MinMemoryRequiredInMb": 1024}
DEFAULTS = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}}
VARIANT = DEFAULTS["EndpointConfig"]["ProductionVariants"][0]
SINGLE = {"Image": "image"}
HOST = {"ProductionVariants": [{"VariantName": "AllTraffic"}]}
MODEL = {"ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "reviews"}]}


TRACKING = {"PolicyName": "requests", "PolicyType": "TargetTrackingScaling"}
STEPS = {"PolicyName": "wake", "PolicyType": "StepScaling"}


def rolling(kind: str, value: int, **more: int) -> dict[str, Any]:
    policy = {"MaximumBatchSize": {"Type": kind, "Value": value}, "WaitIntervalInSeconds": 300, **more}
    return {"RollingUpdatePolicy": policy}


def settings(component: Any, **more: Any) -> dict[str, Any]:
    document = {"InferenceComponent": component, **more}
    return read(json.dumps(document), "/model-promotion/qa/reviews", DEFAULTS, "111111111111")


def test_a_component_has_one_copy_unless_the_settings_have_another_number() -> None:
    whole = {
        "ComputeResourceRequirements": NEEDS,
        "StartupParameters": {"ContainerStartupHealthCheckTimeoutInSeconds": 600},
        "DataCacheConfig": {"EnableCaching": True},
        "SchedulingConfig": {"PlacementStrategy": "SPREAD"},
        "CopyCount": 3,
        "EndpointName": "gpus-qa",
        "VariantName": "Gpu",
    }

    assert settings({"ComputeResourceRequirements": NEEDS})["InferenceComponent"]["CopyCount"] == 1
    assert settings(whole)["InferenceComponent"] == whole


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        ([], "InferenceComponent is not an object"),
        ({}, "InferenceComponent.ComputeResourceRequirements is missing"),
        ({"ComputeResourceRequirements": {}}, "InferenceComponent.ComputeResourceRequirements"),
        ({"ComputeResourceRequirements": NEEDS, "CopyCount": 0}, "set Autoscaling.MinCapacity to 0"),
        ({"ComputeResourceRequirements": NEEDS, "CopyCount": True}, "InferenceComponent.CopyCount is 'True'"),
        ({"ComputeResourceRequirements": NEEDS, "Copies": 2}, "unknown key 'Copies'"),
        ({"ComputeResourceRequirements": NEEDS, "VariantName": "Gpu"}, "VariantName is only for a shared endpoint"),
        ({"ComputeResourceRequirements": NEEDS, "EndpointName": "a/b"}, "InferenceComponent.EndpointName"),
        ({"ComputeResourceRequirements": NEEDS, "ModelName": "mine"}, "unknown key 'ModelName'"),
        (
            {"ComputeResourceRequirements": NEEDS, "StartupParameters": {"ModelDataDownloadTimeoutInSeconds": 1}},
            "InferenceComponent.StartupParameters.ModelDataDownloadTimeoutInSeconds",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_path(component: Any, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        settings(component)

    assert reason in str(error.value)


def test_a_component_has_the_deployment_config_of_its_own_operation() -> None:
    component = {"ComputeResourceRequirements": NEEDS}
    policy = rolling("COPY_COUNT", 1)

    assert settings(component, DeploymentConfig=policy)["DeploymentConfig"] == policy
    for other, reason in (
        (rolling("INSTANCE_COUNT", 1), "INSTANCE_COUNT"),
        ({"BlueGreenUpdatePolicy": {}}, "Use RollingUpdatePolicy"),
        ({}, "DeploymentConfig"),
    ):
        with pytest.raises(InvalidRequestError) as error:
            settings(component, DeploymentConfig=other)
        assert reason in str(error.value)


def refused(
    config: dict[str, Any] | None = None,
    containers: list[dict[str, Any]] | None = None,
    deployment_config: dict[str, Any] | None = None,
    copies: int = 2,
    scaling: dict[str, Any] | None = None,
) -> str:
    variants = (config or {}).get("ProductionVariants", [VARIANT])
    given = {
        "EndpointConfig": {"ProductionVariants": variants, **(config or {})},
        "InferenceComponent": {"ComputeResourceRequirements": NEEDS, "CopyCount": copies},
        "DeploymentConfig": deployment_config or {},
        **({"Autoscaling": scaling} if scaling else {}),
    }
    return " ".join(component_settings.refusals(given, containers or [SINGLE], variants))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, ""),
        ({"deployment_config": rolling("COPY_COUNT", 1)}, ""),
        ({"deployment_config": rolling("CAPACITY_PERCENT", 50), "copies": 1}, ""),
        ({"deployment_config": rolling("COPY_COUNT", 1), "copies": 1}, "MaximumBatchSize of 100% of the 1 copies"),
        ({"deployment_config": rolling("CAPACITY_PERCENT", 60)}, "SageMaker accepts 5% to 50%"),
        (
            {"deployment_config": rolling("COPY_COUNT", 1, MaximumExecutionTimeoutInSeconds=600)},
            "wait times add up to 600 seconds",
        ),
        ({"config": {"ProductionVariants": [VARIANT, VARIANT]}}, "several ProductionVariants"),
        ({"config": {"ProductionVariants": [{"ServerlessConfig": {}}]}}, "ServerlessConfig"),
        ({"config": {"AsyncInferenceConfig": {}}}, "AsyncInferenceConfig"),
        ({"config": {"ShadowProductionVariants": []}}, "ShadowProductionVariants"),
        ({"scaling": {"MinCapacity": 1}}, ""),
        ({"scaling": {"MinCapacity": 0, "ScalingPolicies": [TRACKING, STEPS]}}, ""),
        ({"scaling": {"MinCapacity": 0, "ScalingPolicies": [TRACKING]}}, "Add a policy of the type StepScaling"),
        ({"containers": [SINGLE, SINGLE]}, "a pipeline of several containers"),
        ({"containers": [SINGLE | {"Mode": "MultiModel"}]}, "a multi-model endpoint"),
    ],
)
def test_what_a_component_cannot_be_combined_with(given: dict[str, Any], reason: str) -> None:
    assert reason in refused(**given)
    assert bool(refused(**given)) == bool(reason)


@pytest.mark.parametrize(
    ("live", "is_component", "remedy"),
    [
        (HOST, True, ""),
        (MODEL, False, ""),
        (HOST, False, "add InferenceComponent to the settings"),
        (MODEL, True, "remove InferenceComponent from the settings"),
    ],
)
def test_an_endpoint_is_not_converted(live: dict[str, Any], is_component: bool, remedy: str) -> None:
    reasons = list(component_settings.conversion("reviews-qa", live, is_component))

    assert bool(reasons) == bool(remedy)
    assert all(remedy in reason and "reviews-qa" in reason for reason in reasons)
