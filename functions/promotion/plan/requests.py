"""Build the requests that create a candidate's model and endpoint config, the same for preview and promotion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from promotion.aws import service_model
from promotion.endpoint import tagging
from promotion.endpoint.config import create_endpoint_config_request, host_config, is_serverless
from promotion.endpoint.model import (
    assert_accepted,
    create_model_request,
    resource_tags,
    stage_containers,
    tag_list,
)
from promotion.endpoint.smoke_test import SKIP
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.naming import resource_name, sha256_of
from promotion.source import images
from promotion.source.candidate import Candidate
from promotion.source.containers import accepted_licenses
from promotion.source.images import Copy, Image
from promotion.source.tags import SMOKE_TEST_TAG
from promotion.stage import Stage


def containers_of_stage(
    containers: list[dict[str, Any]],
    settings: dict[str, Any],
    stage: Stage,
    repository: str | None,
    image_digest: Callable[[Image], str],
) -> tuple[list[dict[str, Any]], list[Copy]]:
    """Return `containers` with the image and environment of the settings, and the images to copy into the stage.

    `repository` is the stage's repository for copies, or None if images are not copied; `image_digest` returns the
    digest of an image. Raises PromotionRefusedError if the stage cannot use an image.
    """
    _assert_licenses_accepted(containers, settings)
    containers = stage_containers(containers, settings.get("Model", {}))
    images.assert_serving(containers)
    # The image of the settings is pinned too.
    containers = images.pinned(containers, stage.region, image_digest)
    copies: list[Copy] = []
    if repository:
        containers, copies = images.redirected(containers, stage.account, repository)
    if is_serverless(settings["EndpointConfig"]):
        images.assert_serverless(containers, stage.account)
    return containers, copies


@dataclasses.dataclass(frozen=True)
class Requests:
    """The CreateModel and CreateEndpointConfig requests."""

    model: dict[str, Any]
    endpoint_config: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Origin:
    """The origin of a model, for its tags: the candidate's digest, the execution, and its files in the stage.

    `smoke_test_uri` is "skip" without a smoke test.
    """

    digest: str
    execution: str
    smoke_test_uri: str


def build(
    candidate: Candidate,
    containers: list[dict[str, Any]],
    settings: dict[str, Any],
    stage: Stage,
    role_arn: str,
    origin: Origin,
    require_network_isolation: bool,
) -> Requests:
    """Return the requests for a candidate in a stage; `containers` come from `containers_of_stage`.

    Raises PromotionRefusedError or InvalidRequestError if SageMaker would refuse them.
    """
    assert_accepted(containers, candidate.source["name"])
    if require_network_isolation:
        _assert_isolated(candidate, settings.get("Model", {}))
    smoke_test_uri = origin.smoke_test_uri if origin.smoke_test_uri != SKIP else None
    wanted = tagging.wanted(candidate, settings)
    tags = resource_tags(candidate, origin.digest, origin.execution, smoke_test_uri, wanted)
    model = create_model_request(
        candidate, containers, stage=stage.name, model=settings.get("Model", {}), role_arn=role_arn, tags=tags
    )
    if component := settings.get("InferenceComponent"):
        config = host_config(settings, role_arn)
        requests = _of_component(candidate, stage, model, config, component, tags)
        _assert_accepted(requests.endpoint_config)
        return requests
    endpoint_config = create_endpoint_config_request(
        candidate,
        model["ModelName"],
        stage=stage.name,
        endpoint_config=settings["EndpointConfig"],
        tags=resource_tags(candidate, origin.digest, origin.execution, tags=wanted),
    )
    _assert_accepted(endpoint_config)
    return Requests(model, endpoint_config)


def _of_component(
    candidate: Candidate,
    stage: Stage,
    model: dict[str, Any],
    config: dict[str, Any],
    component: dict[str, Any],
    tags: dict[str, str],
) -> Requests:
    """Return the requests for a component: one name for both, which follows from all that the component runs.

    SageMaker shows the model of a component, and no endpoint config. So this name identifies the deployment.
    """
    content = {name: value for name, value in model.items() if name not in ("ModelName", "Tags")}
    identity = sha256_of({"Model": content, "EndpointConfig": config, "InferenceComponent": component})
    name = resource_name(candidate.application, stage.name, candidate.created_at, identity)
    untested = tag_list({key: value for key, value in tags.items() if key != SMOKE_TEST_TAG})
    return Requests(model | {"ModelName": name}, {"EndpointConfigName": name, **config, "Tags": untested})


def _assert_licenses_accepted(containers: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Raise PromotionRefusedError if the source accepts the license of a gated model, and the settings do not."""
    if (places := accepted_licenses(containers)) and not settings.get("AcceptEula"):
        raise PromotionRefusedError(
            f"The model is gated: in the upstream account, its license was accepted for {', '.join(places)} "
            "(ModelAccessConfig.AcceptEula). To accept it for this stage as well, set AcceptEula to true in the "
            "settings of the application."
        )


def _assert_isolated(candidate: Candidate, model: dict[str, Any]) -> None:
    """Raise PromotionRefusedError unless the source or `model`, `Model` of the settings, has network isolation."""
    if not (candidate.enable_network_isolation or model.get("EnableNetworkIsolation")):
        raise PromotionRefusedError(
            f"{candidate.source['name']} has no network isolation, which this stage requires "
            "(RequireNetworkIsolation). Set Model.EnableNetworkIsolation in the settings of "
            f"{candidate.application}; its containers then cannot download code from S3."
        )


def _assert_accepted(endpoint_config: dict[str, Any]) -> None:
    """Raise InvalidRequestError if a default of the stack is not valid; the settings have been checked before."""
    shape = service_model.input_shape("sagemaker", "CreateEndpointConfig")
    untagged = {member: value for member, value in endpoint_config.items() if member != "Tags"}
    problems = list(service_model.problems(shape, untagged, "EndpointConfig"))
    if problems:
        raise InvalidRequestError(
            "The parameter InstanceType or InstanceCount of the stack is not valid: "
            f"{service_model.listed(problems)}. Deploy the stack with a valid value."
        )
