"""Systems Manager Automation: the approval runbook, as many at once as the account may run, and an approver."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import uuid
from typing import Any

from tests.explorer.answers import AwsError
from tests.explorer.functions import EPOCH
from tests.explorer.world import ACCOUNT, EXECUTIONS, STAGE
from tests.scale.account import STAGE_ACCOUNT, Account, Client
from tests.scale.machine import StateMachine

APPROVER = f"arn:aws:iam::{ACCOUNT}:user/ann"
# Assumed: the approver looks every minute, and approves everything that waits. Systems Manager polls an execution.
APPROVER_SECONDS, POLL_SECONDS = 60.0, 10.0


@dataclasses.dataclass
class Automation:
    """An execution of the approval runbook."""

    id: str
    parameters: dict[str, list[str]]
    requested: float
    status: str = "Pending"
    decided: bool = False
    began: float = 0.0
    ended: float = 0.0


class Automations:
    """The automations of the stage's account, in the order of their start."""

    def __init__(self, account: Account, machine: StateMachine) -> None:
        self._account, self._simulation, self._machine = account, account.simulation, machine
        self.known: dict[str, Automation] = {}
        self._queue: collections.deque[Automation] = collections.deque()
        self._running = 0
        self.most_queued = 0

    @property
    def all_ended(self) -> bool:
        return all(each.ended for each in self.known.values())

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the response to a call of Automation."""
        match operation:
            case "StartAutomationExecution":
                return {"AutomationExecutionId": self._start(request).id}
            case "GetAutomationExecution":
                automation = self.known.get(request["AutomationExecutionId"])
                if automation is None:
                    raise AwsError("AutomationExecutionNotFoundException")
                return {"AutomationExecution": _description(automation)}
            case "DescribeAutomationExecutions":
                return {"AutomationExecutionMetadataList": []}
        raise AwsError("InvalidAutomationStatusUpdateException")

    def _start(self, request: dict[str, Any]) -> Automation:
        quotas = self._account.quotas
        if self._running >= quotas.automations and len(self._queue) >= quotas.queued:
            raise AwsError("AutomationExecutionLimitExceededException")
        identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, request["ClientToken"]))
        if identifier in self.known:
            return self.known[identifier]
        automation = Automation(identifier, request["Parameters"], self._simulation.now)
        self.known[identifier] = automation
        self._queue.append(automation)
        self.most_queued = max(self.most_queued, len(self._queue))
        self._next()
        return automation

    def _next(self) -> None:
        if self._queue and self._running < self._account.quotas.automations:
            self._running += 1
            self._simulation.start(self._run, self._queue.popleft())

    def _run(self, automation: Automation) -> None:
        automation.status, automation.began = "Waiting", self._simulation.now
        while not automation.decided:
            self._simulation.sleep(POLL_SECONDS)
        automation.status = "InProgress"
        values = {name: value[0] for name, value in automation.parameters.items()}
        given = {
            values["SourceKind"]: values["SourceName"],
            "application": values["Application"],
            "digest": values["Digest"],
            "approval": automation.id,
        }
        name = f"approved-{values['Application']}"
        self._machine.deliver(name, given)
        client = Client("stepfunctions", self._account.call)
        while client.describe_execution(executionArn=EXECUTIONS + name)["status"] == "RUNNING":
            self._simulation.sleep(POLL_SECONDS)
        automation.status, automation.ended = "Success", self._simulation.now
        self._running -= 1
        self._next()

    def approve_all(self) -> None:
        """Approve whatever waits, again and again, at the rate of the API."""
        while True:
            self._simulation.sleep(APPROVER_SECONDS)
            for automation in list(self.known.values()):
                if automation.status == "Waiting" and not automation.decided:
                    while not self._account.limiter.take(STAGE_ACCOUNT, "ssm", "SendAutomationSignal"):
                        self._simulation.sleep(0.5)
                    automation.decided = True


def _description(automation: Automation) -> dict[str, Any]:
    decision = json.dumps({"Approver": APPROVER, "Decision": "Approve"})
    step = {
        "StepName": "Approve",
        "Action": "aws:approve",
        "StepStatus": "Success" if automation.decided else "Waiting",
        "Inputs": {"Approvers": json.dumps([APPROVER]), "MinRequiredApprovals": "1"},
        "Outputs": {"ApproverDecisions": [decision] if automation.decided else []},
    }
    return {
        "AutomationExecutionId": automation.id,
        "DocumentName": f"model-promotion-{STAGE}",
        "AutomationExecutionStatus": automation.status,
        "ExecutionStartTime": EPOCH + datetime.timedelta(seconds=automation.requested),
        "ExecutedBy": f"arn:aws:sts::{ACCOUNT}:assumed-role/RequestApprovalFunctionRole/function",
        "Parameters": automation.parameters,
        "StepExecutions": [step],
    }
