"""Resolve the execution's input to a promotion of a candidate, a rollback, a recovery or a rejection."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

from promotion.aws.clients import client, upstream_client
from promotion.history import approval, recovery, rejection, rollback
from promotion.history.approval import Decision
from promotion.history.table import PromotionTable
from promotion.naming import endpoint_name
from promotion.plan.settings import load
from promotion.record import PromotionRecord
from promotion.source import reader, request
from promotion.source.admission import Applications, Refusal
from promotion.source.candidate import Candidate
from promotion.source.reader import Upstream
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the `outcome` that selects the next state, and the variables of the state machine."""
    execution, stage, started_at = event["execution"], event["stage"], event["started_at"]
    region, own_account = execution.split(":")[3:5]
    table, ssm = PromotionTable(client("dynamodb"), event["table"]), client("ssm")
    requested = request.read(event["input"], event["upstream_account"], own_account, region)
    # Only its kind is logged, since the input can contain text of others, such as the cause of a failed execution.
    logger.info("Request read", execution=execution, kind=type(requested).__name__)
    settings_of = functools.cache(lambda name: load(ssm, stage, name, event["defaults"], event["upstream_account"]))
    applications = Applications(stage, own_account, settings_of)
    match requested:
        case request.Promote():
            decision = _decision(ssm, event["runbook"], requested)
            role_arn, session = event["upstream_role_arn"], execution.rsplit(":", 1)[-1]
            sagemaker = upstream_client("sagemaker", role_arn, event["external_id"], session)
            upstream = Upstream(sagemaker, event["upstream_account"], region, role_arn)
            candidate = reader.read(upstream, requested, applications)
            record = PromotionRecord(execution=execution, stage=stage, started_at=started_at)
            result = _promote(requested, candidate, decision, record)
        case request.Recover():
            result = recovery.resolve(table, client("stepfunctions"), requested)
        case request.RollBack():
            is_preview = request.is_preview(event["input"])
            now = {"stage": stage, "execution": execution, "started_at": started_at, "now": time.time()}
            clients = client("sagemaker"), client("stepfunctions")
            result = rollback.resolve(table, *clients, requested, is_preview=is_preview, **now)
        case request.PublishRejection():
            names = {"runbook": event["runbook"], "stage": stage, "execution": execution}
            result = rejection.resolve(table, ssm, requested, **names)
        case request.Ignore():
            result = {"outcome": "not_for_promotion", "reason": requested.reason}
    if result["outcome"] in ("promote", "rollback"):
        application, what = result["promotion"]["application"], f"The endpoint {result['promotion']['endpoint']}"
        result["settings"] = json.dumps(applications.registered(application, what))
    unset = {"candidate": None, "settings": None, "promotion": None, "digest": None}
    return unset | {"reason": "", "execution": "", "recoveries": 0} | result


def _decision(ssm: Any, runbook: str, requested: request.Promote) -> Decision:
    if not requested.approval:
        return Decision(by="", comment="")
    return approval.granted_decision(approval.read(ssm, requested.approval), runbook, requested)


def _promote(
    requested: request.Promote, candidate: Candidate | Refusal | str, decision: Decision, record: PromotionRecord
) -> dict[str, Any]:
    if isinstance(candidate, str):
        return {"outcome": "not_for_promotion", "reason": candidate}
    record |= PromotionRecord(
        application=candidate.application,
        endpoint=endpoint_name(candidate.application, record["stage"]),
        source_kind=requested.kind,
        source_name=requested.name,
    )
    if isinstance(candidate, Refusal):
        return {"outcome": "refused", "reason": str(candidate.error), "promotion": record}
    record |= PromotionRecord(
        source_arn=candidate.source["arn"],
        created_at=candidate.created_at,
        approval=requested.approval or "",
        approved_by=decision.by,
        approval_comment=decision.comment,
        by_event=requested.by_event,
    )
    return {"outcome": "promote", "candidate": candidate.to_json(), "digest": requested.digest, "promotion": record}
