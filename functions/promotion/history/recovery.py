"""Recover an endpoint whose lock is held by a dead execution, where the event of its end was lost."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from promotion.aws.executions import is_running
from promotion.history import lock
from promotion.history.lock import Holder
from promotion.history.table import PromotionTable


def recover_if_dead(
    table: PromotionTable, stepfunctions: Any, endpoint: str, holder: Holder, now: datetime.datetime
) -> bool:
    """Start the recovery of `endpoint` if the execution of its `holder` is dead, at most once an hour.

    Return whether it was started. An abandoned one requires manual intervention.
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


def _is_dead(table: PromotionTable, stepfunctions: Any, endpoint: str, holder: Holder) -> bool:
    """Return whether the holder has ended without releasing the lock."""
    if is_running(stepfunctions, holder.execution):
        return False
    # Read after the execution's status: an execution releases the lock before it ends.
    found = lock.holder(table, endpoint)
    return found is not None and found.execution == holder.execution
