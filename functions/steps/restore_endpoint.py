"""Take the next step on the way back to what the endpoint and its scaling were before the promotion."""

from __future__ import annotations

import dataclasses
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.aws.clients import client
from promotion.endpoint import autoscaling, scalable_targets, state
from promotion.endpoint.autoscaling import Target, key_of
from promotion.endpoint.sagemaker import describe_endpoint, is_scaled_out
from promotion.endpoint.state import WayBack
from promotion.errors import PromotionRefusedError
from promotion.history import lock
from promotion.history.table import PromotionTable
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, table = event["promotion"], PromotionTable(client("dynamodb"), event["table"])
    if promotion.get("changing"):
        lock.assert_held(table, event["execution"], promotion["endpoint"])
        way = _way_back(promotion, lock.recorded_scaling(table, promotion["endpoint"]).previous)
    else:
        way = WayBack("restored", "Nothing had been changed.")
    logger.info("On the way back", step=way.step)
    return dataclasses.asdict(way)


def _way_back(promotion: dict[str, Any], scaling: list[Target]) -> WayBack:
    sagemaker, name = client("sagemaker"), promotion["endpoint"]
    previous = promotion["previous_endpoint_config_name"] or None
    description = describe_endpoint(sagemaker, name)
    way = state.way_back(description, promotion["endpoint_config_name"], previous)
    try:
        match way.step:
            case "update" if description and previous:
                _update(name, description, previous)
            case "delete":
                _take_off_what_is_new(name, description, scaling)
                sagemaker.delete_endpoint(EndpointName=name)
            case "restored":
                return _scaling_way_back(name, description, scaling)
            case "stuck":
                return dataclasses.replace(way, reason=way.reason + _scaling_when_stuck(name, description, scaling))
    except PromotionRefusedError as error:
        if _is_denied(error.__cause__):
            raise
        return WayBack("stuck", str(error))
    except ClientError as error:
        match meaning(error):
            case Meaning.BUSY:
                return WayBack("wait", f"The endpoint {name} is being changed.")
            case Meaning.NOT_FOUND if way.step == "delete":
                return WayBack("wait", f"The endpoint {name} is gone.")
            case Meaning.NOT_FOUND:
                return WayBack(
                    "stuck",
                    f"The endpoint {name} could not be brought back to {previous or 'not existing'}: {message(error)}",
                )
            case _:
                # A right that is missing or a quota can be put right, and then the recovery goes on.
                raise
    return way


def _is_denied(error: BaseException | None) -> bool:
    return isinstance(error, ClientError) and meaning(error) is Meaning.DENIED


def _update(name: str, description: dict[str, Any], previous: str) -> None:
    """All at once: what is live now has just proven to be bad."""
    sagemaker = client("sagemaker")
    scalable_targets.make_way(client("application-autoscaling"), sagemaker, name, description, previous)
    sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=previous,
        RetainAllVariantProperties=is_scaled_out(sagemaker, description, previous),
    )


def _take_off_what_is_new(name: str, description: dict[str, Any] | None, scaling: list[Target]) -> None:
    targets, known = client("application-autoscaling"), {key_of(target) for target in scaling}
    for target in scalable_targets.read(targets, name, description):
        if key_of(target) not in known:
            scalable_targets.take_off(targets, target)


def _scaling_way_back(name: str, description: dict[str, Any] | None, scaling: list[Target]) -> WayBack:
    """The endpoint is what it was; the next look shows whether its scaling is, too."""
    if description is None:
        _take_off_what_is_new(name, description, scaling)
        return WayBack("restored")
    targets = client("application-autoscaling")
    actual = scalable_targets.read(targets, name, description)
    if autoscaling.alike(actual, scaling):
        return WayBack("restored")
    scalable_targets.bring(targets, actual, scaling)
    return WayBack("wait", f"The scaling of {name} is being put back.")


def _scaling_when_stuck(name: str, description: dict[str, Any] | None, scaling: list[Target]) -> str:
    """Put back what was taken off for an endpoint that someone else changed and that serves; what to say of it."""
    if description is None or not scaling:
        return ""
    targets = client("application-autoscaling")
    actual = scalable_targets.read(targets, name, description)
    known = {key_of(target) for target in actual}
    missing = [target for target in scaling if key_of(target) not in known]
    if not missing:
        return ""
    if description["EndpointStatus"] == "InService":
        try:
            scalable_targets.bring(targets, actual, [*actual, *missing])
        except PromotionRefusedError as error:
            return f" {error}"
        return ""
    return " Its scaling was taken off and is off; what it was is in the promotion table, in the kind autoscaling."
