"""Inference components and their endpoints, as colleagues create them."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import wait_until
from tests.support.world import Stage

NEEDS = {"MinMemoryRequiredInMb": 128}


def hosted_by(stage: Stage, name: str, model: str) -> None:
    """Create an endpoint and an inference component on it, both called `name`, which serves a model of the stage."""
    sagemaker = stage.client("sagemaker")
    host(stage, name, sagemaker.describe_model(ModelName=model)["ExecutionRoleArn"])
    sagemaker.create_inference_component(
        InferenceComponentName=name,
        EndpointName=name,
        VariantName="AllTraffic",
        Specification={"ModelName": model, "ComputeResourceRequirements": NEEDS},
        RuntimeConfig={"CopyCount": 1},
    )
    settled(stage, name)


def host(stage: Stage, name: str, role_arn: str) -> None:
    """Create an endpoint that hosts inference components."""
    sagemaker = stage.client("sagemaker")
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ExecutionRoleArn=role_arn, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def in_service() -> bool | None:
        return sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService" or None

    wait_until(in_service, f"the endpoint {name}")


def settled(stage: Stage, name: str) -> dict[str, Any]:
    """Return the description of a component once it has settled."""

    def poll() -> dict[str, Any] | None:
        found = stage.client("sagemaker").describe_inference_component(InferenceComponentName=name)
        return None if found["InferenceComponentStatus"].endswith("ing") else dict(found)

    return wait_until(poll, f"the component {name}")


def components(stage: Stage, endpoint: str) -> list[str]:
    """Return the names of the components of an endpoint."""
    listed = stage.client("sagemaker").list_inference_components(EndpointNameEquals=endpoint)["InferenceComponents"]
    return [each["InferenceComponentName"] for each in listed]


def scale(stage: Stage, name: str, count: int) -> None:
    """Change the number of copies of a component, as its autoscaling does."""
    stage.client("sagemaker").update_inference_component_runtime_config(
        InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": count}
    )
    settled(stage, name)


def copies(stage: Stage, name: str) -> int:
    """Return the number of copies of a component."""
    return int(settled(stage, name)["RuntimeConfig"]["CurrentCopyCount"])


def serve(stage: Stage, name: str, model: str) -> None:
    """Update a component to another model."""
    stage.client("sagemaker").update_inference_component(
        InferenceComponentName=name, Specification={"ModelName": model, "ComputeResourceRequirements": NEEDS}
    )
    settled(stage, name)
