"""Resolve the execution's input to a promotion of a candidate, a rollback, a recovery or a rejection."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

from promotion.aws.clients import client, upstream_client
from promotion.errors import InvalidInputError, InvalidRequestError
from promotion.history import approval, lock, missed_events, recovery, rejection, rollback, starter
from promotion.history.approval import Policy
from promotion.history.table import PromotionTable
from promotion.naming import check_execution_name, endpoint_name
from promotion.plan.settings import load
from promotion.record import PromotionRecord
from promotion.source import reader, request
from promotion.source.admission import Applications, Refusal
from promotion.source.candidate import Candidate
from promotion.source.reader import Upstream
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the `outcome` that selects the next state, and the variables of the state machine.

    Raise InvalidInputError for an invalid request that concerns only the person who made it.
    """
    try:
        return _resolved(event)
    except InvalidRequestError as error:
        if request.concerns_only_its_author(event["input"]):
            raise InvalidInputError(str(error)) from None
        raise


def _resolved(event: dict[str, Any]) -> dict[str, Any]:
    execution, stage, started_at = event["execution"], event["stage"], event["started_at"]
    region, own_account = execution.split(":")[3:5]
    check_execution_name(execution)
    table, ssm = PromotionTable(client("dynamodb"), event["table"]), client("ssm")
    policy = approval.Policy.from_json(event["approval_policy"])
    requested = request.read(event["input"], event["upstream_account"], own_account, region)
    is_preview = request.is_preview(event["input"])
    if not is_preview:
        missed_events.record_start(table, requested, execution, started_at)
    automation = request.automation(event["input"])
    started_by = starter.read(ssm, stage, automation) if automation else ""
    settings_of = functools.cache(lambda name: load(ssm, stage, name, event["defaults"], event["upstream_account"]))
    applications = Applications(stage, own_account, settings_of)
    match requested:
        case request.Promote():
            role_arn, session = event["upstream_role_arn"], execution.rsplit(":", 1)[-1]
            connect = functools.partial(upstream_client, role_arn, event["external_id"], session)
            upstream = Upstream(connect, event["upstream_account"], region, role_arn, event["upstream_stage"])
            candidate = reader.read(upstream, requested, applications)
            record = PromotionRecord(execution=execution, stage=stage, started_at=started_at)
            result = _promote(ssm, policy, requested, candidate, record)
        case request.Recover():
            result = recovery.resolve(table, client("stepfunctions"), requested)
        case request.RollBack():
            now = {"stage": stage, "execution": execution, "started_at": started_at, "now": time.time()}
            clients = client("sagemaker"), client("stepfunctions")
            result = rollback.resolve(table, *clients, requested, is_preview=is_preview, **now)
        case request.PublishRejection():
            names = {"runbook": policy.runbook, "stage": stage, "execution": execution}
            result = rejection.resolve(table, ssm, requested, **names)
        case request.Ignore():
            result = {"outcome": "not_for_promotion", "reason": requested.reason}
    if result["outcome"] in ("promote", "rollback"):
        application, what = result["promotion"]["application"], f"The endpoint {result['promotion']['endpoint']}"
        result["settings"] = json.dumps(applications.registered(application, what))
        result["promotion"] |= PromotionRecord(started_by=started_by)
    if result["outcome"] in ("promote", "rollback", "recover") and not is_preview:
        lock.record_execution(table, execution, result["promotion"]["endpoint"])
    logger.append_keys(application=(result.get("promotion") or {}).get("application"))
    # Only its kind is logged, since the input can contain text of others, such as the cause of a failed execution.
    logger.info("Request resolved", kind=type(requested).__name__, outcome=result["outcome"])
    unset = {"candidate": None, "settings": None, "promotion": None, "approved": None}
    return unset | {"reason": "", "execution": "", "recoveries": 0} | result


def _promote(
    ssm: Any, policy: Policy, asked: request.Promote, candidate: Candidate | Refusal | str, record: PromotionRecord
) -> dict[str, Any]:
    if isinstance(candidate, str):
        return {"outcome": "not_for_promotion", "reason": candidate}
    record |= PromotionRecord(
        application=candidate.application,
        endpoint=endpoint_name(candidate.application, record["stage"]),
        source_kind=asked.kind,
        source_name=asked.name,
    )
    if isinstance(candidate, Refusal):
        return {"outcome": "refused", "reason": str(candidate.error), "promotion": record}
    source = {"SourceKind": asked.kind, "SourceName": asked.name, "Digest": asked.digest}
    decision = approval.admit(ssm, policy, asked.approval, {"Application": candidate.application, **source})
    record |= PromotionRecord(
        source_arn=candidate.source["arn"],
        created_at=candidate.created_at,
        approval=asked.approval or "",
        approved_by=decision.by,
        approval_comment=decision.comment,
        by_event=asked.by_event,
    )
    if candidate.tested_upstream:
        record |= PromotionRecord(tested_upstream=candidate.tested_upstream)
    approved = {"digest": asked.digest, "deployment_digest": decision.deployment_digest}
    return {"outcome": "promote", "candidate": candidate.to_json(), "approved": approved, "promotion": record}
