"""Recovery of an endpoint whose lock is held by a dead execution."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from promotion.aws.executions import is_running
from promotion.errors import TransientError
from promotion.history import lock
from promotion.history.lock import Holder
from promotion.history.table import PromotionTable
from promotion.source.request import Recover


def resolve(table: PromotionTable, stepfunctions: Any, asked: Recover) -> dict[str, Any]:
    """Return what there is to recover: the `outcome`, its `reason`, and the dead `execution` and its `promotion`.

    The outcome is "recover", "nothing_to_recover" or "abandoned". Raise TransientError if the execution still runs.
    """
    by_hand = not asked.executions
    left = _left_behind(table, asked)
    if not left:
        reason = f"{asked.reason} It holds no endpoint, nothing is left to do."
        return {"outcome": "nothing_to_recover", "reason": reason}
    endpoint = left.record["endpoint"]
    if is_running(stepfunctions, left.execution):
        if left.execution in asked.executions or (by_hand and not left.recoveries):
            raise TransientError(
                f"The promotion {left.execution} of {endpoint} is still running. Stop it first; it is then recovered "
                "by itself."
            )
        reason = f"The endpoint {endpoint} is held by {left.execution}, which is running."
        return {"outcome": "nothing_to_recover", "reason": reason}
    if not by_hand and (left.is_abandoned or len(asked.executions) > lock.RECOVERY_ATTEMPTS):
        reason = (
            f"The endpoint {endpoint} could not be recovered in {max(left.recoveries, len(asked.executions) - 1)} "
            "tries and is still held. Look at the last one, put right what stopped it, and start this state machine "
            f'with {{"recover": "{endpoint}"}}.'
        )
        return {"outcome": "abandoned", "reason": reason, "promotion": left.record}
    return {"outcome": "recover", "reason": asked.reason, "execution": left.execution, "promotion": left.record}


def recover_all_dead(table: PromotionTable, stepfunctions: Any, now: datetime.datetime) -> list[str]:
    """Start the recovery of every endpoint whose lock a dead execution holds; return the endpoints."""
    return [
        held.endpoint
        for held in lock.all_held(table)
        if recover_if_dead(table, stepfunctions, held.endpoint, held.holder, now)
    ]


def recover_if_dead(
    table: PromotionTable, stepfunctions: Any, endpoint: str, holder: Holder, now: datetime.datetime
) -> bool:
    """Start the recovery of `endpoint` if the execution of its `holder` is dead, at most once an hour.

    This is for an execution whose end did not arrive as an event. Return whether the recovery was started; an abandoned
    one is not, since it requires manual intervention.
    """
    if holder.is_abandoned or not _is_dead(table, stepfunctions, endpoint, holder):
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


def _left_behind(table: PromotionTable, asked: Recover) -> Holder | None:
    """Return the promotion that one of the dead executions acts for, or that holds the lock of the endpoint."""
    for execution in asked.executions:
        if found := lock.holder_with_execution(table, execution):
            return found
    return lock.holder(table, asked.endpoint) if asked.endpoint else None


def _is_dead(table: PromotionTable, stepfunctions: Any, endpoint: str, holder: Holder) -> bool:
    """Return whether the holder has ended without releasing the lock."""
    if is_running(stepfunctions, holder.execution):
        return False
    # Read after the execution's status: an execution releases the lock before it ends.
    found = lock.holder(table, endpoint)
    return found is not None and found.execution == holder.execution
