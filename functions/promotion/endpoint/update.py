"""The change of an endpoint to a new endpoint config, or its creation, which a repeated call does not start twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.endpoint import scalable_targets
from promotion.endpoint.model import tag_list
from promotion.endpoint.sagemaker import describe_endpoint, describe_endpoint_config, is_scaled_out
from promotion.endpoint.state import BUSY
from promotion.errors import EndpointBusyError, PromotionRefusedError, TransientError


def create_endpoint(sagemaker: Any, endpoint: str, endpoint_config: str, tags: dict[str, str]) -> None:
    """Create the endpoint; raise what `update_endpoint` raises."""
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
    """Update the endpoint from its config `previous` to `endpoint_config`; without guardrails if there are none.

    Raise EndpointBusyError if someone else is changing it, PromotionRefusedError if someone else has changed it or AWS
    denies the update, and TransientError if AWS cannot see the config yet.
    """
    with _once(sagemaker, endpoint, endpoint_config):
        description = describe_endpoint(sagemaker, endpoint)
        if description is not None and description["EndpointStatus"] in BUSY:
            # It still has the previous config, and could have any other a moment later.
            _assert_ours(description, endpoint_config)
            return
        if description is not None:
            _assert_unchanged(description, previous, endpoint_config)
            if describe_endpoint_config(sagemaker, endpoint_config) is None:
                # Its instance count decides whether the endpoint keeps its size.
                raise TransientError(f"The endpoint config {endpoint_config} of {endpoint} cannot be seen yet.")
            scalable_targets.deregister_blocking(scaling, sagemaker, endpoint, description, endpoint_config)
        sagemaker.update_endpoint(
            EndpointName=endpoint,
            EndpointConfigName=endpoint_config,
            # An endpoint that was scaled out keeps its size; otherwise it gets the new config's instance count.
            RetainAllVariantProperties=description is not None
            and is_scaled_out(sagemaker, description, endpoint_config),
            **({"DeploymentConfig": deployment_config} if deployment_config else {}),
        )


@contextmanager
def _once(sagemaker: Any, endpoint: str, endpoint_config: str) -> Iterator[None]:
    """Accept an error that means that the change is in progress, because the answer to an earlier call was lost."""
    try:
        yield
    except ClientError as error:
        known = meaning(error)
        if known in (Meaning.BUSY, Meaning.ALREADY_EXISTS):
            _assert_ours({"EndpointName": endpoint} | (describe_endpoint(sagemaker, endpoint) or {}), endpoint_config)
        elif known in (Meaning.NOT_FOUND, Meaning.TRANSIENT):
            # CreateEndpoint's documentation: a config made a moment ago may not be seen yet.
            raise TransientError(f"The endpoint {endpoint}: {message(error)}") from error
        elif known is Meaning.DENIED or error.response["Error"]["Code"] == "ResourceLimitExceeded":
            raise PromotionRefusedError(f"The endpoint {endpoint} cannot be changed: {message(error)}") from error
        else:
            raise


def _assert_unchanged(description: dict[str, Any], previous: str, endpoint_config: str) -> None:
    """Raise PromotionRefusedError if someone else changed the endpoint since the journal was written."""
    current = description["EndpointConfigName"]
    if current not in (previous, endpoint_config):
        raise PromotionRefusedError(
            f"Someone else changed the endpoint {description['EndpointName']} from {previous} to {current} a moment "
            "ago, which was not gone over. Decide which is right, and start the promotion again for this one."
        )


def _assert_ours(description: dict[str, Any], endpoint_config: str) -> None:
    """Raise EndpointBusyError unless the change in progress is to `endpoint_config`, from an earlier call of ours."""
    pending = (description.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    if endpoint_config not in (pending, description.get("EndpointConfigName")):
        raise EndpointBusyError(
            f"The endpoint {description['EndpointName']} is {description.get('EndpointStatus', 'gone')} with the "
            f"config {description.get('EndpointConfigName')}: someone else is changing it."
        )
