"""The approval of a candidate: an execution of the approval runbook in Systems Manager Automation."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from promotion.aws import responses, strict_json
from promotion.aws.aws_errors import none_if_not_found
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord

APPROVE_STEP = "Approve"
"""The name of the runbook's aws:approve step."""

_MAXIMUM_CHARACTERS = 1000
_SHOWN = 200

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


def waiting(ssm: Any, runbook: str) -> Iterator[tuple[str, str]]:
    """Yield the ID of each execution of the `runbook` that waits for a decision, and the execution that requests it."""
    filters = [
        {"Key": "DocumentNamePrefix", "Values": [runbook]},
        {"Key": "ExecutionStatus", "Values": ["Waiting"]},
    ]
    for page in ssm.get_paginator("describe_automation_executions").paginate(Filters=filters):
        for summary in page["AutomationExecutionMetadataList"]:
            found = find(ssm, summary["AutomationExecutionId"])
            if found and found["DocumentName"] == runbook:
                yield found["AutomationExecutionId"], parameters(found).get("RequestedBy", "")


@dataclasses.dataclass(frozen=True)
class Policy:
    """Whether the stage requires an approval, and how it is granted, as the stage is deployed.

    `runbook` is the name of the runbook, `minimum` the number of `approvers` that must approve, `seconds` the time that
    they have, and `requester` the name of the role that starts the runbook.
    """

    required: bool
    runbook: str
    approvers: tuple[str, ...]
    minimum: int
    requester: str
    seconds: int

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Policy:
        """Build the policy from the object in the definition; `approvers` are separated by commas."""
        return cls(**value | {"approvers": tuple(value["approvers"].split(","))})

    def check(self) -> None:
        """Raise PromotionRefusedError if nobody could approve: more approvals are required than there are approvers."""
        if self.minimum > len(set(self.approvers)):
            raise PromotionRefusedError(
                f"The stage requires {self.minimum} approvals (MinimumApprovals), but has only "
                f"{len(set(self.approvers))} approvers (Approvers): {', '.join(self.approvers)}. No approval was "
                "requested. Change one of these parameters of the stack, and start the promotion again."
            )


@dataclasses.dataclass(frozen=True)
class Decision:
    """The approvers and their comments, and the digest of the deployment that they approved."""

    by: str = ""
    comment: str = ""
    deployment_digest: str | None = None


def admit(ssm: Any, policy: Policy, identifier: str | None, expected: Mapping[str, str | None]) -> Decision:
    """Return the decision of an approval, or an empty one without an approval; raise as `granted_decision` does."""
    return granted_decision(read(ssm, identifier), policy, expected) if identifier else Decision()


def granted_decision(execution: dict[str, Any], policy: Policy, expected: Mapping[str, str | None]) -> Decision:
    """Return the decision that admits a candidate.

    `execution` is GetAutomationExecution's AutomationExecution; `expected` are the parameters of the runbook that
    identify the candidate. Raise InvalidRequestError if the approval has ended, covers another candidate, or was not
    granted by the deployed runbook, requested by the deployed function and decided by the configured approvers.
    """
    approval = f"The approval {execution['AutomationExecutionId']}"
    if execution["DocumentName"] != policy.runbook:
        raise InvalidRequestError(
            f"{approval} is an execution of the runbook {execution['DocumentName']}, not of {policy.runbook}. "
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
    if difference := _difference(execution, policy):
        raise InvalidRequestError(
            f"{approval} was not granted as this stage is deployed: {difference}. Find out who changed or started the "
            f"runbook {policy.runbook}. {_REQUEST_ANOTHER}"
        )
    approved = parameters(execution)
    for name, value in expected.items():
        if approved.get(name) != value:
            raise InvalidRequestError(
                f"{approval} is for the {name} {approved.get(name)}, not {value}. It covers only the approved "
                f"candidate. {_REQUEST_ANOTHER}"
            )
    return dataclasses.replace(decision(execution), deployment_digest=approved.get("DeploymentDigest", ""))


def parameters(execution: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of the runbook's execution, each of which has one value."""
    return {name: values[0] for name, values in execution.get("Parameters", {}).items() if values}


def assert_admitted(ssm: Any, table: PromotionTable, policy: Policy, execution: str, record: PromotionRecord) -> None:
    """Raise InvalidRequestError unless an approval, if the stage requires one, still admits the planned promotion.

    The approval is used up: only `execution` can repeat the call.
    """
    identifier = record["approval"]
    if not (policy.required or identifier):
        return
    if not identifier:
        raise InvalidRequestError(f"The stage {record['stage']} requires an approval, but this promotion has none.")
    expected = {
        "Application": record["application"],
        "SourceKind": record["source_kind"],
        "SourceName": record["source_name"],
        "Digest": record["digest"],
        "DeploymentDigest": record["deployment_digest"],
    }
    granted_decision(read(ssm, identifier), policy, expected)
    item = {"kind": "used-approval", "key": identifier, "execution": execution}
    if not table.put(item, "attribute_not_exists(kind) OR execution = :execution", execution=execution):
        raise InvalidRequestError(
            f"The approval {identifier} was already used by another execution of this state machine. An approval is "
            f"valid once. {_REQUEST_ANOTHER}"
        )


def _difference(execution: dict[str, Any], policy: Policy) -> str | None:
    """Return how the approval differs from one of the deployed runbook, or None."""
    starter, approve = execution.get("ExecutedBy", ""), _step(execution)
    if f":assumed-role/{policy.requester}/" not in starter:
        return f"it was started by {starter or 'nobody'}, not by the role {policy.requester}"
    if approve.get("Action") != "aws:approve":
        return f"its step {APPROVE_STEP} has the action {approve.get('Action')}, not aws:approve"
    approvers, minimum = (_input(approve, name) for name in ("Approvers", "MinRequiredApprovals"))
    if not isinstance(approvers, list) or set(approvers) != set(policy.approvers):
        return f"its Approvers are {json.dumps(approvers)[:_MAXIMUM_CHARACTERS]}, not {json.dumps(policy.approvers)}"
    if str(minimum) != str(policy.minimum):
        return f"its MinRequiredApprovals is {minimum}, not {policy.minimum}"
    decisions = _decisions(approve)
    for each in decisions:
        if each["Decision"] != "Approve":
            return (
                f"the decision of {each['Approver'][:_SHOWN]} is {each['Decision'][:_SHOWN] or 'unknown'}, not Approve"
            )
    known = {next((entry for entry in policy.approvers if _names(entry, each["Approver"])), None) for each in decisions}
    if len(known - {None}) < policy.minimum:
        found = ", ".join(each["Approver"] for each in decisions)[:_MAXIMUM_CHARACTERS]
        return f"it was approved by {found or 'nobody'}, not by {policy.minimum} of {', '.join(policy.approvers)}"
    return None


def _input(step: dict[str, Any], name: str) -> Any:
    """Return an input of a step, which Systems Manager reports as JSON, or None."""
    try:
        return strict_json.read(step.get("Inputs", {}).get(name, "null"))
    except ValueError:
        return None


def _names(entry: str, approver: str) -> bool:
    """Return whether an entry of the approvers (the name or ARN of a user, role or session) names `approver`.

    `approver` is the ARN of a user or of a role's session. Two sessions of a role are the same approver.
    """
    if ":role/" in entry:
        account, role = entry.split(":")[4], entry.rsplit("/", 1)[-1]
        return re.fullmatch(rf"arn:[a-z-]+:sts::{account}:assumed-role/{re.escape(role)}/[^/]+", approver) is not None
    return approver == entry or (":user/" in approver and approver.rsplit("/", 1)[-1] == entry)


def is_granted(execution: dict[str, Any]) -> bool:
    """Return whether the approval was granted, even if the promotion failed afterwards."""
    return bool(_step(execution).get("StepStatus") == "Success")


def decision(execution: dict[str, Any]) -> Decision:
    """Return the decision of the approval step."""
    decisions = _decisions(_step(execution))
    return Decision(
        by=", ".join(each["Approver"] for each in decisions)[:_MAXIMUM_CHARACTERS],
        comment="; ".join(each["Comment"] for each in decisions if each["Comment"])[:_MAXIMUM_CHARACTERS],
    )


def rejecters(execution: dict[str, Any]) -> str:
    """Return those who decided otherwise than to approve, or whose decision is unknown; "" if nobody did."""
    others = [each["Approver"] for each in _decisions(_step(execution)) if each["Decision"] != "Approve"]
    return ", ".join(others)[:_MAXIMUM_CHARACTERS]


def _decisions(step: dict[str, Any]) -> list[dict[str, str]]:
    """Return the Approver, Decision and Comment of each decision.

    AWS documents only that ApproverDecisions is JSON. A user quotes one with these keys
    (https://repost.aws/questions/QU5C69u39dSR63RgqyIYtDYQ). In any other format, the text is returned as the approver.
    """
    return [
        {"Approver": _string(entry.get("Approver") or text), "Decision": "", "Comment": ""}
        | {name: _string(entry[name]) for name in ("Decision", "Comment") if name in entry}
        for text in step.get("Outputs", {}).get("ApproverDecisions", [])
        for entry in _entries(text)
    ]


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        value = strict_json.read(text)
    except ValueError:
        return [{"Approver": text}]
    entries = value if isinstance(value, list) else [value]
    return [entry if isinstance(entry, dict) else {"Approver": entry} for entry in entries]


def _step(execution: dict[str, Any]) -> dict[str, Any]:
    steps = execution.get("StepExecutions", [])
    return next((step for step in steps if step.get("StepName") == APPROVE_STEP), {})
