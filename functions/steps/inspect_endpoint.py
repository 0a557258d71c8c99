"""Look at what is live now, and write it into the journal before anything is changed."""

from __future__ import annotations

from typing import Any

from promotion import alarms, autoscaling, endpoint, guardrails, journal, quality_gate, scalable_targets
from promotion.clients import client
from promotion.errors import EndpointBusyError, PromotionRefusedError, TryAgainError
from promotion.rollback import was_live
from promotion.sagemaker import describe_endpoint
from promotion.settings import load
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, dynamodb = event["promotion"], client("dynamodb")
    # Whoever goes back wants something older than what is live.
    goes_back = promotion["source_kind"] == "rollback"
    description = describe_endpoint(client("sagemaker"), promotion["endpoint"])
    live = None if goes_back else journal.live(dynamodb, event["table"], promotion["endpoint"])
    inspection = endpoint.inspect(description, promotion["endpoint_config_name"], promotion["created_at"], live)
    logger.info("Endpoint inspected", outcome=inspection.outcome, previous=inspection.previous)
    if inspection.outcome == "busy":
        raise EndpointBusyError(f"{inspection.reason} It is being changed by someone else; it was waited for in vain.")
    if inspection.outcome == "unusable":
        raise PromotionRefusedError(inspection.reason)
    if inspection.outcome == "change" and promotion["by_event"] and _was_live_before(event, promotion):
        reason = f"{promotion['model_name']} was live before and was replaced; an event does not bring it back."
        return {"outcome": "live_before", "reason": reason, "promotion": promotion}
    if inspection.outcome == "change" and not goes_back:
        # Something better may have gone live since the gate was passed.
        checks = quality_gate.check(promotion["quality_gate"], promotion["metrics"], live)
        promotion = promotion | {"quality_gate": checks}
        if why := quality_gate.why_failed(checks):
            return {"outcome": "worse", "reason": why, "promotion": promotion}
    if inspection.outcome == "change":
        deployment_config = promotion.get("deployment_config", {}) if inspection.previous else {}
        _assert_silent(promotion["endpoint"], guardrails.alarm_names(deployment_config))
        promotion = promotion | {
            "previous_endpoint_config_name": inspection.previous or "",
            "changing": True,
            "baking_seconds": guardrails.baking_seconds(deployment_config),
        }
        previous, wanted = _scaling(event, promotion, description)
        journal.note(dynamodb, event["table"], event["execution"], promotion, previous, wanted)
    return {"outcome": inspection.outcome, "reason": inspection.reason, "promotion": promotion}


def _scaling(
    event: dict[str, Any], promotion: dict[str, Any], description: dict[str, Any] | None
) -> tuple[list[autoscaling.Target], list[autoscaling.Target]]:
    """What scales the endpoint now, and what is to scale it after the promotion."""
    name, config = promotion["endpoint"], promotion["endpoint_config_name"]
    previous = scalable_targets.read(client("application-autoscaling"), name, description)
    settings = load(client("ssm"), event["stage"], promotion["application"], {}).get("Autoscaling")
    if settings is None and not previous:
        return [], []
    variants = scalable_targets.variants_of(client("sagemaker"), config)
    if variants is None:
        raise TryAgainError(f"SageMaker does not know the endpoint config {config} yet.")
    return previous, autoscaling.wanted(name, settings, previous, variants)


def _assert_silent(endpoint_name: str, names: list[str]) -> None:
    """Refuse a deployment that SageMaker would roll back as soon as it begins."""
    ringing = alarms.ringing(client("cloudwatch"), names)
    if ringing:
        raise PromotionRefusedError(
            f"The endpoint {endpoint_name} was not touched, since {', '.join(ringing)} is in ALARM already and "
            "SageMaker would roll the deployment back at once. Start the promotion again when it is over; if this "
            "model is the remedy, take the alarm out of the DeploymentConfig first."
        )


def _was_live_before(event: dict[str, Any], promotion: dict[str, Any]) -> bool:
    """Whether this is the event of an earlier promotion, delivered again after the endpoint went on, or back."""
    history = journal.history(client("dynamodb"), event["table"], promotion["endpoint"])
    return was_live(history, promotion["endpoint_config_name"])
