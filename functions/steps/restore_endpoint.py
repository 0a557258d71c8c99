"""Take the next step on the way back to what the endpoint was before the promotion."""

from __future__ import annotations

import dataclasses
from typing import Any

from botocore.exceptions import ClientError

from promotion import endpoint
from promotion.aws_errors import Meaning, meaning, message
from promotion.clients import client
from promotion.endpoint import WayBack
from promotion.errors import TryAgainError
from promotion.sagemaker import describe_endpoint, is_scaled_out
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    way = _way_back(event["promotion"])
    logger.info("On the way back", step=way.step, reason=way.reason)
    return dataclasses.asdict(way)


def _way_back(promotion: dict[str, Any]) -> WayBack:
    if not promotion.get("changing"):
        return WayBack("restored", "Nothing had been changed.")
    sagemaker, name = client("sagemaker"), promotion["endpoint"]
    previous = promotion["previous_endpoint_config_name"] or None
    description = describe_endpoint(sagemaker, name)
    way = endpoint.way_back(description, promotion["endpoint_config_name"], previous)
    try:
        if way.step == "update":
            # All at once: what is live now has just proven to be bad.
            sagemaker.update_endpoint(
                EndpointName=name,
                EndpointConfigName=previous,
                RetainAllVariantProperties=description is not None
                and previous is not None
                and is_scaled_out(sagemaker, description, previous),
            )
        elif way.step == "delete":
            sagemaker.delete_endpoint(EndpointName=name)
    except ClientError as error:
        match meaning(error):
            case Meaning.BUSY:
                return WayBack("wait", f"The endpoint {name} is being changed.")
            case Meaning.TRY_AGAIN:
                raise TryAgainError(f"The endpoint {name}: {message(error)}") from error
            case _:
                return WayBack(
                    "stuck",
                    f"The endpoint {name} could not be brought back to {previous or 'not existing'}: {message(error)}",
                )
    return way
