"""Automation runbooks for tests: their creation, start, description and approval by an operator."""

from typing import Any

import yaml

from tests.embedded_aws.support.customers import DEV, client
from tests.support.waiting import wait_for

SLEEP = {"action": "aws:sleep", "inputs": {"Duration": "PT0.1S"}}
OPERATOR = f"arn:aws:iam::{DEV}:user/operator"


def make_runbook(name: str, *steps: dict[str, Any], **content: Any) -> None:
    """Create a runbook with these steps, which are named one, two, three, four by default."""
    named = [{"name": number, **step} for number, step in zip(("one", "two", "three", "four"), steps, strict=False)]
    client("ssm").create_document(
        Name=name,
        DocumentType="Automation",
        DocumentFormat="YAML",
        Content=yaml.safe_dump({"schemaVersion": "0.3", **content, "mainSteps": named}),
    )


def start(name: str, by: Any = None, **parameters: str) -> str:
    request = {"Parameters": {key: [value] for key, value in parameters.items()}} if parameters else {}
    response = (by or client("ssm")).start_automation_execution(DocumentName=name, **request)
    return str(response["AutomationExecutionId"])


def describe(execution_id: str) -> dict[str, Any]:
    response = client("ssm").get_automation_execution(AutomationExecutionId=execution_id)
    return dict(response["AutomationExecution"])


def ended(execution_id: str) -> dict[str, Any]:
    """Wait for the execution's end, and return it."""

    def ended_execution() -> dict[str, Any] | None:
        execution = describe(execution_id)
        return execution if "ExecutionEndTime" in execution else None

    return dict(wait_for(ended_execution))


def run(name: str, **parameters: str) -> dict[str, Any]:
    return ended(start(name, **parameters))


def step(execution: dict[str, Any], name: str = "one") -> dict[str, Any]:
    (found,) = (step for step in execution["StepExecutions"] if step["StepName"] == name)
    return dict(found)


def statuses(execution: dict[str, Any]) -> dict[str, str]:
    return {step["StepName"]: step["StepStatus"] for step in execution["StepExecutions"]}


def waiting(execution_id: str) -> dict[str, Any]:
    """Wait until the execution waits for approval, and return it."""

    def waiting_execution() -> dict[str, Any] | None:
        execution = describe(execution_id)
        return execution if execution["AutomationExecutionStatus"] == "Waiting" else None

    return dict(wait_for(waiting_execution))


def signal(execution_id: str, kind: str = "Approve", by: Any = None, comment: str = "") -> None:
    payload = {"Payload": {"Comment": [comment]}} if comment else {}
    (by or client("ssm")).send_automation_signal(AutomationExecutionId=execution_id, SignalType=kind, **payload)


def approve(*approvers: str, **inputs: Any) -> dict[str, Any]:
    return {"action": "aws:approve", "inputs": {"Approvers": list(approvers or ["operator"]), **inputs}}


def call(api: str, service: str = "ssm", **inputs: Any) -> dict[str, Any]:
    return {"action": "aws:executeAwsApi", "inputs": {"Service": service, "Api": api, **inputs}}
