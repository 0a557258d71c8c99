"""The CreateModel request and the tags of a candidate in a stage, and its comparison with an existing model."""

from __future__ import annotations

from typing import Any

from promotion.aws import service_model
from promotion.errors import PromotionRefusedError
from promotion.naming import resource_name, sha256_of
from promotion.source.candidate import Candidate
from promotion.source.tags import (
    APPLICATION_TAG,
    CREATED_AT_TAG,
    DIGEST_TAG,
    EXECUTION_TAG,
    SMOKE_TEST_TAG,
    SOURCE_TAG,
)

_MAXIMUM_TAGS = 50
_UNCOMPARED = {"ModelName", "EndpointConfigName", "Tags"}
# SageMaker adds many defaults to a request, but none of these members.
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
    """Return `containers` with the Image and Environment of `model` (`Model` of the settings).

    Raises PromotionRefusedError if `model` has a PrimaryContainer and the candidate is a pipeline.
    """
    settings = model.get("PrimaryContainer", {})
    if not settings:
        return containers
    if len(containers) > 1:
        raise PromotionRefusedError(
            f"The settings have Model.PrimaryContainer, but the model is a pipeline of {len(containers)} containers. "
            "Remove Model.PrimaryContainer from the settings of the application; each container has its own image and "
            "environment."
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
    """Return the CreateModel request of the candidate in a stage.

    `containers` are the candidate's with the stage's URIs, `model` is `Model` of the settings, `tags` come from
    `resource_tags`. Raises PromotionRefusedError if the source is in a VPC and the settings have none.
    """
    if candidate.in_vpc and "VpcConfig" not in model:
        raise PromotionRefusedError(
            f"{candidate.source['name']} uses a VPC, but {candidate.application} has no VPC in this stage. Set "
            "Model.VpcConfig in the settings of the application."
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


def resource_tags(
    candidate: Candidate,
    digest: str,
    execution: str,
    smoke_test_uri: str | None = None,
    tags: dict[str, str] | None = None,
) -> dict[str, str]:
    """Return the tags of a model or endpoint config: `tags`, which are those of the source unless given, and our own.

    Raises PromotionRefusedError if there are more tags than SageMaker allows.
    """
    tags = (candidate.tags if tags is None else tags) | {
        APPLICATION_TAG: candidate.application,
        CREATED_AT_TAG: candidate.created_at,
        DIGEST_TAG: digest,
        EXECUTION_TAG: execution,
        SOURCE_TAG: candidate.source["arn"],
    }
    if smoke_test_uri:
        tags[SMOKE_TEST_TAG] = smoke_test_uri
    assert_room_for_tags(candidate, len(tags))
    return tags


def assert_room_for_tags(candidate: Candidate, count: int) -> None:
    """Raise PromotionRefusedError if `count` tags are more than SageMaker allows."""
    if count > _MAXIMUM_TAGS:
        raise PromotionRefusedError(
            f"{candidate.source['name']} has {len(candidate.tags)} tags. With the tags of the settings and of the "
            f"promotion, its model would have {count}, but SageMaker allows {_MAXIMUM_TAGS}. Remove at least "
            f"{count - _MAXIMUM_TAGS} of its tags."
        )


def assert_accepted(containers: list[dict[str, Any]], name: str) -> None:
    """Raise PromotionRefusedError if SageMaker would refuse the containers of a model in this stage.

    `name` is the name of the source. The URI of a copy can be longer, and the settings can add to an environment.
    """
    shape = service_model.input_shape("sagemaker", "CreateModel").members["Containers"]
    problems = list(service_model.problems(shape, containers, "Containers"))
    if problems:
        raise PromotionRefusedError(f"SageMaker would refuse the model of {name}. {service_model.listed(problems)}.")


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as a list of {"Key", "Value"}, sorted."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def differences(request: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Return the paths of the members in which an existing model or endpoint config differs from `request`.

    Members that only the description has count only if SageMaker never adds them as a default.
    """
    requested = {member: value for member, value in request.items() if member not in _UNCOMPARED}
    return list(_differing(requested, description, ""))


def _differing(requested: Any, actual: Any, path: str) -> list[str]:
    if isinstance(requested, dict) and isinstance(actual, dict):
        if path.endswith("Environment"):
            return [] if requested == actual else [path]
        extra = {key: None for key in sorted(_NEVER_ADDED & (actual.keys() - requested.keys())) if actual[key]}
        members = (
            _differing(v, actual.get(key), f"{path}.{key}".lstrip(".")) for key, v in (requested | extra).items()
        )
        return [difference for member in members for difference in member]
    if isinstance(requested, list) and isinstance(actual, list) and len(requested) == len(actual):
        pairs = zip(requested, actual, strict=True)
        return [d for i, (a, f) in enumerate(pairs) for d in _differing(a, f, f"{path}[{i}]")]
    return [] if requested == actual else [path]
