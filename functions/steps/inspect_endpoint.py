"""Look at what is live now, and write it into the journal before anything is changed."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.aws.clients import client, upstream_client
from promotion.endpoint import alarms, autoscaling, guardrails, scalable_targets, state
from promotion.endpoint.sagemaker import describe_endpoint, variants_of
from promotion.errors import EndpointBusyError, PromotionRefusedError, TryAgainError
from promotion.history import lock, records
from promotion.history.rollback import comes_again
from promotion.history.table import PromotionTable
from promotion.plan.settings import load
from promotion.source import model_package, quality_gate
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, table = event["promotion"], PromotionTable(client("dynamodb"), event["table"])
    # Whoever goes back wants something older than what is live.
    goes_back = promotion["source_kind"] == "rollback"
    description = describe_endpoint(client("sagemaker"), promotion["endpoint"])
    live = None if goes_back else records.live(table, promotion["endpoint"])
    inspection = state.inspect(description, promotion["endpoint_config_name"], promotion["created_at"], live)
    logger.info("Endpoint inspected", outcome=inspection.outcome, previous=inspection.previous)
    if inspection.outcome == "busy":
        raise EndpointBusyError(f"{inspection.reason} It is being changed by someone else; it was waited for in vain.")
    if inspection.outcome == "unusable":
        raise PromotionRefusedError(inspection.reason)
    if inspection.outcome == "change" and promotion["by_event"] and (why := _why_again(table, promotion)):
        return {"outcome": "live_before", "reason": why, "promotion": promotion}
    if inspection.outcome == "change" and (why := _why_withdrawn(event, promotion)):
        return {"outcome": "withdrawn", "reason": why, "promotion": promotion}
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
        lock.record_change(table, event["execution"], promotion, previous, wanted)
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
    variants = variants_of(client("sagemaker"), config)
    if variants is None:
        raise TryAgainError(f"SageMaker does not know the endpoint config {config} yet.")
    return previous, autoscaling.wanted(name, settings, previous, variants)


def _assert_silent(endpoint_name: str, names: list[str]) -> None:
    """Refuse a deployment that SageMaker would roll back as soon as it begins, or would not watch."""
    states = alarms.states(client("cloudwatch"), names)
    if missing := [name for name in names if name not in states]:
        raise PromotionRefusedError(
            f"The endpoint {endpoint_name} was not touched, since there is no alarm {', '.join(missing)} any more that "
            "would roll the deployment back. Create it, or take it out of the DeploymentConfig, then start the "
            "promotion again."
        )
    ringing = [name for name in names if states[name] == "ALARM"]
    if ringing:
        raise PromotionRefusedError(
            f"The endpoint {endpoint_name} was not touched, since {', '.join(ringing)} is in ALARM already and "
            "SageMaker would roll the deployment back at once. Start the promotion again when it is over; if this "
            "model is the remedy, take the alarm out of the DeploymentConfig first."
        )


def _why_again(table: PromotionTable, promotion: dict[str, Any]) -> str | None:
    """Why the event of an earlier promotion, which is delivered again, brings nothing; None if it is a new one."""
    return comes_again(records.history(table, promotion["endpoint"]), promotion)


def _why_withdrawn(event: dict[str, Any], promotion: dict[str, Any]) -> str | None:
    """Why a model package must not go live, whose approval may have been taken back while it was copied or waited."""
    if promotion["source_kind"] != "model_package":
        return None
    package, session = promotion["source_name"], event["execution"].rsplit(":", 1)[-1]
    sagemaker = upstream_client("sagemaker", event["upstream_role_arn"], event["external_id"], session)
    try:
        return model_package.not_approved(sagemaker.describe_model_package(ModelPackageName=package))
    except ClientError as error:
        if meaning(error) is not Meaning.NOT_FOUND:
            raise
        return f"The model package {package} was deleted meanwhile."
