"""Request approval for the candidate, once for each candidate."""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws.clients import client
from promotion.endpoint.state import is_older
from promotion.history import approval_requests, events, records
from promotion.history.approval import Policy
from promotion.history.rollback import rolled_back_at
from promotion.history.table import PromotionTable
from promotion.messages import message
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return whether the approval was requested as `outcome`, and the `reason`."""
    record: PromotionRecord = event["promotion"]
    execution, ssm = event["execution"], client("ssm")
    Policy.from_json(event["approval_policy"]).check()
    table, endpoint = PromotionTable(client("dynamodb"), event["table"]), record["endpoint"]
    record |= PromotionRecord(rolled_back_at=rolled_back_at(records.history(table, endpoint), record["digest"]))
    # An earlier start may have failed to cancel the requests that it superseded.
    superseded = approval_requests.supersede_older(table, ssm, endpoint)
    live = records.live(table, endpoint)
    if live and live["digest"] == record["digest"] and record["by_event"]:
        reason = f"The model {live['model_name']} is already live on the endpoint {endpoint}."
        return {"outcome": "already_live", "reason": reason}
    if live and is_older(record["created_at"], live["created_at"]):
        reason = (
            f"The model {live['model_name']}, which is live on the endpoint {endpoint}, is newer than this candidate."
        )
        return {"outcome": "newer_live", "reason": reason}
    if reason_of_newer := approval_requests.reason_of_newer(approval_requests.still_open(table, ssm, endpoint), record):
        return {"outcome": "newer_requested", "reason": reason_of_newer}

    runbook, stepfunctions = event["approval_policy"]["runbook"], client("stepfunctions")
    last = approval_requests.last(table, record)
    if last and not last.automation:
        for orphan, automation in approval_requests.record_orphans(table, ssm, stepfunctions, runbook, endpoint):
            events.publish_request(client("events"), event["bus"], orphan, automation)
        last = approval_requests.last(table, record)
    if last and last.execution != execution:
        reason_not = approval_requests.reason_not_to_request(ssm, stepfunctions, last, record["by_event"])
        if reason_not:
            return {"outcome": "already_requested", "reason": reason_not}
    if not approval_requests.claim(table, execution, record, last):
        return {"outcome": "already_requested", "reason": "Another execution is already requesting the approval."}
    facts = message.comparison(record, live), message.evidence(record)
    automation = approval_requests.start(ssm, runbook, execution, record, *facts)
    if not approval_requests.record_started(table, execution, record, automation):
        # This execution was stopped, and its function has outlived it.
        approval_requests.cancel(ssm, automation)
        return {"outcome": "already_requested", "reason": "Another execution has requested the approval."}
    seconds = event["approval_policy"]["seconds"]
    approve_until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    events.publish_request(client("events"), event["bus"], record, automation, approve_until.isoformat())
    # A request for a newer candidate may have been recorded since the check. Each start records its own request before
    # it reads the others, so that the later one of two sees both.
    superseded += approval_requests.supersede_older(table, ssm, endpoint)
    logger.info("Approval requested", automation=automation, superseded=[older.automation for older in superseded])
    if automation in [each.automation for each in superseded]:
        return {"outcome": "superseded", "reason": f"The approval {automation} was superseded by a newer candidate."}
    return {"outcome": "requested", "reason": f"The approval {automation} was requested."}
