"""Recovery of an endpoint whose lock is held by a dead execution, one that ended without releasing it."""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws import executions
from promotion.aws.executions import is_running, start
from promotion.errors import TransientError
from promotion.history import lock
from promotion.history.lock import Holder
from promotion.history.table import PromotionTable
from promotion.source.request import Recover


def resolve(table: PromotionTable, stepfunctions: Any, request: Recover) -> dict[str, Any]:
    """Return the `outcome` of a request for recovery, its `reason`, and the dead `execution` and its `promotion`.

    The outcome is "recover", "nothing_to_recover" (also if a later attempt is to come) or "abandoned"; `recoveries` is
    the number of recoveries of the dead execution, including this one. Raise TransientError if the execution is still
    running.
    """
    is_manual = not request.executions
    unfinished = _unfinished(table, request)
    if not unfinished:
        no_lock = f"No promotion holds the lock of {request.endpoint}" if request.endpoint else "It holds no lock"
        return {"outcome": "nothing_to_recover", "reason": f"{request.reason} {no_lock}; there is nothing to recover."}
    endpoint = unfinished.record["endpoint"]
    if is_running(stepfunctions, unfinished.execution):
        if unfinished.execution in request.executions or (is_manual and not unfinished.recoveries):
            raise TransientError(
                f"The execution {unfinished.execution} is still running and holds the lock of the endpoint {endpoint}. "
                "Stop that execution; its changes are then rolled back automatically."
            )
        reason = (
            f"The lock of the endpoint {endpoint} is held by the execution {unfinished.execution}, which is running."
        )
        return {"outcome": "nothing_to_recover", "reason": reason}
    if not is_manual and unfinished.wait:
        minutes = unfinished.wait.total_seconds() / 60
        reason = (
            f"The endpoint {endpoint} could not be recovered in {unfinished.recoveries} attempts and is still locked. "
            f"WatchPromotionsFunction starts the next attempt in about {minutes:g} minutes. To start it now, start "
            f'this state machine with the input {{"recover": "{endpoint}"}}.'
        )
        return {"outcome": "nothing_to_recover", "reason": reason}
    if not is_manual and (unfinished.is_abandoned or len(request.executions) > lock.RECOVERY_ATTEMPTS):
        attempts = max(unfinished.recoveries, len(request.executions) - 1)
        reason = (
            f"The endpoint {endpoint} could not be recovered in {attempts} attempts and is still locked. Manual "
            "intervention is required: read the error of the last recovery, fix its cause, and "
            f'start this state machine with the input {{"recover": "{endpoint}"}}.'
        )
        return {"outcome": "abandoned", "reason": reason, "promotion": unfinished.record}
    return {
        "outcome": "recover",
        "reason": request.reason,
        "execution": unfinished.execution,
        "recoveries": unfinished.recoveries + 1,
        "promotion": unfinished.record,
    }


def recover_if_dead(
    table: PromotionTable, stepfunctions: Any, endpoint: str, holder: Holder, now: datetime.datetime
) -> bool:
    """Start the recovery of `endpoint` if the execution of its `holder` is dead, and return whether it was started.

    This covers an execution whose event was lost, and the later attempts of a recovery that failed several times, each
    when it is due. It starts at most one recovery an hour. An abandoned recovery is not started, since it requires
    manual intervention.
    """
    if holder.is_abandoned or not _is_dead(table, stepfunctions, endpoint, holder, now):
        return False
    name = executions.name(f"recovery-{endpoint}", holder.execution, f"{now:%Y%m%d%H}")
    return start(stepfunctions, holder.execution, name, {"recover": endpoint})


def _unfinished(table: PromotionTable, request: Recover) -> Holder | None:
    """Return the promotion whose lock is held by one of the dead executions, or that holds the lock of the endpoint."""
    for execution in request.executions:
        if holder := lock.holder_with_execution(table, execution):
            return holder
    return lock.holder(table, request.endpoint) if request.endpoint else None


def _is_dead(table: PromotionTable, stepfunctions: Any, endpoint: str, holder: Holder, now: datetime.datetime) -> bool:
    """Return whether the holder has ended without releasing the lock, so long ago that its next recovery is due."""
    execution = executions.find(stepfunctions, holder.execution)
    if execution and execution.status == "RUNNING":
        return False
    if execution and execution.ended_at and now < execution.ended_at + holder.wait:
        return False
    # The lock is read after the status of the execution, since an execution releases its lock before it ends.
    current = lock.holder(table, endpoint)
    return current is not None and current.execution == holder.execution
