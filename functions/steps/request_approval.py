"""Ask the operators whether the candidate may come in, once for each candidate."""

from __future__ import annotations

import uuid
from typing import Any

from promotion.aws.clients import client
from promotion.aws.executions import is_running
from promotion.endpoint.state import is_older
from promotion.history import approval, approval_requests, records
from promotion.history.table import PromotionTable
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, table = event["promotion"], PromotionTable(client("dynamodb"), event["table"])
    live = records.live(table, promotion["endpoint"])
    if live and live["digest"] == promotion["digest"] and promotion["by_event"]:
        return {"outcome": "already_live", "reason": f"{promotion['endpoint']} already serves {live['model_name']}."}
    if live and is_older(promotion["created_at"], live["created_at"]):
        reason = f"{live['model_name']}, which is live on {promotion['endpoint']}, is newer than this candidate."
        return {"outcome": "newer_live", "reason": reason}

    asked = approval_requests.last(table, promotion)
    if asked and asked.execution != event["execution"]:
        if not asked.automation and is_running(client("stepfunctions"), asked.execution):
            return {"outcome": "already_requested", "reason": f"{asked.execution} asks for the approval right now."}
        status = _status(asked.automation)
        if status in approval.OPEN:
            return {"outcome": "already_requested", "reason": f"The approval {asked.automation} is {status}."}
        if status and promotion["by_event"]:
            reason = (
                f"The approval {asked.automation} of the same candidate ended {status}. Start by hand to ask again."
            )
            return {"outcome": "already_requested", "reason": reason}
    if not approval_requests.claim(table, event["execution"], promotion, asked):
        return {"outcome": "already_requested", "reason": "Another execution asks for the approval right now."}
    automation = client("ssm").start_automation_execution(
        DocumentName=event["runbook"],
        # The same for each try of this execution, so that a repeated request starts nothing new.
        ClientToken=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['execution']}#{promotion['digest']}")),
        Parameters={
            "Application": [promotion["application"]],
            "SourceKind": [promotion["source_kind"]],
            "SourceName": [promotion["source_name"]],
            "Digest": [promotion["digest"]],
            "RequestedBy": [event["execution"]],
        },
    )["AutomationExecutionId"]
    approval_requests.record_started(table, promotion, automation)
    logger.info("Approval requested", automation=automation)
    _supersede_older(table, promotion)
    return {"outcome": "requested", "reason": f"The approval {automation} was asked for."}


def _supersede_older(table: PromotionTable, promotion: dict[str, Any]) -> None:
    """Take back what is still asked for older candidates of the endpoint: who approves decides on the newest one.

    An approval that was given already is left alone, since its promotion may be running.
    """
    for older, request in approval_requests.open_requests(table, promotion["endpoint"]):
        if not is_older(older["created_at"], promotion["created_at"]):
            continue
        found = approval.read(client("ssm"), request.automation)
        if found is None or found["AutomationExecutionStatus"] not in approval.OPEN:
            approval_requests.record_ended(table, older, request)
        elif not approval.is_given(found):
            approval_requests.record_ended(table, older, request, promotion["source_name"])
            _stop(request.automation)
            logger.info("Older request superseded", automation=request.automation, source=older["source_name"])


def _stop(automation: str) -> None:
    ssm = client("ssm")
    try:
        ssm.stop_automation_execution(AutomationExecutionId=automation, Type="Cancel")
    except (ssm.exceptions.InvalidAutomationStatusUpdateException, ssm.exceptions.AutomationExecutionNotFoundException):
        logger.info("Older request ended by itself", automation=automation)


def _status(automation: str) -> str | None:
    """The status of the runbook's execution; None when Systems Manager knows it no longer, or it never started."""
    found = approval.read(client("ssm"), automation) if automation else None
    return str(found["AutomationExecutionStatus"]) if found else None
