"""Take the endpoint for this promotion, or see to it that whoever holds it gives it back."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from promotion import journal
from promotion.clients import client
from promotion.execution import is_running
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, dynamodb, table = event["promotion"], client("dynamodb"), event["table"]
    now = datetime.datetime.now(datetime.UTC)
    if journal.take(dynamodb, table, event["execution"], promotion, now.isoformat()):
        return {"taken": True, "holder": ""}
    holder = journal.running(dynamodb, table, promotion["endpoint"])
    if holder and _is_dead(holder, promotion["endpoint"], event) and not holder.is_given_up:
        _recover(holder, promotion["endpoint"], now)
    name = holder.execution if holder else ""
    logger.info("Endpoint held", endpoint=promotion["endpoint"], holder=name)
    return {"taken": False, "holder": name}


def _is_dead(holder: journal.Running, endpoint: str, event: dict[str, Any]) -> bool:
    """Whether the holder has ended and left the endpoint held: who ends in an orderly way gives it back before."""
    if is_running(client("stepfunctions"), holder.execution):
        return False
    found = journal.running(client("dynamodb"), event["table"], endpoint)
    return found is not None and found.execution == holder.execution


def _recover(holder: journal.Running, endpoint: str, now: datetime.datetime) -> None:
    """Start the recovery that an event should have started, once an hour however many are waiting."""
    stepfunctions = client("stepfunctions")
    try:
        stepfunctions.start_execution(
            stateMachineArn=holder.execution.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0],
            name=f"recovery-{uuid.uuid5(uuid.NAMESPACE_URL, holder.execution)}-{now:%Y%m%d%H}",
            input=json.dumps({"recover": endpoint}),
        )
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        return
    logger.info("Recovery started", endpoint=endpoint, of=holder.execution)
