"""Read the execution's input into what it requests: the promotion of a candidate, a rollback, or a recovery."""

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
from promotion.source.candidate import Candidate
from promotion.source.reader import Upstream
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    execution, stage, started_at = event["execution"], event["stage"], event["started_at"]
    region, own_account = execution.split(":")[3:5]
    table, ssm = PromotionTable(client("dynamodb"), event["table"]), client("ssm")
    asked = request.read(event["input"], event["upstream_account"], own_account, region)
    # Not all of it, since it may contain others' words, such as why an execution failed.
    logger.info("Request read", execution=execution, asks_to=type(asked).__name__)
    settings_of = functools.cache(lambda application: load(ssm, stage, application, event["defaults"]))
    match asked:
        case request.Promote():
            decision = _decision(ssm, event["runbook"], asked)
            role_arn, session = event["upstream_role_arn"], execution.rsplit(":", 1)[-1]
            sagemaker = upstream_client("sagemaker", role_arn, event["external_id"], session)
            upstream = Upstream(sagemaker, event["upstream_account"], region, role_arn)
            found = reader.read(upstream, asked, settings_of)
            answer = _promote(asked, found, decision, execution, started_at, stage)
        case request.Recover():
            answer = recovery.resolve(table, client("stepfunctions"), asked)
        case request.RollBack():
            answer = rollback.resolve(
                table,
                client("sagemaker"),
                client("stepfunctions"),
                asked,
                execution=execution,
                started_at=started_at,
                now=time.time(),
                is_preview=request.is_preview(event["input"]),
            )
        case request.TellRejection():
            answer = rejection.resolve(table, ssm, asked, runbook=event["runbook"], stage=stage, execution=execution)
        case request.Ignore():
            answer = {"outcome": "not_for_promotion", "reason": asked.reason}
    if answer["outcome"] in ("promote", "rollback"):
        answer["settings"] = json.dumps(settings_of(answer["promotion"]["application"]))
    nothing = {"candidate": None, "settings": None, "promotion": None, "digest": None, "reason": "", "execution": ""}
    return nothing | answer


def _decision(ssm: Any, runbook: str, asked: request.Promote) -> Decision:
    if not asked.approval:
        return Decision(by="", comment="")
    return approval.granted(approval.read(ssm, asked.approval), runbook, asked)


def _promote(
    asked: request.Promote, found: Candidate | str, decision: Decision, execution: str, started_at: str, stage: str
) -> dict[str, Any]:
    if isinstance(found, str):
        return {"outcome": "not_for_promotion", "reason": found}
    record = PromotionRecord(
        execution=execution,
        application=found.application,
        stage=stage,
        endpoint=endpoint_name(found.application, stage),
        source_kind=asked.kind,
        source_name=asked.name,
        source_arn=found.source["arn"],
        created_at=found.created_at,
        started_at=started_at,
        approval=asked.approval or "",
        approved_by=decision.by,
        approval_comment=decision.comment,
        by_event=asked.by_event,
    )
    return {"outcome": "promote", "candidate": found.to_json(), "digest": asked.digest, "promotion": record}
