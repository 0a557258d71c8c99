"""The settings of an application whose model is served by an inference component, and what SageMaker refuses of them.

    {"ComputeResourceRequirements": {…}, "StartupParameters": {…}, "DataCacheConfig": {…}, "SchedulingConfig": {…},
     "CopyCount": 1, "EndpointName": "…", "VariantName": "…"}

are the members of InferenceComponentSpecification that a promotion does not set, the number of copies, and the endpoint
if several applications share it. Sources:
"Deploy models for real-time inference" (realtime-endpoints-deploy-models.html) and the API reference. Where they are
silent, the embedded SageMaker marks its refusals as assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.aws import service_model
from promotion.aws.input_checks import did_you_mean
from promotion.endpoint import autoscaling, guardrails
from promotion.endpoint.component import COPIES, SHARED_ENDPOINT
from promotion.errors import InvalidRequestError

MEMBERS = ("ComputeResourceRequirements", "StartupParameters", "DataCacheConfig", "SchedulingConfig")
"""The members of the specification that settings can have."""


def validated(value: Any, where: str) -> dict[str, Any]:
    """Return `InferenceComponent` of the settings, with the default number of copies.

    Raise InvalidRequestError, with the path of the problem (`where` is the path of `value`), if it is not valid.
    """
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{where} is not an object.")
    known = (*MEMBERS, COPIES, *SHARED_ENDPOINT)
    for key in sorted(set(value) - set(known)):
        raise InvalidRequestError(
            f"{where} has the unknown key {key!a:.100}{did_you_mean(key, known)}. Valid keys: {', '.join(known)}."
        )
    if "ComputeResourceRequirements" not in value:
        raise InvalidRequestError(
            f"{where}.ComputeResourceRequirements is missing. SageMaker requires at least MinMemoryRequiredInMb."
        )
    copies = value.get(COPIES, 1)
    if not isinstance(copies, int) or isinstance(copies, bool) or copies < 1:
        raise InvalidRequestError(
            f"{where}.{COPIES} is {str(copies)!a:.100}. It must be an integer of at least 1, because the smoke test "
            "needs a copy. To scale to zero between requests, set Autoscaling.MinCapacity to 0."
        )
    if "VariantName" in value and "EndpointName" not in value:
        raise InvalidRequestError(
            f"{where}.VariantName is only for a shared endpoint: the promotion names the variant of the component's "
            "own endpoint. Remove it, or set EndpointName."
        )
    whole = service_model.input_shape("sagemaker", "CreateInferenceComponent")
    for key in SHARED_ENDPOINT:
        if key in value:
            _check(whole.members[key], value[key], f"{where}.{key}")
    shape = service_model.input_shape("sagemaker", "UpdateInferenceComponent").members["Specification"]
    _check(shape, {key: value[key] for key in MEMBERS if key in value}, where)
    return {**value, COPIES: copies}


def validated_deployment(value: Any, where: str) -> dict[str, Any]:
    """Return `DeploymentConfig` of the settings of an inference component; raise InvalidRequestError as `validated`."""
    if isinstance(value, dict) and "BlueGreenUpdatePolicy" in value:
        raise InvalidRequestError(
            f"{where}.BlueGreenUpdatePolicy is not for inference components, which SageMaker updates only in batches "
            "of copies. Use RollingUpdatePolicy."
        )
    shape = service_model.input_shape("sagemaker", "UpdateInferenceComponent").members["DeploymentConfig"]
    _check(shape, value, where)
    return dict(value)


def _check(shape: Any, value: Any, where: str) -> None:
    problems = list(service_model.problems(shape, value, where))
    if problems:
        raise InvalidRequestError(f"{service_model.listed(problems)}.")


def refusals(
    settings: dict[str, Any], containers: list[dict[str, Any]], variants: list[dict[str, Any]]
) -> Iterator[str]:
    """Yield the reasons why SageMaker would refuse to serve a model of `containers` with a component of `settings`."""
    config = settings["EndpointConfig"]
    for applies, feature, remedy in (
        (len(variants) > 1, "several ProductionVariants", "Keep one of them"),
        (any("ServerlessConfig" in each for each in variants), "ServerlessConfig", "Use InstanceType"),
        ("AsyncInferenceConfig" in config, "AsyncInferenceConfig", "Remove one of them"),
        ("ShadowProductionVariants" in config, "ShadowProductionVariants", "Remove one of them"),
        (len(containers) > 1, "a pipeline of several containers", "Remove InferenceComponent"),
        (any(each.get("Mode") == "MultiModel" for each in containers), "a multi-model endpoint", "Remove one of them"),
    ):
        if applies:
            yield (
                f"InferenceComponent cannot be combined with {feature}: a component runs one container on the "
                f"instances of one variant. {remedy}."
            )
    scaling = settings.get("Autoscaling", {"MinCapacity": 1})
    if scaling["MinCapacity"] == 0 and not autoscaling.waking(scaling.get("ScalingPolicies", [])):
        yield (
            "Autoscaling.MinCapacity is 0, but no policy would start a copy again: target tracking has no metrics of a "
            "component without copies. Add a policy of the type StepScaling to Autoscaling.ScalingPolicies, or set "
            "MinCapacity to 1."
        )
    if deployment_config := settings.get("DeploymentConfig"):
        yield from guardrails.component_refusals(deployment_config, settings["InferenceComponent"][COPIES])


def conversion(endpoint: str, live: dict[str, Any], is_component: bool) -> Iterator[str]:
    """Yield the reason why the `live` endpoint config cannot be replaced by one that hosts the other kind of target."""
    hosts = any("ModelName" not in variant for variant in live["ProductionVariants"])
    if hosts == is_component:
        return
    now, then = ("hosts inference components", "a model itself") if hosts else ("hosts a model itself", "a component")
    remedy = "add InferenceComponent to" if hosts else "remove InferenceComponent from"
    yield (
        f"The endpoint {endpoint} {now} and would host {then}, which SageMaker cannot convert. Either {remedy} the "
        "settings, or delete the endpoint first (it is unavailable until the promotion has created it again), or "
        "promote the model under another application name."
    )
