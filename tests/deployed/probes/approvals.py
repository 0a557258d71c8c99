"""Systems Manager Automation: approvals, their statuses and decisions, and what a runbook waits for."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from tests.deployed.account import Account, allow, error_of, trusting
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost

_STEP = [Cost("Automation step", 1)]
_ENDED = ("Success", "Failed", "TimedOut", "Cancelled", "Rejected", "CompletedWithSuccess", "CompletedWithFailure")
_CAPACITY = 100


def _runbook(account: Account, label: str, *steps: dict[str, Any], form: str = "JSON", **content: Any) -> str:
    """Create a runbook with these steps, and return its name. JSON is YAML, too; only YAML can contain scripts."""
    name, ssm = account.name(label), account.client("ssm")
    account.ledger.add("ssm", "delete_document", Name=name)
    named = [{"name": f"step{number}", **step} for number, step in enumerate(steps)]
    body = json.dumps({"schemaVersion": "0.3", **content, "mainSteps": named})
    ssm.create_document(Name=name, Content=body, DocumentType="Automation", DocumentFormat=form)
    return name


def _start(account: Account, runbook: str, **parameters: str) -> str:
    """Start a runbook, and return the ID of its execution, which the end of the run cancels."""
    request = {"Parameters": {key: [value] for key, value in parameters.items()}} if parameters else {}
    found = account.client("ssm").start_automation_execution(DocumentName=runbook, **request)
    identifier = str(found["AutomationExecutionId"])
    account.ledger.add("ssm", "stop_automation_execution", AutomationExecutionId=identifier, Type="Cancel")
    return identifier


def _describe(account: Account, identifier: str) -> dict[str, Any]:
    found = account.client("ssm").get_automation_execution(AutomationExecutionId=identifier)
    return dict(found["AutomationExecution"])


def _ended(account: Account, identifier: str) -> dict[str, Any]:
    def poll() -> dict[str, Any] | None:
        found = _describe(account, identifier)
        return found if found["AutomationExecutionStatus"] in _ENDED else None

    return account.wait(poll, f"the end of the automation {identifier}", 600)


def _waiting(account: Account, label: str, *approvers: str, seconds: int = 3600) -> str:
    """Start a runbook that requests an approval, and return the ID of its execution when it waits."""
    step = {"action": "aws:approve", "timeoutSeconds": seconds, "onFailure": "Abort"}
    step["inputs"] = {"Approvers": list(approvers or [account.caller]), "MinRequiredApprovals": 1}
    identifier = _start(account, _runbook(account, label, step))

    def poll() -> bool | None:
        # A short time-out may have ended it already.
        return True if _describe(account, identifier)["AutomationExecutionStatus"] in ("Waiting", *_ENDED) else None

    account.wait(poll, f"the approval {identifier}", 300)
    return identifier


def _signal(account: Account, identifier: str, kind: str, client: Any = None) -> None:
    (client or account.client("ssm")).send_automation_signal(
        AutomationExecutionId=identifier, SignalType=kind, Payload={"Comment": ['a "comment"']}
    )


@probe(
    "An approval has the status Waiting, and Success after its only approver has approved",
    documented="Systems Manager user guide, Understanding automation statuses; functions/promotion/history/approval.py",
    believed="Waiting, Success",
    costs=_STEP,
)
def statuses_of_a_granted_approval(account: Account) -> str:
    """Approve, and read the status before and after."""
    identifier = _waiting(account, "grant")
    before = _describe(account, identifier)["AutomationExecutionStatus"]
    _signal(account, identifier, "Approve")
    return f"{before}, {_ended(account, identifier)['AutomationExecutionStatus']}"


@probe(
    "ApproverDecisions is a list of JSON objects with Approver, Decision, ApprovalDecisionTime and Comment; Approver "
    "is the ARN of the caller",
    documented="assumed: functions/promotion/history/approval.py, embedded_aws/services/ssm/execution.py",
    believed="ApprovalDecisionTime, Approver, Comment, Decision; the caller; Approve",
    costs=_STEP,
)
def form_of_the_decisions(account: Account) -> str:
    """Approve, and read the output of the step."""
    identifier = _waiting(account, "decisions")
    _signal(account, identifier, "Approve")
    decision = _decision(_ended(account, identifier))
    whose = "the caller" if decision.get("Approver") == account.caller else decision.get("Approver")
    return f"{', '.join(sorted(decision))}; {whose}; {decision.get('Decision')}"


@probe(
    "A rejected approval fails its step, and the automation ends as Rejected",
    documented="assumed: functions/promotion/history/rejection.py",
    believed="automation Rejected, step Failed",
    costs=_STEP,
)
def statuses_of_a_rejected_approval(account: Account) -> str:
    """Reject, and read the statuses."""
    identifier = _waiting(account, "reject")
    _signal(account, identifier, "Reject")
    return _statuses(_ended(account, identifier))


@probe(
    "A canceled approval ends as Cancelled",
    documented="Systems Manager user guide, Understanding automation statuses",
    believed="automation Cancelled, step Cancelled",
    costs=_STEP,
)
def statuses_of_a_canceled_approval(account: Account) -> str:
    """Cancel, and read the statuses."""
    identifier = _waiting(account, "cancel")
    account.client("ssm").stop_automation_execution(AutomationExecutionId=identifier, Type="Cancel")
    return _statuses(_ended(account, identifier))


@probe(
    "An approval that nobody decides ends as TimedOut",
    documented="Systems Manager user guide, aws:approve (timeoutSeconds)",
    believed="automation TimedOut, step TimedOut",
    costs=_STEP,
)
def statuses_of_a_timed_out_approval(account: Account) -> str:
    """Request an approval with a short time-out, and read the statuses."""
    return _statuses(_ended(account, _waiting(account, "timeout", seconds=1 if account.is_embedded else 60)))


def _decision(automation: dict[str, Any]) -> dict[str, Any]:
    """Return the only decision in the outputs of an approval's step."""
    (text,) = automation["StepExecutions"][0]["Outputs"]["ApproverDecisions"]
    found = json.loads(text)
    (decision,) = found if isinstance(found, list) else [found]
    return dict(decision)


def _statuses(automation: dict[str, Any]) -> str:
    (step,) = automation["StepExecutions"]
    return f"automation {automation['AutomationExecutionStatus']}, step {step['StepStatus']}"


@probe(
    "GetAutomationExecution returns the end of an automation no later than EventBridge delivers its event",
    documented="assumed: functions/promotion/history/rejection.py",
    believed="Rejected",
    costs=[*_STEP, Cost("EventBridge event", 5), Cost("SQS request", 60)],
)
def the_event_of_an_ended_approval(account: Account) -> str:
    """Receive the event of a rejection, and then read the status."""
    url, arn = account.queue("ended")
    identifier = _waiting(account, "ended")
    detail = {"ExecutionId": [identifier], "Status": ["Failed", "Rejected"]}
    account.rule("ended", {"source": ["aws.ssm"], "detail": detail}, {"Arn": arn})
    account.pause(0 if account.is_embedded else 60)
    _signal(account, identifier, "Reject")
    found = account.messages(url, 1)
    status = str(_describe(account, identifier)["AutomationExecutionStatus"])
    return status if found else f"no event; {status}"


@probe(
    "A session of a role approves if the ARN of the role is an approver",
    documented="Systems Manager user guide, aws:approve (Approvers); form of the decision assumed: "
    "functions/promotion/history/approval.py",
    believed="Success by arn:…:sts::…:assumed-role/…/probe",
    costs=_STEP,
)
def a_role_approves(account: Account) -> str:
    """Approve with a session of a role that is the only approver."""
    role = account.role("approver", [allow(["ssm:SendAutomationSignal", "ssm:GetAutomationExecution"])])
    identifier = _waiting(account, "role", role)
    client = account.client("ssm", account.session_of(role))
    account.settling(lambda: _signal(account, identifier, "Approve", client), "AccessDenied")
    automation = _ended(account, identifier)
    decision = _decision(automation)
    session = f"arn:{account.partition}:sts::{account.number}:assumed-role/{role.rpartition('/')[2]}/probe"
    by = "arn:…:sts::…:assumed-role/…/probe" if decision["Approver"] == session else decision["Approver"]
    return f"{automation['AutomationExecutionStatus']} by {by}"


@probe(
    "A caller that is not an approver cannot approve",
    documented="Systems Manager user guide, aws:approve (Approvers)",
    believed="InvalidAutomationSignalException",
    costs=_STEP,
)
def others_cannot_approve(account: Account) -> str:
    """Approve as a caller that is not an approver."""
    role = account.role("other", [allow("ssm:SendAutomationSignal")])
    return error_of(lambda: _signal(account, _waiting(account, "other", role), "Approve"))


@probe(
    "aws:executeStateMachine waits until the execution has ended",
    documented="assumed: embedded_aws/services/ssm/actions.py",
    believed="Success with the status SUCCEEDED",
    costs=[*_STEP, Cost("state transition", 2)],
)
def a_runbook_waits_for_a_state_machine(account: Account) -> str:
    """Run a runbook with a state machine that waits, and read the status in the step's outputs."""
    role = account.role("waits", [], trusting("states"))
    wait = {"Type": "Wait", "Seconds": 1 if account.is_embedded else 10, "End": True}
    machine = account.machine("waits", {"StartAt": "Wait", "States": {"Wait": wait}}, role)
    actions = ["states:StartExecution", "states:DescribeExecution", "states:StopExecution", "events:*"]
    runner = account.role("runs", [allow(actions)], trusting("ssm"))
    step = {"action": "aws:executeStateMachine", "inputs": {"stateMachineArn": machine}}
    runbook = _runbook(account, "waits", step, assumeRole=runner)
    identifier = account.settling(lambda: _start(account, runbook), "unable to be assumed")
    automation = _ended(account, identifier)
    status = automation["StepExecutions"][0].get("Outputs", {}).get("status", ["unknown"])[0]
    return f"{automation['AutomationExecutionStatus']} with the status {status}"


@probe(
    "A script without a role gets the JSON output of a step in its InputPayload, and its text of 1,000 characters in "
    "two lines is an output of the runbook",
    documented="Systems Manager user guide, aws:executeScript; quotes in the input and length of an output assumed: "
    "people.yaml, PreviewRunbook",
    believed="Success, 1000 characters in 2 lines",
    costs=[Cost("Automation step", 2)],
)
def a_script_shows_an_output(account: Account) -> str:
    """Return a JSON string from one script, read it in another one, and return its text."""
    first = {"script": "return {'text': json.dumps({'text': 'x' * 499 + '\\n' + 'y' * 500})}", "payload": {}}
    second = {
        "script": "return {'text': json.loads(events['given'])['text']}",
        "payload": {"given": "{{ step0.Text }}"},
    }
    steps = [
        {
            "action": "aws:executeScript",
            "outputs": [{"Name": "Text", "Selector": "$.Payload.text", "Type": "String"}],
            "inputs": {
                "Runtime": "python3.11",
                "Handler": "show",
                "InputPayload": each["payload"],
                "Script": f"import json\ndef show(events, context):\n    {each['script']}\n",
            },
        }
        for each in (first, second)
    ]
    runbook = _runbook(account, "script", *steps, form="YAML", outputs=["step1.Text"])
    automation = _ended(account, _start(account, runbook))
    (text,) = automation["Outputs"]["step1.Text"]
    return f"{automation['AutomationExecutionStatus']}, {len(text)} characters in {len(text.splitlines())} lines"


@probe(
    "A document cannot be updated to the content of an earlier version",
    documented="Systems Manager API reference, UpdateDocument (DuplicateDocumentContent), does not say which contents "
    "are compared; assumed: docs/deploying.md, Update a stack",
    believed="DuplicateDocumentContent",
)
def a_document_with_an_earlier_content(account: Account) -> str:
    """Update a document, and update it again to its first content."""
    ssm = account.client("ssm")
    runbook = _runbook(account, "content", {"action": "aws:sleep", "inputs": {"Duration": "PT1S"}})
    content = ssm.get_document(Name=runbook)["Content"]
    latest = {"Name": runbook, "DocumentVersion": "$LATEST"}
    ssm.update_document(Content=content.replace("PT1S", "PT2S"), **latest)
    return error_of(lambda: ssm.update_document(Content=content, **latest))


@probe(
    "allowedPattern must match a part of a parameter's value, not the whole value",
    documented="assumed: embedded_aws/services/ssm/runbook.py",
    believed="accepted",
    costs=_STEP,
)
def a_pattern_matches_a_part(account: Account) -> str:
    """Start a runbook with a value of which a part matches the pattern."""
    parameters = {"Value": {"type": "String", "allowedPattern": "b"}}
    sleep = {"action": "aws:sleep", "inputs": {"Duration": "PT1S"}}
    runbook = _runbook(account, "pattern", sleep, parameters=parameters)
    return error_of(lambda: _start(account, runbook, Value="abc"))


@probe(
    f"More than {_CAPACITY} approvals can be pending: an automation that waits does not count as a concurrent one, or "
    "a further one is queued",
    documented="Systems Manager quotas (100 concurrent automations, 1,000 queued); assumed: docs/limits.md",
    believed=f"{_CAPACITY + 1} started",
    costs=[Cost("Automation step", _CAPACITY + 1)],
)
def a_hundred_and_one_approvals(account: Account) -> str:
    """Start more approvals than automations can run concurrently, and count those that were accepted."""
    inputs = {"Approvers": [account.caller], "MinRequiredApprovals": 1}
    runbook = _runbook(account, "many", {"action": "aws:approve", "inputs": inputs})
    started, refused = [], ""
    for _ in range(_CAPACITY + 1):
        try:
            started.append(_start(account, runbook))
        except ClientError as error:
            refused = str(error.response["Error"]["Code"])
        account.pause(0 if account.is_embedded else 0.3)
    says = f"{len(started)} started" + (f", then {refused}" if refused else "")
    for identifier in started:
        account.client("ssm").stop_automation_execution(AutomationExecutionId=identifier, Type="Cancel")
    return says
