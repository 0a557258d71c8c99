"""Update of an endpoint to a new endpoint config, or its creation; a repeated call does not start it twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, as_transient, meaning, message
from promotion.endpoint import retained, scalable_targets
from promotion.endpoint.model import tag_list
from promotion.endpoint.sagemaker import describe_endpoint, describe_endpoint_config
from promotion.endpoint.state import BUSY
from promotion.errors import EndpointBusyError, PromotionRefusedError, TransientError


def create_endpoint(sagemaker: Any, endpoint: str, endpoint_config: str, tags: dict[str, str]) -> None:
    """Create the endpoint. Raises the same errors as `update_endpoint`."""
    with _once(sagemaker, endpoint, endpoint_config):
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint_config, Tags=tag_list(tags))


def update_endpoint(
    sagemaker: Any,
    scaling: Any,
    endpoint: str,
    *,
    previous: str,
    endpoint_config: str,
    deployment_config: dict[str, Any] | None,
) -> None:
    """Update the endpoint from the config `previous` to `endpoint_config`, with the guardrails of `deployment_config`.

    Raises EndpointBusyError if someone else is changing the endpoint, PromotionRefusedError if someone else has changed
    it, its config no longer exists or AWS denies the update, and TransientError if the new config is not visible yet.
    """
    with _once(sagemaker, endpoint, endpoint_config):
        description = describe_endpoint(sagemaker, endpoint)
        if description is not None and description["EndpointStatus"] in BUSY:
            # The endpoint still shows its previous config, so only the pending deployment identifies the update.
            _assert_ours(description, endpoint_config)
            return
        if description is not None and _serves(description, endpoint_config):
            return
        if description is not None:
            _assert_unchanged(description, previous, endpoint_config)
            if describe_endpoint_config(sagemaker, endpoint_config) is None:
                # The sizes and weights of the config decide whether the endpoint keeps its own.
                raise TransientError(f"The endpoint config {endpoint_config} is not visible in SageMaker yet.")
            current = description["EndpointConfigName"]
            if describe_endpoint_config(sagemaker, current) is None:
                raise PromotionRefusedError(without_config(endpoint, current))
            scalable_targets.deregister_blocking(scaling, sagemaker, endpoint, description, endpoint_config)
        sagemaker.update_endpoint(
            EndpointName=endpoint,
            EndpointConfigName=endpoint_config,
            **retained.properties(sagemaker, description, endpoint_config),
            **({"DeploymentConfig": deployment_config} if deployment_config else {}),
        )


def without_config(endpoint: str, endpoint_config: str) -> str:
    """Return the reason why SageMaker updates no endpoint whose live endpoint config was deleted.

    UpdateEndpoint then reports that it could not find the old endpoint configuration:
    https://github.com/hashicorp/terraform-provider-aws/issues/40048.
    """
    return (
        f"The endpoint config {endpoint_config}, which is live on the endpoint {endpoint}, was deleted. SageMaker does "
        f"not update an endpoint without it. Create an endpoint config with the name {endpoint_config} and its former "
        "content, or delete the endpoint (it is unavailable until the promotion has created it again). Then start the "
        "promotion again."
    )


@contextmanager
def _once(sagemaker: Any, endpoint: str, endpoint_config: str) -> Iterator[None]:
    """Accept an error that means that an earlier call, whose response was lost, has started the update."""
    try:
        yield
    except ClientError as error:
        kind = meaning(error)
        if kind in (Meaning.BUSY, Meaning.ALREADY_EXISTS):
            _assert_ours({"EndpointName": endpoint} | (describe_endpoint(sagemaker, endpoint) or {}), endpoint_config)
        elif kind in (Meaning.NOT_FOUND, Meaning.TRANSIENT):
            # A new endpoint config may not be visible yet (API reference, CreateEndpoint).
            raise as_transient(error, f"The endpoint {endpoint} was not updated. {message(error)}") from error
        elif kind is Meaning.DENIED or error.response["Error"]["Code"] == "ResourceLimitExceeded":
            raise PromotionRefusedError(f"AWS refused to update the endpoint {endpoint}. {message(error)}") from error
        else:
            raise


def _serves(description: dict[str, Any], endpoint_config: str) -> bool:
    return (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", endpoint_config)


def _assert_unchanged(description: dict[str, Any], previous: str, endpoint_config: str) -> None:
    """Raise PromotionRefusedError if someone else changed the endpoint since the journal was written."""
    current = description["EndpointConfigName"]
    if current not in (previous, endpoint_config):
        raise PromotionRefusedError(
            f"Someone else changed the endpoint {description['EndpointName']} from {previous} to {current} during this "
            "promotion. That change was not overwritten. To replace it, start the promotion again."
        )


def _assert_ours(description: dict[str, Any], endpoint_config: str) -> None:
    """Raise EndpointBusyError unless the update in progress is to `endpoint_config`."""
    pending = (description.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    if endpoint_config not in (pending, description.get("EndpointConfigName")):
        raise EndpointBusyError(
            f"Someone else is changing the endpoint {description['EndpointName']}: its status is "
            f"{description.get('EndpointStatus', 'Deleted')}, its config {description.get('EndpointConfigName')}."
        )
