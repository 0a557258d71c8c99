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
from promotion.source.tags import APPLICATION_TAG, SOURCE_TAG, STAGE_TAG


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


def start(ssm: Any, runbook: str, execution: str, record: PromotionRecord, comparison: str, evidence: str) -> str:
    """Start the runbook that requests the approval, and return the ID of its Automation execution.

    `comparison` tells the approvers how the candidate compares with the live model, and `evidence` how it did so far.
    """
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
            "NotPinned": [_parameter("; ".join(record.get("not_pinned", [])))],
            "Comparison": [_parameter(comparison)],
            "Evidence": [_parameter(evidence)],
            "RequestedBy": [execution],
        },
        Tags=[
            {"Key": STAGE_TAG, "Value": record["stage"]},
            {"Key": APPLICATION_TAG, "Value": record["application"]},
            {"Key": SOURCE_TAG, "Value": record["source_name"]},
        ],
    )
    return str(started["AutomationExecutionId"])


def _parameter(text: str) -> str:
    """Return a string as a parameter of the runbook: 1 to 512 characters that it accepts."""
    text = re.sub(r"[^\w ./:@=+-]", ",", text, flags=re.ASCII) or "nothing"
    return text if len(text) <= 512 else f"{text[:509]}..."


def record_started(table: PromotionTable, execution: str, record: PromotionRecord, automation: str) -> bool:
    """Record the Automation execution that was started for the request of `execution`.

    Return False if another execution has claimed the request in the meantime.
    """
    return table.update(
        "approval",
        _key(record),
        "SET automation = :automation",
        "execution = :execution",
        automation=automation,
        execution=execution,
    )


def record_orphans(
    table: PromotionTable, ssm: Any, stepfunctions: Any, runbook: str, endpoint: str = ""
) -> list[tuple[PromotionRecord, str]]:
    """Record the Automation executions that were started by executions that ended before they recorded them.

    Return each with its promotion. Without an `endpoint`, all endpoints are checked. An orphan is found by the
    parameters of the executions of the `runbook` that wait for a decision.
    """
    prefix = f"{endpoint}#" if endpoint else ""
    items = table.query("approval", prefix=prefix, where="automation = :none", none="")
    unstarted = [item for item in items if not is_running(stepfunctions, item["execution"])]
    if not unstarted:
        return []
    # An execution requests one approval.
    claimed: dict[str, PromotionRecord] = {item["execution"]: json.loads(item["promotion"]) for item in unstarted}
    return [
        (claimed[execution], identifier)
        for identifier, execution in approval.waiting(ssm, runbook)
        if execution in claimed and record_started(table, execution, claimed[execution], identifier)
    ]


def open_requests(table: PromotionTable, endpoint: str | None = None) -> list[tuple[PromotionRecord, ApprovalRequest]]:
    """Return the requests that are not recorded as ended, for promotions to `endpoint` or, if None, to any endpoint."""
    items = table.query(
        "approval",
        prefix=f"{endpoint}#" if endpoint else "",
        where="attribute_not_exists(#ended) AND automation <> :none",
        none="",
    )
    return [(json.loads(item["promotion"]), _request(item)) for item in items]


def record_ended(table: PromotionTable, record: PromotionRecord, request: ApprovalRequest) -> None:
    """Record that `request` has ended.

    Record nothing if the approval has been requested again in the meantime.
    """
    table.update(
        "approval",
        _key(record),
        "SET #ended = :yes",
        "automation = :automation",
        yes=True,
        automation=request.automation,
    )


@dataclasses.dataclass(frozen=True)
class OpenRequest:
    """A request that waits for a decision, or whose approval was granted and is still running."""

    record: PromotionRecord
    request: ApprovalRequest
    is_granted: bool


def still_open(table: PromotionTable, ssm: Any, endpoint: str) -> list[OpenRequest]:
    """Return the open requests for promotions to `endpoint`. The watch records which of the others have ended."""
    found = []
    for record, request in open_requests(table, endpoint):
        automation = approval.find(ssm, request.automation)
        if automation is not None and automation["AutomationExecutionStatus"] in approval.OPEN:
            found.append(OpenRequest(record, request, approval.is_granted(automation)))
    return found


def newest(requests: list[OpenRequest], than: PromotionRecord) -> OpenRequest | None:
    """Return the request for the newest candidate among those that are newer `than` a record, if any."""
    newer = [each for each in requests if is_older(than["created_at"], each.record["created_at"])]
    return max(newer, key=lambda each: datetime.datetime.fromisoformat(each.record["created_at"]), default=None)


def reason_of_newer(requests: list[OpenRequest], record: PromotionRecord) -> str | None:
    """Return the reason not to request an approval for the candidate of `record`, if one for a newer one is open."""
    newer = newest(requests, record)
    if newer is None:
        return None
    state = "was granted" if newer.is_granted else "is pending"
    return (
        f"The approval {newer.request.automation} of the newer candidate {newer.record['source_name']} {state}. To "
        "request an approval for this candidate, reject that approval first, or wait until its promotion has ended."
    )


def supersede_older(table: PromotionTable, ssm: Any, endpoint: str) -> list[ApprovalRequest]:
    """Cancel each open request for a candidate that is older than that of another open request, and return them.

    An approval that was granted stays valid, since its promotion may be running. A request is recorded as ended only
    after it was canceled, so that the next start repeats a cancellation that failed.
    """
    superseded, requests = [], still_open(table, ssm, endpoint)
    for each in requests:
        newer = newest(requests, each.record)
        if newer is None or each.is_granted:
            continue
        # The rejection that follows the cancellation names the newer candidate.
        _record_superseded(table, each, newer.record["source_name"])
        cancel(ssm, each.request.automation)
        record_ended(table, each.record, each.request)
        superseded.append(each.request)
    return superseded


def _record_superseded(table: PromotionTable, older: OpenRequest, by: str) -> None:
    update, condition = "SET superseded_by = :by", "automation = :automation"
    table.update("approval", _key(older.record), update, condition, by=by, automation=older.request.automation)


def cancel(ssm: Any, automation: str) -> None:
    """Cancel an Automation execution if it has not ended in the meantime."""
    exceptions = ssm.exceptions
    try:
        ssm.stop_automation_execution(AutomationExecutionId=automation, Type="Cancel")
    except (exceptions.InvalidAutomationStatusUpdateException, exceptions.AutomationExecutionNotFoundException):
        return


def waiting_seconds(automation: dict[str, Any], now: datetime.datetime) -> float | None:
    """Return the seconds that an open automation has waited for a decision, or None after the approval."""
    return None if approval.is_granted(automation) else (now - automation["ExecutionStartTime"]).total_seconds()


def superseded_by(table: PromotionTable, endpoint: str, digest: str, automation: str) -> str:
    """Return the source of the newer candidate because of which the approval `automation` was canceled, or ""."""
    item = table.get("approval", _key({"endpoint": endpoint, "digest": digest})) or {}
    return str(item.get("superseded_by", "")) if item.get("automation") == automation else ""


def _request(item: Item) -> ApprovalRequest:
    return ApprovalRequest(item["execution"], item["automation"])


def _key(record: PromotionRecord) -> str:
    return f"{record['endpoint']}#{record['digest']}"
