"""The rejection of a candidate: an execution of the approval runbook that ended without an approval."""

from __future__ import annotations

import re
from typing import Any

from promotion.history import approval, approval_requests
from promotion.history.table import PromotionTable
from promotion.naming import endpoint_name
from promotion.record import PromotionRecord
from promotion.source.request import PublishRejection

# A message of Systems Manager can contain a whole response.
_MOST_CHARACTERS = 500


def resolve(
    table: PromotionTable, ssm: Any, request: PublishRejection, *, runbook: str, stage: str, execution: str
) -> dict[str, Any]:
    """Return the `outcome`, the `reason` for the rejection, and the rejected `promotion`.

    The outcome is "not_for_promotion" if the approval was granted, is still open, or belongs to another runbook than
    `runbook`, that of this stage. Only Systems Manager knows that; an event could be forged. Assumed: it reports an end
    no later than the event. Raise InvalidRequestError if there is no such approval.
    """
    automation = approval.read(ssm, request.approval)
    if automation["DocumentName"] != runbook or approval.is_granted(automation):
        reason = f"The approval {request.approval} was granted, or is not an execution of the runbook {runbook}."
        return {"outcome": "not_for_promotion", "reason": reason}
    status = automation["AutomationExecutionStatus"]
    if status in approval.OPEN:
        reason = f"The approval {request.approval} has not ended: it has the status {status}."
        return {"outcome": "not_for_promotion", "reason": reason}
    parameters = {name: values[0] for name, values in automation["Parameters"].items() if values}
    endpoint, decision = endpoint_name(parameters["Application"], stage), approval.decision(automation)
    newer = approval_requests.superseded_by(table, endpoint, parameters["Digest"], request.approval)
    reason = _reason(automation, newer) + (f" Comment: {decision.comment}" if decision.comment else "")
    record = PromotionRecord(
        execution=execution,
        application=parameters["Application"],
        stage=stage,
        endpoint=endpoint,
        source_kind=parameters["SourceKind"],
        source_name=parameters["SourceName"],
        source_arn=approval_requests.source_arn(table, endpoint, parameters["Digest"]),
        digest=parameters["Digest"],
        approval=request.approval,
        approved_by="",
        approval_comment=decision.comment,
    )
    return {"outcome": "rejected", "reason": reason, "promotion": record}


def _reason(automation: dict[str, Any], newer: str) -> str:
    status, by = automation["AutomationExecutionStatus"], approval.rejecters(automation)
    if status == "TimedOut":
        return "The approval timed out before anyone decided."
    if status in ("Cancelled", "Canceled") and newer:
        return f"The approval request was canceled, because the newer candidate {newer} superseded this one."
    if status in ("Cancelled", "Canceled"):
        return "The approval request was canceled."
    if by or status == "Rejected":
        return f"Rejected by {by or 'an approver'}."
    failure = automation.get("FailureMessage", "").strip()
    cause = f" {re.sub('https?://', '', failure, flags=re.IGNORECASE)[:_MOST_CHARACTERS]}" if failure else ""
    return f"The approval runbook ended with the status {status} before the candidate was approved or rejected.{cause}"
