"""Inspect the endpoint before the update, and write its present state to the journal."""

from __future__ import annotations

import json
from typing import Any

from promotion.aws.clients import client, upstream_client
from promotion.aws.executions import start_again
from promotion.endpoint import (
    alarms,
    component,
    guardrails,
    ownership,
    scalable_targets,
    sharing,
    state,
    tagging,
    target,
)
from promotion.errors import EndpointBusyError, PromotionRefusedError
from promotion.history import approval, lock, records, rollback_target
from promotion.history.rollback import duplicate_delivery, live_changed_reason, rolled_back_at
from promotion.history.table import PromotionTable
from promotion.plan.settings import changes, load, parameter_name
from promotion.record import PromotionRecord
from promotion.source import quality_gate, reader
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return whether to update the endpoint as `outcome`, the `reason` if not, and the record."""
    record: PromotionRecord = event["promotion"]
    execution, sagemaker, ssm = event["execution"], client("sagemaker"), client("ssm")
    table, endpoint = PromotionTable(client("dynamodb"), event["table"]), record["endpoint"]
    config, is_rollback = record["endpoint_config_name"], record["source_kind"] == "rollback"
    found, live = target.describe(sagemaker, record), records.live(table, endpoint)
    description = found.description
    planned, names = json.loads(event["settings"]), (record["stage"], record["application"])
    current = load(ssm, *names, event["defaults"], event["upstream_account"])
    if not is_rollback and (changed := changes(planned, current)):
        return _plan_again(event, changed)
    # The model and the endpoint config of a rollback exist. Only their deployment depends on the settings.
    settings = current or planned
    if is_rollback and (reason := live_changed_reason(live, record)):
        raise PromotionRefusedError(reason)
    tags: tagging.Changes = {}
    if host := record.get("component", {}).get("EndpointName"):
        sharing.assert_shared(sagemaker, found, host, record["application"])
    elif found.endpoint:
        actual = ownership.assert_own(sagemaker, found.endpoint, record["application"], settings)
        record, tags = tagging.planned(record, live, actual, settings)
    # The candidate of a rollback is older than the live one, and has passed the quality gate.
    recorded, live = live, None if is_rollback else live
    inspection = state.with_new_settings(state.inspect(description, config, record["created_at"], live), record, live)
    if inspection.outcome == "already_live" and records.is_interrupted(table, endpoint):
        inspection = state.Inspection("update", inspection.previous)
    logger.info("Endpoint inspected", outcome=inspection.outcome, previous=inspection.previous)
    if inspection.outcome == "busy":
        raise EndpointBusyError(
            f"{inspection.reason} Someone else is changing the endpoint, and the change did not complete in time. "
            "Start the promotion again when the endpoint is InService."
        )
    if inspection.outcome == "unusable":
        raise PromotionRefusedError(inspection.reason)
    if inspection.outcome != "update":
        return {"outcome": inspection.outcome, "reason": inspection.reason, "promotion": record}

    history = records.history(table, endpoint)
    if record["by_event"] and (duplicate := duplicate_delivery(history, record)):
        return dict(zip(("outcome", "reason"), duplicate, strict=True)) | {"promotion": record}
    if (record["original_source_kind"] if is_rollback else record["source_kind"]) == "model_package":
        # The approval may have been withdrawn during the copy or the wait for the lock.
        role_arn, session = event["upstream_role_arn"], execution.rsplit(":", 1)[-1]
        upstream = upstream_client(role_arn, event["external_id"], session, "sagemaker")
        package = record["original_source_name"] if is_rollback else record["source_name"]
        if reason := reader.why_withdrawn(upstream, package, settings, is_rollback=is_rollback):
            return {"outcome": "approval_withdrawn", "reason": reason, "promotion": record}
    if not is_rollback:
        # A better candidate may have become live since the quality gate passed.
        checks = quality_gate.check(record["quality_gate"], record["metrics"], live)
        record = record | {"quality_gate": checks}
        if reason := quality_gate.why_failed(checks):
            return {"outcome": "quality_gate_failed", "reason": reason, "promotion": record}

        missing = rollback_target.missing(
            sagemaker, client("s3"), event["bucket"], event["account"], inspection.previous
        )
        if refusal := rollback_target.refusal(endpoint, inspection.previous, missing, settings):
            raise PromotionRefusedError(refusal)

    deployment_config = record.get("deployment_config", {}) if inspection.previous else {}
    alarms.assert_none_in_alarm(client("cloudwatch"), endpoint, guardrails.alarm_names(deployment_config))
    if not is_rollback:
        policy = approval.Policy.from_json(event["approval_policy"])
        approval.assert_admitted(ssm, table, policy, execution, record)
    record = record | {
        "previous_endpoint_config_name": inspection.previous or "",
        "changing": True,
        "baking_seconds": guardrails.baking_seconds(deployment_config),
        "rolled_back_at": rolled_back_at(history, record["digest"]),
    }
    if record.get("component"):
        record = record | {"previous_component": component.before(found, inspection.previous, recorded)}
    scaling = client("application-autoscaling")
    previous = scalable_targets.read(scaling, endpoint, description, to_restore_whole=True)
    wanted = scalable_targets.wanted(sagemaker, endpoint, config, settings.get("Autoscaling"), previous)
    record = lock.record_change(table, execution, record, lock.Journal(previous, wanted, tags))
    return {"outcome": inspection.outcome, "reason": inspection.reason, "promotion": record}


def _plan_again(event: dict[str, Any], changed: str) -> dict[str, Any]:
    """Start the promotion again with the same input, unless an approval covers the settings that have changed."""
    record: PromotionRecord = event["promotion"]
    parameter = parameter_name(record["stage"], record["application"])
    reason = (
        f"The settings in the parameter {parameter} have changed since this promotion was planned ({changed}). The "
        "endpoint was not updated. "
    )
    if record["approval"]:
        raise PromotionRefusedError(f"{reason}Start the promotion again to request a new approval.")
    again = start_again(client("stepfunctions"), event["execution"], record["application"], event["input"])
    logger.info("Promotion started again", execution=again)
    reason += f"The execution {again} plans it again."
    return {"outcome": "settings_changed", "reason": reason, "promotion": record}
