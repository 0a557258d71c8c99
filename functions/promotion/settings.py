"""An application's settings in a stage: one JSON document in AWS's own vocabulary over the stack's defaults."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from promotion import autoscaling, smoke_test
from promotion.aws_errors import Meaning, meaning
from promotion.containers import CARRIED_FROM_CONTAINER, EXPANDED_IN_CONTAINER
from promotion.errors import InvalidRequestError
from promotion.naming import VARIANT
from promotion.request import application_name

SKIP = "skip"

# What each AWS part of the document is validated against.
_OPERATIONS = {"EndpointConfig": "CreateEndpointConfig", "Model": "CreateModel"}
# What this application fills in itself; a container but for these two members comes with the candidate.
_OURS = {
    "EndpointConfig": {"EndpointConfigName", "Tags"},
    "Model": {"ModelName", "Tags", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn"},
    "Model.PrimaryContainer": CARRIED_FROM_CONTAINER.union(EXPANDED_IN_CONTAINER) - {"Environment", "Image"},
    "EndpointConfig.ProductionVariants[0]": {"VariantName", "ModelName"},
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

    Returns {"EndpointConfig", "Model", "Autoscaling", "SmokeTest"}; EndpointConfig and Model hold members of
    CreateEndpointConfig and CreateModel, Autoscaling what `autoscaling.validated` takes, SmokeTest a suite, "skip" or
    None. Raises InvalidRequestError naming the parameter and the path of what is wrong, before anything is created.
    """
    settings = copy.deepcopy(defaults)
    if text is None:
        return settings
    try:
        given = json.loads(text, parse_constant=_no_json)
    except ValueError as error:
        raise InvalidRequestError(f"The settings in {parameter} are no JSON: {error}.") from error
    if not isinstance(given, dict):
        raise InvalidRequestError(f"The settings in {parameter} are no JSON object.")
    for part, value in given.items():
        if part in _OPERATIONS:
            default = settings.get(part, {})
            settings[part] = default | _validated(parameter, part, value)
            if part == "EndpointConfig" and "ProductionVariants" in value:
                settings[part]["ProductionVariants"] = [_over_default(default, value["ProductionVariants"][0])]
        elif part == "SmokeTest":
            settings[part] = value if value == SKIP else smoke_test.validated(value, f"{parameter}: SmokeTest")
        elif part == "Autoscaling":
            settings[part] = autoscaling.validated(value, f"{parameter}: Autoscaling")
        else:
            known = ", ".join([*_OPERATIONS, "Autoscaling", "SmokeTest"])
            raise InvalidRequestError(f"The settings in {parameter} have the unknown key {part!a}; known are {known}.")
    return settings


def _over_default(default: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    """`variant` over the stack's one, unless it has its capacity in another way than as instances of one type."""
    if {"ServerlessConfig", "InstancePools", "ManagedInstanceScaling"} & set(variant):
        return variant
    return {**default.get("ProductionVariants", [{}])[0], **variant}


def _validated(parameter: str, part: str, value: Any) -> dict[str, Any]:
    _check_ours(parameter, part, value)
    if part == "Model":
        _check_ours(parameter, "Model.PrimaryContainer", value.get("PrimaryContainer", {}))
        whole = {"ModelName": "filled-in", **value}
    else:
        whole = {"EndpointConfigName": "filled-in", **value, "ProductionVariants": _variants(parameter, value)}
    report = ParamValidator().validate(whole, _service_model().operation_model(_OPERATIONS[part]).input_shape)
    if report.has_errors():
        raise InvalidRequestError(f"The settings in {parameter} are wrong in {part}: {report.generate_report()}")
    return dict(value)


def _variants(parameter: str, endpoint_config: dict[str, Any]) -> list[dict[str, Any]]:
    """The one production variant with what the promotion fills in, so that the config validates as a whole."""
    variants = endpoint_config.get("ProductionVariants", [{}])
    if not isinstance(variants, list) or len(variants) != 1:
        raise InvalidRequestError(
            f"The settings in {parameter} are wrong: EndpointConfig.ProductionVariants has to be a list of one variant."
        )
    _check_ours(parameter, "EndpointConfig.ProductionVariants[0]", variants[0])
    return [{"VariantName": VARIANT, "ModelName": "filled-in", **variants[0]}]


def _check_ours(parameter: str, path: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"The settings in {parameter} are wrong: {path} is not an object.")
    for field in sorted(_OURS[path] & set(value)):
        raise InvalidRequestError(
            f"The settings in {parameter} are wrong: {path}.{field} is filled in by the promotion. Take it out."
        )


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


@functools.cache
def _service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")
