"""The scalable targets of an endpoint's variants, which Application Auto Scaling stores in moto's backend."""

from __future__ import annotations

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend, applicationautoscaling_backends

from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint


def variants(endpoint: Endpoint) -> set[str]:
    """Return the names of the variants that are scalable targets."""
    return {resource.rpartition("/")[2] for _, resource in _targets(endpoint)}


def deregister(endpoint: Endpoint) -> None:
    """Remove all targets, as SageMaker does when an endpoint is deleted.

    SageMaker developer guide, "Delete endpoints configured for auto scaling".
    """
    for dimension, resource in _targets(endpoint):
        _backend(endpoint).targets[dimension].pop(resource, None)


def deregister_component(endpoint: Endpoint, name: str) -> None:
    """Remove the targets of an inference component. Assumed: SageMaker does it, as when an endpoint is deleted."""
    for targets in list(_backend(endpoint).targets.values()):
        targets.pop(f"inference-component/{name}", None)


def _targets(endpoint: Endpoint) -> list[tuple[str, str]]:
    """Return the dimension and the resource ID of each target."""
    return [
        (dimension, resource)
        for dimension, targets in list(_backend(endpoint).targets.items())
        for resource in list(targets)
        if resource.startswith(f"endpoint/{endpoint.name}/variant/")
    ]


def _backend(endpoint: Endpoint) -> ApplicationAutoscalingBackend:
    return applicationautoscaling_backends[endpoint.account][endpoint.region]
