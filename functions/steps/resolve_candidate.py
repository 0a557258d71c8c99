"""Read what the execution was started with into what is to be done: one candidate to promote, or something else."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.aws.clients import client, upstream_client
from promotion.aws.executions import is_running
from promotion.errors import InvalidRequestError, PromotionRefusedError, TryAgainError
from promotion.history import approval, approval_requests, claims, lock, records, rollback
from promotion.history.claims import Use
from promotion.history.table import PromotionTable
from promotion.naming import endpoint_name
from promotion.plan.settings import load
from promotion.source import reader, request
from promotion.source.reader import Upstream
from promotion.step import logger, step

_CANCELLED = "The request for approval was cancelled"


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    region, own_account = event["execution"].split(":")[3:5]
    asked = request.read(event["input"], event["upstream_account"], own_account, region)
    # Not all of it, since others' words may be in it, such as why an execution failed.
    logger.info("Request read", execution=event["execution"], asks_to=type(asked).__name__)
    match asked:
        case request.Promote():
            answer = _promote(event, asked)
        case request.Recover():
            answer = _recover(event, asked)
        case request.RollBack():
            answer = _roll_back(event, asked)
        case request.TellRejection():
            answer = _tell_rejection(event, asked)
        case request.Ignore():
            answer = {"outcome": "not_for_promotion", "reason": asked.reason}
    return {"candidate": None, "promotion": None, "digest": None, "reason": "", "execution": ""} | answer


def _promote(event: dict[str, Any], asked: request.Promote) -> dict[str, Any]:
    decision = _granted(event, asked) if asked.approval else approval.Decision(by="-", comment="")
    sagemaker = upstream_client(
        "sagemaker", event["upstream_role_arn"], event["external_id"], event["execution"].rsplit(":", 1)[-1]
    )
    try:
        found = reader.read(
            Upstream(sagemaker, event["upstream_account"], region=event["execution"].split(":")[3]),
            asked,
            lambda application: load(client("ssm"), event["stage"], application, event["defaults"]),
        )
    except ClientError as error:
        raise _source_error(error, event, asked) from error
    if isinstance(found, str):
        return {"outcome": "not_for_promotion", "reason": found}
    return {
        "outcome": "promote",
        "candidate": found.to_json(),
        "digest": asked.digest,
        "promotion": {
            "execution": event["execution"],
            "application": found.application,
            "stage": event["stage"],
            "endpoint": endpoint_name(found.application, event["stage"]),
            "source_kind": asked.kind,
            "source_name": asked.name,
            "source_arn": found.source["arn"],
            "created_at": found.created_at,
            "started_at": event["started_at"],
            "approval": asked.approval or "",
            "approved_by": decision.by,
            "approval_comment": decision.comment,
            "by_event": asked.by_event,
        },
    }


def _granted(event: dict[str, Any], asked: request.Promote) -> approval.Decision:
    execution = approval.read(client("ssm"), asked.approval or "")
    if execution is None:
        raise InvalidRequestError(f"There is no approval {asked.approval} in this account.")
    return approval.granted(execution, event["runbook"], asked)


def _recover(event: dict[str, Any], asked: request.Recover) -> dict[str, Any]:
    table = PromotionTable(client("dynamodb"), event["table"])
    by_hand = not asked.executions
    found = (lock.holder_with_execution(table, execution) for execution in asked.executions)
    left = next((holder for holder in found if holder), None)
    if not left and asked.endpoint:
        left = lock.holder(table, asked.endpoint)
    if not left:
        return {
            "outcome": "nothing_to_recover",
            "reason": f"{asked.reason} It holds no endpoint, nothing is left to do.",
        }
    if is_running(client("stepfunctions"), left.execution):
        if left.execution in asked.executions or (by_hand and not left.recoveries):
            raise TryAgainError(
                f"The promotion {left.execution} of {left.promotion['endpoint']} is still running. Stop it first; it "
                "is then recovered by itself."
            )
        reason = f"The endpoint {left.promotion['endpoint']} is held by {left.execution}, which is running."
        return {"outcome": "nothing_to_recover", "reason": reason}
    if not by_hand and (left.is_abandoned or len(asked.executions) > lock.RECOVERY_ATTEMPTS):
        return {
            "outcome": "given_up",
            "reason": f"The endpoint {left.promotion['endpoint']} could not be recovered in "
            f"{max(left.recoveries, len(asked.executions) - 1)} tries and is still held. Look at the last one, put "
            "right what stopped it, and start this state machine with "
            f'{{"recover": "{left.promotion["endpoint"]}"}}.',
            "promotion": left.promotion,
        }
    return {
        "outcome": "recover",
        "reason": asked.reason,
        "execution": left.execution,
        "promotion": left.promotion,
    }


def _roll_back(event: dict[str, Any], asked: request.RollBack) -> dict[str, Any]:
    table = PromotionTable(client("dynamodb"), event["table"])
    live = records.live(table, asked.endpoint)
    found = rollback.earlier(records.history(table, asked.endpoint), live, asked.endpoint, asked.to)
    if not request.is_preview(event["input"]):
        claim = Use(event["execution"], found["digest"])
        claims.use(table, client("stepfunctions"), asked.endpoint, claim, time.time())
    # What was not removed until now is not removed any more.
    _assert_there(found)
    # It is what it was when it was promoted, approved by whom it was; only how it comes in this time is new.
    of_its_own = {"status", "reason", "ended_at", "changing", "deployment_config", "baking_seconds"}
    was = {key: value for key, value in found.items() if key not in of_its_own}
    promotion = was | {
        "execution": event["execution"],
        "source_kind": "rollback",
        "source_name": found["execution"],
        "started_at": event["started_at"],
        "by_event": False,
    }
    return {"outcome": "rollback", "promotion": promotion}


def _assert_there(record: dict[str, Any]) -> None:
    """Configs are removed first: as long as there is one, there is all that it needs."""
    try:
        client("sagemaker").describe_endpoint_config(EndpointConfigName=record["endpoint_config_name"])
    except ClientError as error:
        if meaning(error) is not Meaning.NOT_FOUND:
            raise
        raise InvalidRequestError(
            f"The endpoint {record['endpoint']} cannot go back to {record['model_name']}: its endpoint config "
            f"{record['endpoint_config_name']} is not there any more. Retention keeps only the newest (Retention.Keep "
            "in the settings). Promote that model's source again."
        ) from error


def _tell_rejection(event: dict[str, Any], asked: request.TellRejection) -> dict[str, Any]:
    execution = approval.read(client("ssm"), asked.approval)
    if execution is None:
        raise InvalidRequestError(f"There is no approval {asked.approval} in this account.")
    if execution["DocumentName"] != event["runbook"] or approval.is_given(execution):
        return {"outcome": "not_for_promotion", "reason": f"The approval {asked.approval} was given or is not ours."}
    parameters = {name: values[0] for name, values in execution["Parameters"].items() if values}
    decision = approval.decision(execution)
    endpoint = endpoint_name(parameters["Application"], event["stage"])
    table = PromotionTable(client("dynamodb"), event["table"])
    newer = approval_requests.superseded_by(table, endpoint, parameters["Digest"], asked.approval)
    cancelled = f"{newer}, which is newer, asks for approval in its place" if newer else _CANCELLED
    how = {"TimedOut": "Nobody decided in time", "Cancelled": cancelled, "Canceled": cancelled}.get(
        asked.status, f"Rejected by {decision.by or 'an approver'}"
    )
    reason = how + (f": {decision.comment}" if decision.comment else "")
    return {
        "outcome": "rejected",
        "reason": reason,
        "promotion": {
            "execution": event["execution"],
            "application": parameters["Application"],
            "stage": event["stage"],
            "endpoint": endpoint,
            "source_kind": parameters["SourceKind"],
            "source_name": parameters["SourceName"],
            "digest": parameters["Digest"],
            "approval": asked.approval,
            "approved_by": "",
            "approval_comment": decision.comment,
        },
    }


def _source_error(error: ClientError, event: dict[str, Any], asked: request.Promote) -> Exception:
    kind, account = asked.kind.replace("_", " "), event["upstream_account"]
    if meaning(error) is Meaning.NOT_FOUND:
        return InvalidRequestError(
            f"There is no {kind} {asked.name} in account {account}. Check the name, and that it is in this region."
        )
    if meaning(error) is Meaning.DENIED:
        return PromotionRefusedError(
            f"The {kind} {asked.name} may not be read as {event['upstream_role_arn']}: {message(error)}. Deploy "
            f"upstream.yaml in account {account} for this stage."
        )
    unknown: Exception = error
    return unknown
