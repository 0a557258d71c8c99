"""What this stage creates of a candidate: its SageMaker model and endpoint config, and whether one is there already."""

from __future__ import annotations

from typing import Any

from promotion.aws import service_model
from promotion.errors import PromotionRefusedError
from promotion.naming import resource_name, sha256_of
from promotion.source.candidate import (
    APPLICATION_TAG,
    CREATED_AT_TAG,
    DIGEST_TAG,
    EXECUTION_TAG,
    METRICS_TAG,
    SMOKE_TEST_TAG,
    SOURCE_TAG,
    Candidate,
)

_MAXIMUM_TAGS = 50
_UNCOMPARED = {"ModelName", "EndpointConfigName", "Tags"}
# SageMaker adds much to what was asked for, but none of these.
_NEVER_ADDED = {
    "AsyncInferenceConfig",
    "DataCaptureConfig",
    "EnableNetworkIsolation",
    "Environment",
    "ExplainerConfig",
    "InferenceExecutionConfig",
    "KmsKeyId",
    "ShadowProductionVariants",
    "VpcConfig",
}


def stage_containers(containers: list[dict[str, Any]], model: dict[str, Any]) -> list[dict[str, Any]]:
    """`containers` with the Image and the Environment of the settings' `Model` over theirs."""
    settings = model.get("PrimaryContainer", {})
    if not settings:
        return containers
    if len(containers) > 1:
        raise PromotionRefusedError(
            "The settings have Model.PrimaryContainer, but the model is a pipeline of "
            f"{len(containers)} containers. Take it out of the settings; the containers bring their own."
        )
    changed = containers[0] | settings
    if "Environment" in settings:
        changed["Environment"] = containers[0].get("Environment", {}) | settings["Environment"]
    return [changed]


def create_model_request(
    candidate: Candidate,
    containers: list[dict[str, Any]],
    *,
    stage: str,
    model: dict[str, Any],
    role_arn: str,
    tags: dict[str, str],
) -> dict[str, Any]:
    """CreateModel's members for the candidate in this stage.

    `containers` are the candidate's with this stage's addresses, `model` the settings' `Model`, `tags` from `own_tags`.
    Raises PromotionRefusedError for a source in a VPC where the settings say nothing of one.
    """
    if candidate.in_vpc and "VpcConfig" not in model:
        raise PromotionRefusedError(
            f"{candidate.source['name']} is in a VPC and this stage has no VPC for {candidate.application}. Set "
            "Model.VpcConfig in the application's settings."
        )
    request: dict[str, Any] = {"ExecutionRoleArn": role_arn}
    if len(containers) == 1 and not candidate.inference_execution_config:
        request["PrimaryContainer"] = containers[0]
    else:
        request["Containers"] = containers
    if candidate.inference_execution_config:
        request["InferenceExecutionConfig"] = candidate.inference_execution_config
    if candidate.enable_network_isolation or model.get("EnableNetworkIsolation"):
        request["EnableNetworkIsolation"] = True
    if "VpcConfig" in model:
        request["VpcConfig"] = model["VpcConfig"]
    name = resource_name(candidate.application, stage, candidate.created_at, sha256_of(request))
    return {"ModelName": name, **request, "Tags": tag_list(tags)}


def own_tags(
    candidate: Candidate,
    digest: str,
    execution: str,
    smoke_test_uri: str | None = None,
    metrics_uri: str | None = None,
) -> dict[str, str]:
    """The source's tags and ours: what a later stage, retention and an operator need to know of a resource."""
    tags = candidate.tags | {
        APPLICATION_TAG: candidate.application,
        CREATED_AT_TAG: candidate.created_at,
        DIGEST_TAG: digest,
        EXECUTION_TAG: execution,
        SOURCE_TAG: candidate.source["arn"],
    }
    if smoke_test_uri:
        tags[SMOKE_TEST_TAG] = smoke_test_uri
    if metrics_uri:
        tags[METRICS_TAG] = metrics_uri
    assert_room_for_tags(candidate, len(tags))
    return tags


def assert_room_for_tags(candidate: Candidate, count: int) -> None:
    """Raises PromotionRefusedError where what is made of the candidate would have `count` tags, and may not."""
    if count > _MAXIMUM_TAGS:
        raise PromotionRefusedError(
            f"{candidate.source['name']} has {len(candidate.tags)} tags; with those of the promotion it would have "
            f"{count}, and SageMaker allows {_MAXIMUM_TAGS}. Take some off."
        )


def assert_taken(containers: list[dict[str, Any]], name: str) -> None:
    """Raises PromotionRefusedError where SageMaker would not take the containers of a model as they are in this stage.

    `name` is the source's. An address may grow when it becomes that of a copy, and an environment by the settings.
    """
    shape = service_model.input_shape("sagemaker", "CreateModel").members["Containers"]
    found = list(service_model.problems(shape, containers, "Containers"))
    if found:
        raise PromotionRefusedError(f"SageMaker would not take the model of {name}: {service_model.listed(found)}.")


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as AWS lists them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def differences(request: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """The members in which an existing model or endpoint config is not what `request` would create.

    What SageMaker's description has beyond the request counts only if it is never a default of SageMaker's.
    """
    asked = {member: value for member, value in request.items() if member not in _UNCOMPARED}
    return list(_differing(asked, description, ""))


def _differing(asked: Any, found: Any, path: str) -> list[str]:
    if isinstance(asked, dict) and isinstance(found, dict):
        if path.endswith("Environment"):
            return [] if asked == found else [path]
        extra = {key: None for key in sorted(_NEVER_ADDED & (found.keys() - asked.keys())) if found[key]}
        members = (_differing(v, found.get(key), f"{path}.{key}".lstrip(".")) for key, v in (asked | extra).items())
        return [difference for member in members for difference in member]
    if isinstance(asked, list) and isinstance(found, list) and len(asked) == len(found):
        pairs = zip(asked, found, strict=True)
        return [d for i, (a, f) in enumerate(pairs) for d in _differing(a, f, f"{path}[{i}]")]
    return [] if asked == found else [path]
