"""Bring the new endpoint config onto the endpoint, or create the endpoint with it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.aws.clients import client
from promotion.endpoint import scalable_targets
from promotion.endpoint.model import tag_list
from promotion.endpoint.sagemaker import describe_endpoint, describe_endpoint_config, is_scaled_out
from promotion.endpoint.state import BUSY
from promotion.errors import EndpointBusyError, PromotionRefusedError, TryAgainError
from promotion.history import lock
from promotion.history.table import PromotionTable
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, sagemaker = event["promotion"], client("sagemaker")
    name, config = promotion["endpoint"], promotion["endpoint_config_name"]
    lock.assert_held(PromotionTable(client("dynamodb"), event["table"]), event["execution"], name)
    try:
        if promotion["previous_endpoint_config_name"]:
            description = describe_endpoint(sagemaker, name)
            if description is not None:
                if description["EndpointStatus"] in BUSY:
                    # It still has the config of before, and might be done with another one a moment later.
                    _assert_ours(description, config)
                    return {}
                _assert_as_noted(description, promotion["previous_endpoint_config_name"], config)
                if describe_endpoint_config(sagemaker, config) is None:
                    # What it starts with decides on whether the fleet keeps its size.
                    raise TryAgainError(f"The endpoint config {config} of {name} cannot be seen yet.")
                scalable_targets.make_way(client("application-autoscaling"), sagemaker, name, description, config)
            # A way back has none: what is live is to go at once.
            guarded = promotion.get("deployment_config")
            sagemaker.update_endpoint(
                EndpointName=name,
                EndpointConfigName=config,
                # A fleet that was scaled out keeps its size; otherwise the new config's count holds.
                RetainAllVariantProperties=description is not None and is_scaled_out(sagemaker, description, config),
                **({"DeploymentConfig": guarded} if guarded else {}),
            )
        else:
            tags = {"model-promotion:application": promotion["application"]}
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tag_list(tags))
    except ClientError as error:
        _judge(error, sagemaker, name, config)
    logger.info("Endpoint changing", endpoint=name, endpoint_config=config)
    return {}


def _assert_as_noted(description: dict[str, Any], previous: str, config: str) -> None:
    """Refuse to go over what someone else has brought onto the endpoint since the journal was written."""
    current = description["EndpointConfigName"]
    if current not in (previous, config):
        raise PromotionRefusedError(
            f"Someone else changed the endpoint {description['EndpointName']} from {previous} to {current} a moment "
            "ago, which was not gone over. Decide which is right, and start the promotion again for this one."
        )


def _assert_ours(found: dict[str, Any], config: str) -> None:
    """Raise EndpointBusyError unless the change that is under way is to `config`, by an earlier try of ours."""
    pending = (found.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    if config not in (pending, found.get("EndpointConfigName")):
        raise EndpointBusyError(
            f"The endpoint {found['EndpointName']} is {found.get('EndpointStatus', 'gone')} with the config "
            f"{found.get('EndpointConfigName')}: someone else is changing it."
        )


def _judge(error: ClientError, sagemaker: Any, name: str, config: str) -> None:
    """Return when the change is under way all the same, because the answer to an earlier try was lost."""
    known = meaning(error)
    if known in (Meaning.BUSY, Meaning.ALREADY_EXISTS):
        return _assert_ours({"EndpointName": name} | (describe_endpoint(sagemaker, name) or {}), config)
    if known in (Meaning.NOT_FOUND, Meaning.TRY_AGAIN):
        # CreateEndpoint's documentation: a config made a moment ago may not be seen yet.
        raise TryAgainError(f"The endpoint {name}: {message(error)}") from error
    if known is Meaning.DENIED or error.response["Error"]["Code"] == "ResourceLimitExceeded":
        raise PromotionRefusedError(f"The endpoint {name} cannot be changed: {message(error)}") from error
    raise error
