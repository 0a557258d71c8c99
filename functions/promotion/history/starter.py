"""The person who started a promotion with a runbook of people.yaml."""

from __future__ import annotations

from typing import Any

from promotion.errors import InvalidRequestError
from promotion.history import approval


def read(ssm: Any, stage: str, automation: str) -> str:
    """Return the ARN of the person who started an Automation execution, as Systems Manager knows it.

    Raise InvalidRequestError unless it is a running execution of a runbook for the operators of the stage, which waits
    for the state machine.
    """
    execution = approval.find(ssm, automation) or {"DocumentName": "", "AutomationExecutionStatus": "unknown"}
    runbook, status = execution["DocumentName"], execution["AutomationExecutionStatus"]
    if not runbook.startswith(f"model-promotion-{stage}-") or status != "InProgress":
        raise InvalidRequestError(
            f'The input\'s "automation" is {automation}, which is not a running execution of a runbook for operators '
            f"of the stage {stage}. It has the status {status}. Leave out this key, which only the runbooks set."
        )
    return str(execution.get("ExecutedBy", ""))
