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

_MAXIMUM_CHARACTERS = 1000

OPEN = {"Pending", "InProgress", "Waiting", "PendingApproval", "Approved", "RunbookInProgress", "Scheduled"}
"""The statuses of an Automation execution that has not ended (botocore's ssm model)."""

_REQUEST_ANOTHER = "To request another approval, start the promotion again without an approval."


def find(ssm: Any, identifier: str) -> dict[str, Any] | None:
    """Return GetAutomationExecution's AutomationExecution, or None if it does not exist (or no longer exists)."""
    answer = none_if_not_found(ssm.get_automation_execution, AutomationExecutionId=identifier)
    if answer is None:
        return None
    members = ("AutomationExecutionId", "DocumentName", "AutomationExecutionStatus")
    what = f"the approval {identifier}"
    return responses.checked("ssm", "GetAutomationExecution", answer, what, members, within="AutomationExecution")


def read(ssm: Any, identifier: str) -> dict[str, Any]:
    """Return the result of `find`; raise InvalidRequestError if there is no such approval."""
    execution = find(ssm, identifier)
    if execution is None:
        raise InvalidRequestError(
            f"There is no approval {identifier} in this account. An approval is the ID of an Automation execution in "
            "Systems Manager."
        )
    return execution


@dataclasses.dataclass(frozen=True)
class Decision:
    """The approvers and their comments, as reported by Systems Manager."""

    by: str
    comment: str


def granted_decision(execution: dict[str, Any], runbook: str, request: Promote) -> Decision:
    """Return the decision that admits the candidate of `request`.

    `execution` is GetAutomationExecution's AutomationExecution, `runbook` the name of this stage's runbook. Raise
    InvalidRequestError if the approval is of another runbook, was not granted, has ended, or covers another candidate.
    """
    approval = f"The approval {execution['AutomationExecutionId']}"
    if execution["DocumentName"] != runbook:
        raise InvalidRequestError(
            f"{approval} is an execution of the runbook {execution['DocumentName']}, not of {runbook}. "
            f"{_REQUEST_ANOTHER}"
        )
    if execution["AutomationExecutionStatus"] != "InProgress":
        raise InvalidRequestError(
            f"{approval} has the status {execution['AutomationExecutionStatus']}. An approval is valid once, and only "
            f"while its runbook is running. {_REQUEST_ANOTHER}"
        )
    status = _step(execution).get("StepStatus")
    if status != "Success":
        raise InvalidRequestError(f"{approval} was not granted: its step {APPROVE_STEP} has the status {status}.")
    approved = {name: values[0] for name, values in execution.get("Parameters", {}).items() if values}
    expected = {"SourceKind": request.kind, "SourceName": request.name, "Digest": request.digest}
    for name, value in expected.items():
        if approved.get(name) != value:
            raise InvalidRequestError(
                f"{approval} is for the {name} {approved.get(name)}, not {value}. It covers only the approved "
                f"candidate. {_REQUEST_ANOTHER}"
            )
    if request.application and approved.get("Application") != request.application:
        raise InvalidRequestError(
            f"{approval} is for the application {approved.get('Application')}, not {request.application}. "
            f"{_REQUEST_ANOTHER}"
        )
    return decision(execution)


def is_granted(execution: dict[str, Any]) -> bool:
    """Return whether the approval was granted, even if the promotion failed afterwards."""
    return bool(_step(execution).get("StepStatus") == "Success")


def decision(execution: dict[str, Any]) -> Decision:
    """Return the decision of the approval step.

    AWS does not document the format of ApproverDecisions. An entry that is not a JSON object with an approver is
    returned unchanged.
    """
    approvers, comments = [], []
    for text in _step(execution).get("Outputs", {}).get("ApproverDecisions", []):
        for entry in _entries(text):
            approvers.append(_string(entry.get("Approver") or entry.get("approver") or text))
            comments.append(_string(entry.get("Comment") or entry.get("comment") or ""))
    return Decision(
        by=", ".join(approvers)[:_MAXIMUM_CHARACTERS],
        comment="; ".join(comment for comment in comments if comment)[:_MAXIMUM_CHARACTERS],
    )


def _string(value: Any) -> str:
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
