"""The approvals that were requested: which ones are open, which candidate each is for, and what superseded it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from typing import Any

from promotion.aws.executions import is_running
from promotion.endpoint.state import is_older
from promotion.history import approval
from promotion.history.table import Item, PromotionTable


@dataclasses.dataclass(frozen=True)
class ApprovalRequest:
    """The execution that requested an approval, and the Automation execution it started ("" if it has not yet)."""

    execution: str
    automation: str


def last(table: PromotionTable, promotion: dict[str, Any]) -> ApprovalRequest | None:
    """Return the last request for the candidate of `promotion`, if any."""
    item = table.get("approval", _key(promotion))
    return _request(item) if item else None


def claim(table: PromotionTable, execution: str, promotion: dict[str, Any], after: ApprovalRequest | None) -> bool:
    """Claim the next request, `after` the last one, for `execution`; return False if another execution was faster."""
    condition, values = "attribute_not_exists(kind)", {}
    if after:
        condition = "(execution = :last AND automation = :automation)"
        values = {"last": after.execution, "automation": after.automation}
    return table.put(
        {
            "kind": "approval",
            "key": _key(promotion),
            "execution": execution,
            "automation": after.automation if after and after.execution == execution else "",
            "promotion": json.dumps(promotion),
        },
        # The answer to an earlier request of this execution may have been lost.
        f"{condition} OR execution = :execution",
        execution=execution,
        **values,
    )


def why_not_again(ssm: Any, stepfunctions: Any, last: ApprovalRequest, by_event: bool) -> str | None:
    """Return why the approval is not requested again after `last`, a request of another execution; None if it is."""
    if not last.automation and is_running(stepfunctions, last.execution):
        return f"{last.execution} asks for the approval right now."
    found = approval.find(ssm, last.automation) if last.automation else None
    if found is None:
        return None
    status = found["AutomationExecutionStatus"]
    if status in approval.OPEN:
        return f"The approval {last.automation} is {status}."
    if by_event:
        return f"The approval {last.automation} of the same candidate ended {status}. Start by hand to ask again."
    return None


def start(ssm: Any, runbook: str, execution: str, promotion: dict[str, Any]) -> str:
    """Start the runbook that requests the approval; return the id of its Automation execution."""
    started = ssm.start_automation_execution(
        DocumentName=runbook,
        # The same in each attempt of this execution, so that a repeated request starts nothing new.
        ClientToken=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{execution}#{promotion['digest']}")),
        Parameters={
            "Application": [promotion["application"]],
            "SourceKind": [promotion["source_kind"]],
            "SourceName": [promotion["source_name"]],
            "Digest": [promotion["digest"]],
            "RequestedBy": [execution],
        },
    )
    return str(started["AutomationExecutionId"])


def record_started(table: PromotionTable, promotion: dict[str, Any], automation: str) -> None:
    """Record the Automation execution that was started for the claimed request."""
    table.update("approval", _key(promotion), "SET automation = :automation", automation=automation)


def open_requests(table: PromotionTable, endpoint: str | None = None) -> list[tuple[dict[str, Any], ApprovalRequest]]:
    """Return the requests for promotions to `endpoint`, or to any, that are not recorded as ended."""
    items = table.query(
        "approval",
        prefix=f"{endpoint}#" if endpoint else "",
        where="attribute_not_exists(#ended) AND automation <> :none",
        none="",
    )
    return [(json.loads(item["promotion"]), _request(item)) for item in items]


def record_ended(
    table: PromotionTable, promotion: dict[str, Any], request: ApprovalRequest, superseded_by: str = ""
) -> None:
    """Record that `request` is no longer open, and the source of the candidate that superseded it, if one did.

    Nothing is recorded if the approval was requested again, or recorded as ended, in the meantime.
    """
    table.update(
        "approval",
        _key(promotion),
        "SET #ended = :by",
        "automation = :automation AND attribute_not_exists(#ended)",
        by=superseded_by,
        automation=request.automation,
    )


def supersede_older(table: PromotionTable, ssm: Any, promotion: dict[str, Any]) -> list[ApprovalRequest]:
    """Cancel the open requests for older candidates of the endpoint, and return them.

    An approval that was granted is left alone, since its promotion may be running.
    """
    superseded = []
    for older, request in open_requests(table, promotion["endpoint"]):
        if not is_older(older["created_at"], promotion["created_at"]):
            continue
        found = approval.find(ssm, request.automation)
        if found is None or found["AutomationExecutionStatus"] not in approval.OPEN:
            record_ended(table, older, request)
        elif not approval.is_given(found):
            record_ended(table, older, request, promotion["source_name"])
            _cancel(ssm, request.automation)
            superseded.append(request)
    return superseded


def _cancel(ssm: Any, automation: str) -> None:
    """Cancel an Automation execution, unless it has ended in the meantime."""
    exceptions = ssm.exceptions
    try:
        ssm.stop_automation_execution(AutomationExecutionId=automation, Type="Cancel")
    except (exceptions.InvalidAutomationStatusUpdateException, exceptions.AutomationExecutionNotFoundException):
        return


def waiting_seconds(table: PromotionTable, ssm: Any, now: datetime.datetime) -> dict[str, float]:
    """Return how long each candidate has waited for its approval, and record the requests that have ended."""
    waiting = {}
    for promotion, request in open_requests(table):
        found = approval.find(ssm, request.automation)
        if found is None or found["AutomationExecutionStatus"] not in approval.OPEN:
            record_ended(table, promotion, request)
        elif not approval.is_given(found):
            seconds = (now - found["ExecutionStartTime"]).total_seconds()
            waiting[f"{promotion['endpoint']}, {promotion['source_name']}"] = seconds
    return waiting


def superseded_by(table: PromotionTable, endpoint: str, digest: str, automation: str) -> str:
    """Return the source of the candidate that superseded the one whose approval was `automation`; "" if none did."""
    item = table.get("approval", _key({"endpoint": endpoint, "digest": digest})) or {}
    return str(item.get("ended", "")) if item.get("automation") == automation else ""


def _request(item: Item) -> ApprovalRequest:
    return ApprovalRequest(item["execution"], item["automation"])


def _key(promotion: dict[str, Any]) -> str:
    return f"{promotion['endpoint']}#{promotion['digest']}"
