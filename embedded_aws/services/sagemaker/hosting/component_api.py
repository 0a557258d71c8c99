"""The API of inference components.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateInferenceComponent.html and the pages of the other
operations. AWS documents neither their refusals nor the messages: both are assumed, with the words that SageMaker uses
for endpoints. That a component cannot be deleted while it is Creating is what users report:
https://github.com/aws/amazon-sagemaker-examples/issues/3432
"""

from __future__ import annotations

import copy
from typing import Any

from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import models
from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts
from embedded_aws.services.sagemaker.hosting import components, guardrails, scalable_targets
from embedded_aws.services.sagemaker.hosting.component_changes import ComponentChanges, Content
from embedded_aws.services.sagemaker.hosting.components import SPECIFICATIONS, Component
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint
from embedded_aws.services.sagemaker.operations import Call, implement, invalid, listing

patches = Patches("5.2.5")
_changes: ComponentChanges


def install(host: Host) -> None:
    """Apply the patches, and end the changes with the host."""
    global _changes
    _changes = ComponentChanges(host.pace, host.directory / "inference-components", _adjust_instances)
    host.exits.callback(_changes.end)
    patches.apply()


def _create(call: Call) -> dict[str, Any]:
    request, name = call.request, call.request["InferenceComponentName"]
    arn = call.arn("inference-component", name)
    if name.lower() in components.all_of(call.backend):
        raise invalid(f'Cannot create already existing inference component "{arn}".')
    endpoint = _endpoint(call, request)
    component = Component(endpoint, name, arn, request)
    component.specifications = _specifications(request)
    content = _content(call, component, component.specifications)
    if component.base is None and "CopyCount" not in request.get("RuntimeConfig", {}):
        raise invalid("RuntimeConfig is required for an inference component that is not an adapter.")
    components.all_of(call.backend)[name.lower()] = component
    _changes.create(component, content, request.get("RuntimeConfig", {}).get("CopyCount", 0))
    return {"InferenceComponentArn": arn}


def _update(call: Call) -> dict[str, Any]:
    request, component = call.request, _find(call)
    with component.lock:
        _assert_changeable(component)
        given = any(member in request for member in SPECIFICATIONS)
        specifications = _specifications(request) if given else component.specifications
        if ("BaseInferenceComponentName" in specifications.get("Specification", {})) != (component.base is not None):
            raise invalid(f'Cannot convert inference component "{component.arn}" between base and adapter.')
        content = _content(call, component, specifications)
        copies = request.get("RuntimeConfig", {}).get("CopyCount", component.desired_copies)
        deployment_config = request.get("DeploymentConfig", {})
        if deployment_config:
            role_arn = component.endpoint.config["ExecutionRoleArn"]
            guardrails.check_of_component(deployment_config, copies, role_arn)
            component.last_deployment_config = deployment_config
        _changes.update(component, copy.deepcopy(specifications), content, copies, deployment_config)
    return {"InferenceComponentArn": component.arn}


def _update_runtime_config(call: Call) -> dict[str, Any]:
    component = _find(call)
    with component.lock:
        _assert_changeable(component)
        if component.base is not None:
            raise invalid(f'The adapter "{component.arn}" has no copies of its own.')
        content = _content(call, component, component.specifications)
        _changes.scale(component, content, call.request["DesiredRuntimeConfig"]["CopyCount"])
    return {"InferenceComponentArn": component.arn}


def _describe(call: Call) -> dict[str, Any]:
    return _find(call).describe()


def _list(call: Call) -> dict[str, Any]:
    endpoint, variant = (call.request.get(name) for name in ("EndpointNameEquals", "VariantNameEquals"))
    found = [
        component
        for component in list(components.all_of(call.backend).values())
        if endpoint in (None, component.endpoint.name) and variant in (None, component.variant_name)
    ]
    return listing(call, "InferenceComponents", found, default_size=10)


def _delete(call: Call) -> None:
    component, all_components = _find(call), components.all_of(call.backend)
    adapters = [each.name for each in list(all_components.values()) if each.base == component.name]
    with component.lock:
        _assert_changeable(component)
        if adapters:
            raise invalid(f'Cannot delete inference component "{component.arn}" with adapters: {", ".join(adapters)}.')

        def remove() -> None:
            all_components.pop(component.name.lower(), None)
            scalable_targets.deregister_component(component.endpoint, component.name)

        _changes.delete(component, remove)


def _find(call: Call) -> Component:
    name = call.request["InferenceComponentName"]
    component = components.all_of(call.backend).get(name.lower())
    if component is None:
        raise invalid(f'Could not find inference component "{call.arn("inference-component", name)}".')
    return component


def _assert_changeable(component: Component) -> None:
    if component.busy:
        raise invalid(f'Cannot update in-progress inference component "{component.arn}".')


def _endpoint(call: Call, request: dict[str, Any]) -> Endpoint:
    """Return the endpoint of a new component. Raise an error if it cannot host it."""
    endpoint: Endpoint | None = call.backend.endpoints.get(request["EndpointName"].lower())
    if endpoint is None:
        raise invalid(f'Could not find endpoint "{call.arn("endpoint", request["EndpointName"])}".')
    if endpoint.status != "InService":
        raise invalid(f'Cannot create an inference component on endpoint "{endpoint.arn}" in {endpoint.status} status.')
    if not endpoint.hosts_components:
        raise invalid(
            f'Inference components are not supported on endpoint "{endpoint.arn}", whose production variants have '
            "models."
        )
    variant, names = request.get("VariantName"), {each["VariantName"] for each in endpoint.variants}
    is_adapter = "BaseInferenceComponentName" in request.get("Specification", {})
    if variant not in names and not (variant is None and is_adapter):
        raise invalid(f'Could not find production variant "{variant}" on endpoint "{endpoint.arn}".')
    return endpoint


def _specifications(request: dict[str, Any]) -> dict[str, Any]:
    """Return the specifications of a request. Raise an error unless they are complete."""
    given = {member: request[member] for member in SPECIFICATIONS if member in request}
    if len(given) != 1:
        raise invalid("Exactly one of Specification and Specifications is required.")
    for specification in components.specifications_of(given):
        is_adapter = "BaseInferenceComponentName" in specification
        container = specification.get("Container", {})
        if is_adapter and ("ComputeResourceRequirements" in specification or "ModelName" in specification):
            raise invalid("An adapter inference component has neither a model nor compute resources of its own.")
        if is_adapter and "ArtifactUrl" not in container:
            raise invalid("An adapter inference component requires Container.ArtifactUrl.")
        if not is_adapter and ("ModelName" in specification) == ("Image" in container):
            raise invalid("Exactly one of ModelName and Container.Image is required.")
        if not is_adapter and "ComputeResourceRequirements" not in specification:
            raise invalid("ComputeResourceRequirements is required for an inference component that is not an adapter.")
    return given


def _content(call: Call, component: Component, specifications: dict[str, Any]) -> Content:
    """Return what the copies of a component run. Raise an error if the role cannot read the artifacts of an adapter."""
    config = component.endpoint.config
    specification = _specification_for(component, specifications)
    container = specification.get("Container", {})
    if base := specification.get("BaseInferenceComponentName"):
        found = components.all_of(call.backend).get(base.lower())
        if found is None or found.endpoint is not component.endpoint or found.base is not None:
            raise invalid(f'Could not find base inference component "{call.arn("inference-component", base)}".')
        component.variant_name = found.variant_name
        _assert_readable(container["ArtifactUrl"], config["ExecutionRoleArn"])
        return Content(None, {})
    if model_name := specification.get("ModelName"):
        model = models.with_packages(call, model_name)
    else:
        own = {name: container[name] for name in ("Image", "Environment") if name in container}
        own |= {"ModelDataUrl": container["ArtifactUrl"]} if "ArtifactUrl" in container else {}
        model = {"PrimaryContainer": own, "ExecutionRoleArn": config["ExecutionRoleArn"]}
    if config.get("EnableNetworkIsolation"):
        model["EnableNetworkIsolation"] = True
    return Content(model, specification.get("StartupParameters", {}))


def _specification_for(component: Component, specifications: dict[str, Any]) -> dict[str, Any]:
    """Return the specification for the instance type of the component's variant."""
    several = components.specifications_of(specifications)
    variants = component.endpoint.config["ProductionVariants"]
    types = {each.get("InstanceType") for each in variants if each["VariantName"] == component.variant_name}
    for specification in several:
        if len(several) == 1 or specification.get("InstanceType") in types:
            return specification
    raise invalid(f"No specification is for the instance type of production variant {component.variant_name}.")


def _assert_readable(artifact_url: str, role_arn: str) -> None:
    try:
        Artifacts(role_arn).assert_object(artifact_url)
    except ArtifactError as error:
        raise ApiError("ValidationException", f"Could not access the adapter at {artifact_url}: {error}") from error


def _adjust_instances(component: Component) -> None:
    """Set the instance count of a variant with managed scaling: its minimum without copies, otherwise at least one.

    "scale-in process to reduce the number of in-service instances to zero" (endpoint-auto-scaling-zero-instances.html).
    """
    endpoint = component.endpoint
    with endpoint.lock:
        copies = sum(
            each.desired_copies
            for each in components.on_endpoint(Call(endpoint.account, endpoint.region, {}).backend, endpoint)
            if each.variant_name == component.variant_name
        )
        for variant in endpoint.variants:
            scaling = variant.get("ManagedInstanceScaling", {})
            if variant["VariantName"] == component.variant_name and scaling.get("Status", "DISABLED") == "ENABLED":
                count = max(1, variant["CurrentInstanceCount"]) if copies else 0
                count = max(count, scaling.get("MinInstanceCount", 0))
                variant["CurrentInstanceCount"] = variant["DesiredInstanceCount"] = count


implement(
    patches,
    {
        "CreateInferenceComponent": _create,
        "UpdateInferenceComponent": _update,
        "UpdateInferenceComponentRuntimeConfig": _update_runtime_config,
        "DescribeInferenceComponent": _describe,
        "ListInferenceComponents": _list,
        "DeleteInferenceComponent": _delete,
    },
    "moto lacks them.",
    adds=True,
)
