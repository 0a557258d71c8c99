"""An application's settings in a stage: one JSON document in AWS's own vocabulary over the stack's defaults."""

from __future__ import annotations

import copy
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import service_model, strict_json
from promotion.aws.aws_errors import Meaning, meaning
from promotion.endpoint import autoscaling, smoke_test
from promotion.endpoint.config import with_names
from promotion.endpoint.smoke_test import SKIP
from promotion.errors import InvalidRequestError
from promotion.history import retention
from promotion.naming import application_name
from promotion.source import quality_gate
from promotion.source.containers import (
    CARRIED_FROM_CONTAINER,
    CREDENTIALS_REASON,
    EXPANDED_IN_CONTAINER,
    credentials_in,
)

# What each AWS part of the document is validated against: an operation's input, or a member of it.
_OPERATIONS = {
    "EndpointConfig": ("CreateEndpointConfig", None),
    "DeploymentConfig": ("UpdateEndpoint", "DeploymentConfig"),
    "Model": ("CreateModel", None),
}
_FILLED_IN = "is filled in by the promotion. Take it out"
_FOR_INFERENCE_COMPONENTS = (
    "is for endpoints of inference components, which a promotion does not make: it puts one model on an endpoint. "
    "Take it out"
)
# What the settings may not have, and why; a container but for two members comes with the candidate.
_NOT_TAKEN = {
    "EndpointConfig": dict.fromkeys(("EndpointConfigName", "Tags"), _FILLED_IN)
    | dict.fromkeys(("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"), _FOR_INFERENCE_COMPONENTS),
    "DeploymentConfig": {},
    "Model": dict.fromkeys(
        ("ModelName", "Tags", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn"), _FILLED_IN
    ),
    "Model.PrimaryContainer": dict.fromkeys(
        CARRIED_FROM_CONTAINER.union(EXPANDED_IN_CONTAINER) - {"Environment", "Image"}, _FILLED_IN
    ),
    "ProductionVariants": {
        "ModelName": _FILLED_IN,
        "AcceleratorType": "is of Elastic Inference, which AWS no longer has. Take it out",
        "AcceleratorPartitionLayouts": _FOR_INFERENCE_COMPONENTS,
    },
}


def parameter_name(stage: str, application: str) -> str:
    """Where the settings of an application in a stage are kept in Parameter Store; a bad name raises."""
    return f"/model-promotion/{stage}/{application_name(application)}"


def load(ssm: Any, stage: str, application: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The settings in force of an application in a stage; raises what `read` raises."""
    parameter = parameter_name(stage, application)
    try:
        text = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    except ClientError as error:
        if meaning(error) is not Meaning.NOT_FOUND:
            raise
        text = None
    return read(text, parameter, defaults)


def read(text: str | None, parameter: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The settings in force: `text` (the JSON document in `parameter`, or None) over the stack's `defaults`.

    Returns those of {"EndpointConfig", "DeploymentConfig", "Model", "Autoscaling", "SmokeTest", "QualityGate",
    "Retention"} that are set: members of CreateEndpointConfig, of UpdateEndpoint's DeploymentConfig and of CreateModel,
    what `autoscaling.validated` takes, a suite or "skip", a list of rules, and {"Keep"}. Raises InvalidRequestError
    naming the parameter and the path of what is wrong, before anything is created.
    """
    settings = copy.deepcopy(defaults)
    if text is not None:
        settings |= _given(text, parameter, settings)
    return settings


def _given(text: str, parameter: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The parts of the settings that the document has, each over its default."""
    try:
        given = strict_json.read(text)
    except ValueError as error:
        raise InvalidRequestError(f"The settings in {parameter} are no JSON: {error}.") from error
    if not isinstance(given, dict):
        raise InvalidRequestError(f"The settings in {parameter} are no JSON object.")
    settings: dict[str, Any] = {}
    for part, value in given.items():
        if part in _OPERATIONS:
            default = defaults.get(part, {})
            settings[part] = default | _validated(parameter, part, value)
            if part == "EndpointConfig" and "ProductionVariants" in value:
                variants = value["ProductionVariants"]
                settings[part]["ProductionVariants"] = [_over_default(default, variant) for variant in variants]
        elif part == "SmokeTest":
            settings[part] = value if value == SKIP else smoke_test.validated(value, f"{parameter}: SmokeTest")
        elif part == "Autoscaling":
            settings[part] = autoscaling.validated(value, f"{parameter}: Autoscaling")
        elif part == "QualityGate":
            settings[part] = quality_gate.validated(value, f"{parameter}: QualityGate")
        elif part == "Retention":
            settings[part] = retention.validated(value, f"{parameter}: Retention")
        else:
            known = ", ".join([*_OPERATIONS, "Autoscaling", "SmokeTest", "QualityGate", "Retention"])
            raise InvalidRequestError(
                f"The settings in {parameter} have the unknown key {part!a:.100}; known are {known}."
            )
    return settings


def _over_default(default: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    """`variant` over the stack's one, unless it has its capacity in another way than as instances of one type."""
    if {"ServerlessConfig", "InstancePools", "ManagedInstanceScaling"} & set(variant):
        return variant
    return {**default.get("ProductionVariants", [{}])[0], **variant}


def _validated(parameter: str, part: str, value: Any) -> dict[str, Any]:
    _check_taken(parameter, part, value, _NOT_TAKEN[part])
    whole = dict(value)
    if part == "Model":
        _check_taken(
            parameter,
            "Model.PrimaryContainer",
            value.get("PrimaryContainer", {}),
            _NOT_TAKEN["Model.PrimaryContainer"],
        )
        whole |= {"ModelName": "filled-in"}
    elif part == "EndpointConfig":
        _check_variants(parameter, value)
        whole |= {"EndpointConfigName": "filled-in", **with_names({"ProductionVariants": [{}], **value}, "filled-in")}
    operation, member = _OPERATIONS[part]
    shape = service_model.input_shape("sagemaker", operation)
    found = list(service_model.problems(shape.members[member] if member else shape, whole, part))
    if part == "Model" and not found:
        environment = value.get("PrimaryContainer", {}).get("Environment", {})
        found = [
            f"Model.PrimaryContainer.Environment.{name} {CREDENTIALS_REASON}" for name in credentials_in(environment)
        ]
    if found:
        raise InvalidRequestError(f"The settings in {parameter} are wrong: {service_model.listed(found)}.")
    return dict(value)


def _check_variants(parameter: str, endpoint_config: dict[str, Any]) -> None:
    """What the promotion fills in is left out; where there are several variants each has a name that stays its own."""
    for kind in ("ProductionVariants", "ShadowProductionVariants"):
        variants, path = endpoint_config.get(kind, [{}]), f"EndpointConfig.{kind}"
        if not isinstance(variants, list) or not variants:
            raise InvalidRequestError(f"The settings in {parameter} are wrong: {path} has to be a list of variants.")
        for index, variant in enumerate(variants):
            # A shadow variant may be another model of the account.
            not_taken = _NOT_TAKEN["ProductionVariants"] if kind == "ProductionVariants" else {}
            _check_taken(parameter, f"{path}[{index}]", variant, not_taken)
            if kind == "ProductionVariants" and len(variants) == 1 and "VariantName" in variant:
                raise InvalidRequestError(
                    f"The settings in {parameter} are wrong: {path}[0].VariantName {_FILLED_IN}; only several variants "
                    "are named."
                )
            if len(variants) > 1 and "VariantName" not in variant:
                raise InvalidRequestError(
                    f"The settings in {parameter} are wrong: {path}[{index}].VariantName is missing. Of several "
                    "variants each needs a name, which should never change."
                )
        names = [variant.get("VariantName") for variant in variants]
        if len(set(map(str, names))) < len(names):
            raise InvalidRequestError(
                f"The settings in {parameter} are wrong: {path} has the same VariantName twice. Name them differently."
            )


def _check_taken(parameter: str, path: str, value: Any, not_taken: dict[str, str]) -> None:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"The settings in {parameter} are wrong: {path} is not an object.")
    for field in sorted(not_taken.keys() & value.keys()):
        raise InvalidRequestError(f"The settings in {parameter} are wrong: {path}.{field} {not_taken[field]}.")
