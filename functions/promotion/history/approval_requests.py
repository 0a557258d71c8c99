"""The approval requests: which are open, for which candidates, and which were superseded by newer candidates."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import uuid
from typing import Any

from promotion.aws.executions import is_running
from promotion.endpoint.state import is_older
from promotion.history import approval
from promotion.history.table import Item, PromotionTable
from promotion.record import PromotionRecord
from promotion.source.tags import STAGE_TAG


@dataclasses.dataclass(frozen=True)
class ApprovalRequest:
    """The execution that requested an approval, and the Automation execution that it started ("" before the start)."""

    execution: str
    automation: str


def last(table: PromotionTable, record: PromotionRecord) -> ApprovalRequest | None:
    """Return the last request for the candidate of `record`, if any."""
    item = table.get("approval", _key(record))
    return _request(item) if item else None


def claim(table: PromotionTable, execution: str, record: PromotionRecord, after: ApprovalRequest | None) -> bool:
    """Claim the request after the last one for `execution`; return False if another execution has claimed it."""
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
        # The response to an earlier request of this execution may have been lost.
        f"{condition} OR execution = :execution",
        execution=execution,
        **values,
    )


def reason_not_to_request(ssm: Any, stepfunctions: Any, last: ApprovalRequest, by_event: bool) -> str | None:
    """Return the reason not to request an approval again after `last`, a request of another execution, if any."""
    if not last.automation and is_running(stepfunctions, last.execution):
        return f"The execution {last.execution} is already requesting the approval."
    automation = approval.find(ssm, last.automation) if last.automation else None
    if automation is None:
        return None
    status = automation["AutomationExecutionStatus"]
    if status in approval.OPEN:
        return (
            f"The approval {last.automation} was already requested and has the status {status}. To request another "
            "one, for example after a change of the settings, reject it first."
        )
    if by_event:
        return (
            f"The approval {last.automation} of the same candidate ended with the status {status}. To request another "
            "approval, start the promotion manually."
        )
    return None


def start(ssm: Any, runbook: str, execution: str, record: PromotionRecord) -> str:
    """Start the runbook that requests the approval, and return the ID of its Automation execution."""
    started = ssm.start_automation_execution(
        DocumentName=runbook,
        # Each attempt of this execution has the same token, so that a repeated request does not start a second one.
        ClientToken=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{execution}#{record['digest']}")),
        Parameters={
            "Application": [record["application"]],
            "SourceKind": [record["source_kind"]],
            "SourceName": [record["source_name"]],
            "Digest": [record["digest"]],
            "DeploymentDigest": [record["deployment_digest"]],
            "SmokeTest": [record["smoke_test"]],
            "NotPinned": [_not_pinned(record)],
            "RequestedBy": [execution],
        },
        Tags=[{"Key": STAGE_TAG, "Value": record["stage"]}],
    )
    return str(started["AutomationExecutionId"])


def _not_pinned(record: PromotionRecord) -> str:
    """Return what the digest does not pin, as a parameter of the runbook: 1 to 512 characters that it accepts."""
    text = re.sub(r"[^\w ./:@=+-]", ",", "; ".join(record.get("not_pinned", [])), flags=re.ASCII) or "nothing"
    return text if len(text) <= 512 else f"{text[:509]}..."


def record_started(table: PromotionTable, record: PromotionRecord, automation: str) -> None:
    """Record the Automation execution that was started for the claimed request."""
    table.update("approval", _key(record), "SET automation = :automation", automation=automation)


def open_requests(table: PromotionTable, endpoint: str | None = None) -> list[tuple[PromotionRecord, ApprovalRequest]]:
    """Return the requests that are not recorded as ended, for promotions to `endpoint` or, if None, to any endpoint."""
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
    """Record that `request` has ended, and the source of the candidate that superseded it, if any.

    Record nothing if the approval has been requested again, or was recorded as ended, in the meantime.
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

    An approval that was granted stays valid, since its promotion may be running.
    """
    superseded = []
    for older, request in open_requests(table, record["endpoint"]):
        if not is_older(older["created_at"], record["created_at"]):
            continue
        automation = approval.find(ssm, request.automation)
        if automation is None or automation["AutomationExecutionStatus"] not in approval.OPEN:
            record_ended(table, older, request)
        elif not approval.is_granted(automation):
            record_ended(table, older, request, record["source_name"])
            _cancel(ssm, request.automation)
            superseded.append(request)
    return superseded


def _cancel(ssm: Any, automation: str) -> None:
    """Cancel an Automation execution if it has not ended in the meantime."""
    exceptions = ssm.exceptions
    try:
        ssm.stop_automation_execution(AutomationExecutionId=automation, Type="Cancel")
    except (exceptions.InvalidAutomationStatusUpdateException, exceptions.AutomationExecutionNotFoundException):
        return


def waiting_seconds(
    table: PromotionTable, ssm: Any, record: PromotionRecord, request: ApprovalRequest, now: datetime.datetime
) -> float | None:
    """Return the seconds that `request` has waited for a decision, or None after it; record that it has ended."""
    automation = approval.find(ssm, request.automation)
    if automation is None or automation["AutomationExecutionStatus"] not in approval.OPEN:
        record_ended(table, record, request)
        return None
    return None if approval.is_granted(automation) else (now - automation["ExecutionStartTime"]).total_seconds()


def superseded_by(table: PromotionTable, endpoint: str, digest: str, automation: str) -> str:
    """Return the source of the candidate that superseded the candidate of the approval `automation`, or ""."""
    item = table.get("approval", _key({"endpoint": endpoint, "digest": digest})) or {}
    return str(item.get("ended", "")) if item.get("automation") == automation else ""


def _request(item: Item) -> ApprovalRequest:
    return ApprovalRequest(item["execution"], item["automation"])


def _key(record: PromotionRecord) -> str:
    return f"{record['endpoint']}#{record['digest']}"
