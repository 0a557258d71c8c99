"""Recovering an endpoint whose holder has died, where the event that should have started it got lost."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from promotion.aws.executions import is_running
from promotion.history import lock


def recover_if_dead(
    dynamodb: Any, stepfunctions: Any, table: str, endpoint: str, holder: lock.Running, now: datetime.datetime
) -> bool:
    """Start the recovery of `endpoint` if its holder runs no more, once an hour however many ask for it.

    Whether it was started. One that is given up waits for people.
    """
    if holder.is_given_up or not _is_dead(dynamodb, stepfunctions, table, endpoint, holder):
        return False
    try:
        stepfunctions.start_execution(
            stateMachineArn=holder.execution.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0],
            name=f"recovery-{uuid.uuid5(uuid.NAMESPACE_URL, holder.execution)}-{now:%Y%m%d%H}",
            input=json.dumps({"recover": endpoint}),
        )
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        return False
    return True


def _is_dead(dynamodb: Any, stepfunctions: Any, table: str, endpoint: str, holder: lock.Running) -> bool:
    """Whether the holder has ended and left the endpoint held: who ends in an orderly way gives it back before."""
    if is_running(stepfunctions, holder.execution):
        return False
    found = lock.running(dynamodb, table, endpoint)
    return found is not None and found.execution == holder.execution
