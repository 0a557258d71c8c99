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
from promotion.record import PromotionRecord


@dataclasses.dataclass(frozen=True)
class ApprovalRequest:
    """The execution that requested an approval, and the Automation execution it started ("" if it has not yet)."""

    execution: str
    automation: str


def last(table: PromotionTable, record: PromotionRecord) -> ApprovalRequest | None:
    """Return the last request for the candidate of `record`, if any."""
    item = table.get("approval", _key(record))
    return _request(item) if item else None


def claim(table: PromotionTable, execution: str, record: PromotionRecord, after: ApprovalRequest | None) -> bool:
    """Claim the next request, `after` the last one, for `execution`; return False if another execution was faster."""
    condition, values = "attribute_not_exists(kind)", {}
    if after:
        condition = "(execution = :last AND automation = :automation)"
        values = {"last": after.execution, "automation": after.automation}
    return table.put(
        {
            "kind": "approval",
            "key": _key(record),
            "execution": execution,
            "automation": after.automation if after and after.execution == execution else "",
            "promotion": json.dumps(record),
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


def start(ssm: Any, runbook: str, execution: str, record: PromotionRecord) -> str:
    """Start the runbook that requests the approval; return the id of its Automation execution."""
    started = ssm.start_automation_execution(
        DocumentName=runbook,
        # The same in each attempt of this execution, so that a repeated request starts nothing new.
        ClientToken=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{execution}#{record['digest']}")),
        Parameters={
            "Application": [record["application"]],
            "SourceKind": [record["source_kind"]],
            "SourceName": [record["source_name"]],
            "Digest": [record["digest"]],
            "RequestedBy": [execution],
        },
    )
    return str(started["AutomationExecutionId"])


def record_started(table: PromotionTable, record: PromotionRecord, automation: str) -> None:
    """Record the Automation execution that was started for the claimed request."""
    table.update("approval", _key(record), "SET automation = :automation", automation=automation)


def open_requests(table: PromotionTable, endpoint: str | None = None) -> list[tuple[PromotionRecord, ApprovalRequest]]:
    """Return the requests for promotions to `endpoint`, or to any, that are not recorded as ended."""
    items = table.query(
        "approval",
        prefix=f"{endpoint}#" if endpoint else "",
        where="attribute_not_exists(#ended) AND automation <> :none",
        none="",
    )
    return [(json.loads(item["promotion"]), _request(item)) for item in items]


def record_ended(
    table: PromotionTable, record: PromotionRecord, request: ApprovalRequest, superseded_by: str = ""
) -> None:
    """Record that `request` is no longer open, and the source of the candidate that superseded it, if one did.

    Nothing is recorded if the approval was requested again, or recorded as ended, in the meantime.
    """
    table.update(
        "approval",
        _key(record),
        "SET #ended = :by",
        "automation = :automation AND attribute_not_exists(#ended)",
        by=superseded_by,
        automation=request.automation,
    )


def supersede_older(table: PromotionTable, ssm: Any, record: PromotionRecord) -> list[ApprovalRequest]:
    """Cancel the open requests for older candidates of the endpoint, and return them.

    An approval that was granted is left alone, since its promotion may be running.
    """
    superseded = []
    for older, request in open_requests(table, record["endpoint"]):
        if not is_older(older["created_at"], record["created_at"]):
            continue
        found = approval.find(ssm, request.automation)
        if found is None or found["AutomationExecutionStatus"] not in approval.OPEN:
            record_ended(table, older, request)
        elif not approval.is_given(found):
            record_ended(table, older, request, record["source_name"])
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
    for record, request in open_requests(table):
        found = approval.find(ssm, request.automation)
        if found is None or found["AutomationExecutionStatus"] not in approval.OPEN:
            record_ended(table, record, request)
        elif not approval.is_given(found):
            seconds = (now - found["ExecutionStartTime"]).total_seconds()
            waiting[f"{record['endpoint']}, {record['source_name']}"] = seconds
    return waiting


def superseded_by(table: PromotionTable, endpoint: str, digest: str, automation: str) -> str:
    """Return the source of the candidate that superseded the one whose approval was `automation`; "" if none did."""
    item = table.get("approval", _key({"endpoint": endpoint, "digest": digest})) or {}
    return str(item.get("ended", "")) if item.get("automation") == automation else ""


def _request(item: Item) -> ApprovalRequest:
    return ApprovalRequest(item["execution"], item["automation"])


def _key(record: PromotionRecord) -> str:
    return f"{record['endpoint']}#{record['digest']}"
