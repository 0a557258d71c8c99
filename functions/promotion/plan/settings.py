"""The settings of an application in a stage: a JSON document in the vocabulary of the SageMaker API."""

from __future__ import annotations

import copy
import re
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import service_model, strict_json
from promotion.aws.aws_errors import Meaning, meaning, message, none_if_not_found
from promotion.aws.input_checks import did_you_mean
from promotion.copying.digest import changed
from promotion.copying.references import is_s3_uri
from promotion.endpoint import autoscaling, registry, smoke_test, smoke_test_function
from promotion.endpoint.config import with_names
from promotion.endpoint.smoke_test import SKIP
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.history import retention
from promotion.naming import application_name
from promotion.plan import component_settings, pinned_weights
from promotion.source import admission, inference_code, quality_gate
from promotion.source.candidate import own_tags
from promotion.source.containers import (
    CARRIED_FROM_CONTAINER,
    CREDENTIALS_REASON,
    EXPANDED_IN_CONTAINER,
    credentials_in,
)
from promotion.source.tags import TAG

# The operation, or the member of its input, that each of these parts is validated against.
_OPERATIONS = {
    "EndpointConfig": ("CreateEndpointConfig", None),
    "DeploymentConfig": ("UpdateEndpoint", "DeploymentConfig"),
    "Model": ("CreateModel", None),
}
_PARTS = (
    *_OPERATIONS,
    "InferenceComponent",
    "InferenceCode",
    "Autoscaling",
    "SmokeTest",
    "SmokeTestFunction",
    "QualityGate",
    "Retention",
    "Sources",
    "KeptVariables",
    "AcceptEula",
    "AdoptExisting",
    "RequirePinnedWeights",
    "RequireRollback",
    "RegisterInto",
    "Tags",
)
_SET_BY_PROMOTION = "is set by the promotion. Remove it"
_FOR_PARTITIONS = "is not supported. Remove it"
_OF_THE_MODEL = "is set by the promotion for an inference component, from Model. Remove it"
_NOT_PINNED = (
    "is an S3 URI, whose objects a promotion would neither pin nor copy. Set the URI in the environment of the model, "
    "or put the files into its artifacts"
)
# Members that the settings must not have, and the reason. The candidate sets a container except Image and Environment.
_NOT_ACCEPTED = {
    "EndpointConfig": dict.fromkeys(("EndpointConfigName", "Tags"), _SET_BY_PROMOTION)
    | dict.fromkeys(("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"), _OF_THE_MODEL),
    "DeploymentConfig": {},
    "Model": dict.fromkeys(
        ("ModelName", "Tags", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn"), _SET_BY_PROMOTION
    ),
    "Model.PrimaryContainer": dict.fromkeys(
        CARRIED_FROM_CONTAINER.union(EXPANDED_IN_CONTAINER) - {"Environment", "Image"}, _SET_BY_PROMOTION
    ),
    "ProductionVariants": {
        "AcceleratorType": "is for Elastic Inference, which AWS has discontinued. Remove it",
        "AcceleratorPartitionLayouts": _FOR_PARTITIONS,
    },
}
# API_Tag.html; the service model's pattern has classes that Python does not know.
_TAG_TEXT = re.compile(r"[\w .:/=+\-@]*")


def parameter_name(stage: str, application: str) -> str:
    """Return the name of the parameter with the settings. Raises InvalidRequestError if `application` is not valid."""
    return f"/model-promotion/{stage}/{application_name(application)}"


def load(
    ssm: Any, stage: str, application: str, defaults: dict[str, Any], upstream_account: str
) -> dict[str, Any] | None:
    """Return the settings of an application in a stage, or None if it is not registered: it has no parameter.

    The parameter can be a SecureString. Raises the same errors as `read`, and PromotionRefusedError if the stage cannot
    use its key.
    """
    parameter = parameter_name(stage, application)
    try:
        response = none_if_not_found(ssm.get_parameter, Name=parameter, WithDecryption=True)
    except ClientError as error:
        if not _is_about_key(error):
            raise
        raise PromotionRefusedError(
            f"The settings in the parameter {parameter} cannot be decrypted. {message(error).rstrip('.')}. Their KMS "
            "key must be enabled and in this account, and its policy must delegate to IAM policies, as the default "
            "policy of the console does."
        ) from error
    return read(response["Parameter"]["Value"], parameter, defaults, upstream_account) if response else None


def _is_about_key(error: ClientError) -> bool:
    """Return whether AWS refused the decryption of a parameter: API reference, GetParameter (InvalidKeyId)."""
    code, text = error.response["Error"]["Code"], message(error).lower()
    return code == "InvalidKeyId" or (meaning(error) is Meaning.DENIED and ("kms:" in text or "ciphertext" in text))


def changes(planned: dict[str, Any], current: dict[str, Any] | None) -> str:
    """Return the paths of the settings that have changed since they were `planned`, or "" if none has.

    `current` is the result of `load`.
    """
    if current is None:
        return "the application is no longer registered"
    return changed(planned, current, shows=None)


def read(text: str, parameter: str, defaults: dict[str, Any], upstream_account: str) -> dict[str, Any]:
    """Return the settings: `text` (the JSON document in `parameter`) over the stack's `defaults`.

    The result has those of the keys in `_PARTS` that are set. Their values are members of CreateEndpointConfig, of
    UpdateEndpoint's DeploymentConfig and of CreateModel, {"S3Uri", "Program"}, the value of `autoscaling.validated`, a
    suite or "skip", the ARN of a function, a list of rules, {"Keep"}, the value of `admission.validated`, a name, and
    true or false. Raises InvalidRequestError, with the parameter and the path of the problem, if the document is not
    valid.
    """
    settings = copy.deepcopy(defaults)
    return settings | _parts(text, parameter, settings, upstream_account)


def _parts(text: str, parameter: str, defaults: dict[str, Any], upstream_account: str) -> dict[str, Any]:
    """Return the parts of the document, each over its default."""
    try:
        document = strict_json.read(text)
    except ValueError as error:
        raise InvalidRequestError(f"The settings in the parameter {parameter} are not valid JSON: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidRequestError(f"The settings in the parameter {parameter} are not a JSON object.")
    document.pop(strict_json.EDITOR_KEY, None)
    for part in document:
        if part not in _PARTS:
            raise InvalidRequestError(
                f"The settings in the parameter {parameter} have the unknown key {part!a:.100}"
                f"{did_you_mean(part, _PARTS)}. Valid keys: {', '.join(_PARTS)}."
            )
    try:
        return {
            part: admission.validated(value, part, upstream_account)
            if part == "Sources"
            else _validated(part, value, defaults.get(part, {}), is_component="InferenceComponent" in document)
            for part, value in document.items()
        }
    except InvalidRequestError as error:
        raise InvalidRequestError(f"The settings in the parameter {parameter} are not valid. {error}") from error


def _validated(part: str, value: Any, default: dict[str, Any], is_component: bool) -> Any:
    """Return the value of a part over its default. Raises InvalidRequestError, with the path of the problem."""
    match part:
        case "SmokeTest":
            return value if value == SKIP else smoke_test.validated(value, "SmokeTest")
        case "SmokeTestFunction":
            return smoke_test_function.validated(value, part)
        case "InferenceComponent":
            return component_settings.validated(value, part)
        case "DeploymentConfig" if is_component:
            return component_settings.validated_deployment(value, part)
        case "InferenceCode":
            return inference_code.validated(value, part)
        case "Autoscaling":
            return autoscaling.validated(value, part)
        case "QualityGate":
            return quality_gate.validated(value, part)
        case "Retention":
            return retention.validated(value, part)
        case "RegisterInto":
            return registry.validated(value, part)
        case "Tags":
            return _validated_tags(value, part)
        case "KeptVariables":
            return pinned_weights.kept_variables(value, part)
        case "AcceptEula" | "AdoptExisting" | "RequirePinnedWeights" | "RequireRollback":
            if not isinstance(value, bool):
                raise InvalidRequestError(f"{part} must be true or false.")
            return value
    members = default | _validated_members(part, value)
    if part == "EndpointConfig" and "ProductionVariants" in value:
        members["ProductionVariants"] = [_over_default(default, variant) for variant in value["ProductionVariants"]]
    return members


def _over_default(default: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    """Return `variant` over the default one, unless it has another kind of capacity than one instance type."""
    if {"ServerlessConfig", "InstancePools", "ManagedInstanceScaling"} & set(variant):
        return variant
    return {**default.get("ProductionVariants", [{}])[0], **variant}


def _validated_members(part: str, value: Any) -> dict[str, Any]:
    _check_accepted(part, value, _NOT_ACCEPTED[part])
    whole = dict(value)
    if part == "Model":
        path = "Model.PrimaryContainer"
        _check_accepted(path, value.get("PrimaryContainer", {}), _NOT_ACCEPTED[path])
        whole |= {"ModelName": "filled-in"}
    elif part == "EndpointConfig":
        _check_variants(value)
        whole |= {"EndpointConfigName": "filled-in", **with_names({"ProductionVariants": [{}], **value}, "filled-in")}
    operation, member = _OPERATIONS[part]
    shape = service_model.input_shape("sagemaker", operation)
    problems = list(service_model.problems(shape.members[member] if member else shape, whole, part))
    if part == "Model" and not problems:
        environment = value.get("PrimaryContainer", {}).get("Environment", {})
        problems = [
            f"Model.PrimaryContainer.Environment.{name} {CREDENTIALS_REASON}" for name in credentials_in(environment)
        ] + [
            f"Model.PrimaryContainer.Environment.{name} {_NOT_PINNED}"
            for name, value in environment.items()
            if is_s3_uri(value)
        ]
    if problems:
        raise InvalidRequestError(f"{service_model.listed(problems)}.")
    return dict(value)


def _validated_tags(value: Any, where: str) -> list[dict[str, str]]:
    """Return `value` if it is a list of tags that people may set. Raises InvalidRequestError, with the path."""
    shape = service_model.input_shape("sagemaker", "CreateEndpointConfig").members["Tags"]
    if problems := list(service_model.problems(shape, value, where)):
        raise InvalidRequestError(f"{service_model.listed(problems)}.")
    for index, tag in enumerate(value):
        for member, text in tag.items():
            if not _TAG_TEXT.fullmatch(text):
                raise InvalidRequestError(
                    f"{where}[{index}].{member} is {text!a:.100}. A tag can have letters, digits, spaces and _.:/=+-@"
                )
    keys = [tag["Key"] for tag in value]
    for index, key in enumerate(keys):
        if not own_tags({key: ""}):
            raise InvalidRequestError(
                f"{where}[{index}].Key is {key!a}. AWS and this project set the tags that begin with aws: and {TAG} "
                "themselves. Choose another key."
            )
        if key in keys[:index]:
            raise InvalidRequestError(f"{where} has the Key {key!a} twice. Remove one of the tags.")
    return list(value)


def _check_variants(endpoint_config: dict[str, Any]) -> None:
    """Raise InvalidRequestError if a variant has members that the promotion sets, or a missing or duplicate name."""
    for kind in ("ProductionVariants", "ShadowProductionVariants"):
        variants, path = endpoint_config.get(kind, [{}]), f"EndpointConfig.{kind}"
        if not isinstance(variants, list) or not variants:
            raise InvalidRequestError(f"{path} must be a list of at least one variant.")
        for index, variant in enumerate(variants):
            # A shadow variant may be another model of the account.
            not_accepted = _NOT_ACCEPTED["ProductionVariants"] if kind == "ProductionVariants" else {}
            _check_accepted(f"{path}[{index}]", variant, not_accepted)
            if kind == "ProductionVariants" and len(variants) == 1 and "VariantName" in variant:
                raise InvalidRequestError(
                    f"{path}[0].VariantName {_SET_BY_PROMOTION}; only several variants require names."
                )
            if len(variants) > 1 and "VariantName" not in variant:
                raise InvalidRequestError(
                    f"{path}[{index}].VariantName is missing. Give each of several variants a name that never changes."
                )
        if kind == "ProductionVariants" and all("ModelName" in variant for variant in variants):
            raise InvalidRequestError(
                f"{path} has a ModelName in each variant, so that none would serve the promoted model. Remove "
                "ModelName from one of them."
            )
        names = [variant.get("VariantName") for variant in variants]
        if len(set(map(str, names))) < len(names):
            raise InvalidRequestError(f"{path} has the same VariantName twice. Rename one of the variants.")


def _check_accepted(path: str, value: Any, not_accepted: dict[str, str]) -> None:
    """Raise InvalidRequestError if `value` is not an object or has a member that the settings must not have."""
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{path} is not an object.")
    for member in sorted(not_accepted.keys() & value.keys()):
        raise InvalidRequestError(f"{path}.{member} {not_accepted[member]}.")
