"""The rejection of a candidate: an approval runbook that ended without admitting it."""

from __future__ import annotations

from typing import Any

from promotion.history import approval, approval_requests
from promotion.history.table import PromotionTable
from promotion.naming import endpoint_name
from promotion.record import PromotionRecord
from promotion.source.request import PublishRejection


def resolve(
    table: PromotionTable, ssm: Any, asked: PublishRejection, *, runbook: str, stage: str, execution: str
) -> dict[str, Any]:
    """Return the `outcome`, the `reason` of the rejection, and the `promotion` that was rejected.

    The outcome is "not_for_promotion" if the approval was granted, or is not of this stage's `runbook`. Raise
    InvalidRequestError if there is no such approval.
    """
    found = approval.read(ssm, asked.approval)
    if found["DocumentName"] != runbook or approval.is_given(found):
        return {"outcome": "not_for_promotion", "reason": f"The approval {asked.approval} was given or is not ours."}
    parameters = {name: values[0] for name, values in found["Parameters"].items() if values}
    endpoint, comment = endpoint_name(parameters["Application"], stage), approval.decision(found).comment
    newer = approval_requests.superseded_by(table, endpoint, parameters["Digest"], asked.approval)
    reason = _how(asked.status, newer, approval.decision(found).by) + (f": {comment}" if comment else "")
    record = PromotionRecord(
        execution=execution,
        application=parameters["Application"],
        stage=stage,
        endpoint=endpoint,
        source_kind=parameters["SourceKind"],
        source_name=parameters["SourceName"],
        digest=parameters["Digest"],
        approval=asked.approval,
        approved_by="",
        approval_comment=comment,
    )
    return {"outcome": "rejected", "reason": reason, "promotion": record}


def _how(status: str, newer: str, by: str) -> str:
    if status == "TimedOut":
        return "Nobody decided in time"
    if status in ("Cancelled", "Canceled") and newer:
        return f"{newer}, which is newer, asks for approval in its place"
    if status in ("Cancelled", "Canceled"):
        return "The request for approval was cancelled"
    return f"Rejected by {by or 'an approver'}"
