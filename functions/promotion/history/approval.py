"""The approval of a candidate: an execution of the approval runbook in Systems Manager Automation."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from promotion.aws import responses, strict_json
from promotion.aws.aws_errors import none_if_not_found
from promotion.errors import InvalidRequestError
from promotion.source.request import Promote

APPROVE_STEP = "Approve"
"""The name of the runbook's aws:approve step."""

_LONGEST = 1000

OPEN = {"Pending", "InProgress", "Waiting", "PendingApproval", "Approved", "RunbookInProgress", "Scheduled"}
"""The states of an Automation execution that has not ended (botocore's ssm model)."""


def find(ssm: Any, identifier: str) -> dict[str, Any] | None:
    """Return GetAutomationExecution's AutomationExecution, or None if there is none (any more)."""
    answer = none_if_not_found(ssm.get_automation_execution, AutomationExecutionId=identifier)
    if answer is None:
        return None
    members = ("AutomationExecutionId", "DocumentName", "AutomationExecutionStatus")
    what = f"the approval {identifier}"
    return responses.checked("ssm", "GetAutomationExecution", answer, what, members, within="AutomationExecution")


def read(ssm: Any, identifier: str) -> dict[str, Any]:
    """Return what `find` returns; raise InvalidRequestError if there is no such approval."""
    execution = find(ssm, identifier)
    if execution is None:
        raise InvalidRequestError(f"There is no approval {identifier} in this account.")
    return execution


@dataclasses.dataclass(frozen=True)
class Decision:
    """Who decided, and their comments, as far as Systems Manager says it."""

    by: str
    comment: str


def granted(execution: dict[str, Any], runbook: str, asked: Promote) -> Decision:
    """Return the decision that admitted `asked`.

    `execution` is GetAutomationExecution's AutomationExecution, `runbook` the name of this stage's runbook. Raise
    InvalidRequestError if it is of another runbook, was not approved, has ended, or is for anything but `asked`.
    """
    identifier = execution["AutomationExecutionId"]
    if execution["DocumentName"] != runbook:
        raise InvalidRequestError(
            f"The approval {identifier} is of the runbook {execution['DocumentName']}, not {runbook}."
        )
    if execution["AutomationExecutionStatus"] != "InProgress":
        raise InvalidRequestError(
            f"The approval {identifier} is {execution['AutomationExecutionStatus']}; an approval counts while its "
            "runbook runs and once. Ask for a new one by starting the promotion again."
        )
    step = _step(execution)
    if step.get("StepStatus") != "Success":
        raise InvalidRequestError(f"The approval {identifier} was not given: it is {step.get('StepStatus')}.")
    approved = {name: values[0] for name, values in execution.get("Parameters", {}).items() if values}
    expected = {"SourceKind": asked.kind, "SourceName": asked.name, "Digest": asked.digest}
    for name, value in expected.items():
        if approved.get(name) != value:
            raise InvalidRequestError(
                f"The approval {identifier} is for {name} {approved.get(name)}, not {value}: it lets in nothing else "
                "than what was approved."
            )
    if asked.application and approved.get("Application") != asked.application:
        raise InvalidRequestError(f"The approval {identifier} is for the application {approved.get('Application')}.")
    return decision(execution)


def is_given(execution: dict[str, Any]) -> bool:
    """Return whether the approval was granted, whatever followed from it."""
    return bool(_step(execution).get("StepStatus") == "Success")


def decision(execution: dict[str, Any]) -> Decision:
    """Return who decided in the approval step, and their comments.

    AWS does not document the format of the decisions: one that is not a JSON object with an approver is kept as it is.
    """
    approvers, comments = [], []
    for text in _step(execution).get("Outputs", {}).get("ApproverDecisions", []):
        for entry in _entries(text):
            approvers.append(_as_text(entry.get("Approver") or entry.get("approver") or text))
            comments.append(_as_text(entry.get("Comment") or entry.get("comment") or ""))
    return Decision(
        by=", ".join(approvers)[:_LONGEST], comment="; ".join(comment for comment in comments if comment)[:_LONGEST]
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        value = strict_json.read(text)
    except ValueError:
        return [{"approver": text}]
    entries = value if isinstance(value, list) else [value]
    return [entry if isinstance(entry, dict) else {"approver": entry} for entry in entries]


def _step(execution: dict[str, Any]) -> dict[str, Any]:
    steps = execution.get("StepExecutions", [])
    return next((step for step in steps if step.get("StepName") == APPROVE_STEP), {})
