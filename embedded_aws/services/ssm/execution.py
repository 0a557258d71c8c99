"""One execution of a runbook: its steps in a thread of their own, as "Automation statuses" names how they stand.

After Systems Manager's "Automation actions reference" (automation-actions), "Handling timeouts in runbooks"
(automation-handling-timeouts) and "Amazon EventBridge event examples" (monitoring-systems-manager-event-examples).
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
import uuid
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.iam import clients
from embedded_aws.kernel.background import Background
from embedded_aws.services.events import api as events
from embedded_aws.services.ssm import runbook
from embedded_aws.services.ssm.actions import ACTIONS, Outputs, RejectedError, StepFailedError, StepInterruptedError
from embedded_aws.services.ssm.runbook import Runbook, Step

_PAUSE_BETWEEN_ATTEMPTS = 1.0
_NO_OUTPUT = "No output available yet because the step is not successfully executed"


class _TimedOutError(StepInterruptedError):
    pass


class _CancelledError(StepInterruptedError):
    pass


class _StoppedError(Exception):
    """The embedded AWS ends: everything stays as it is."""


class SignalError(Exception):
    """A signal the execution has no use for."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def service_call(account: str, region: str, execution_id: str) -> clients.ServiceCall:
    """As whom Systems Manager takes the assume role of an automation."""
    arn = f"arn:aws:ssm:{region}:{account}:automation-execution/{execution_id}"
    return clients.ServiceCall("ssm.amazonaws.com", arn)


@dataclasses.dataclass
class StepExecution:
    step: Step
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    inputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    outputs: Outputs = dataclasses.field(default_factory=dict)
    failure: str = ""


class Execution:
    """A started runbook. Its thread is the only one to change it, but for signals and the wish to stop.

    `parameters` are those that were given, `arguments` have the defaults of the others as well.
    """

    def __init__(
        self,
        runbook: Runbook,
        document: tuple[str, str],
        parameters: dict[str, list[str]],
        arguments: dict[str, list[str]],
        account: str,
        region: str,
        access_key_id: str,
        assume_role: str,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.document_name, self.document_version = document
        self.parameters = parameters
        self.arguments = arguments
        self.account = account
        self.region = region
        self.executed_by = clients.caller(access_key_id).arn
        self.status = "Pending"
        self.started = _now()
        self.ended: datetime.datetime | None = None
        self.failure = ""
        self.steps = {step.name: StepExecution(step) for step in runbook.steps.values()}
        self.current: StepExecution | None = None
        self._stop = ""
        self._lock = threading.Lock()
        self._runbook = runbook
        self._access_key_id = access_key_id
        self._assume_role = assume_role
        self._approval: _Approval | None = None

    @property
    def outputs(self) -> Outputs:
        return {name: self._output(name) for name in self._runbook.outputs}

    def run(self, background: Background) -> None:
        """Do the steps, one after the other, until one ends it."""
        try:
            self._run(background)
        except _StoppedError:
            return

    def decide(self, caller: clients.Caller, decision: str, comment: str) -> None:
        """Take an approver's decision; raises SignalError."""
        if self._approval is None:
            raise SignalError(f"Automation execution {self.id} is not waiting for an approval.")
        self._approval.decide(caller, decision, comment)

    def stop(self, kind: str) -> None:
        """`Cancel` ends the running step as well, `Complete` only what would follow it; raises SignalError."""
        with self._lock:
            if self.ended:
                raise SignalError(f"Automation execution {self.id} has already ended.")
            self._stop = kind
            if self.is_cancelled:
                self.status = "Cancelling"

    @property
    def is_cancelled(self) -> bool:
        return self._stop == "Cancel"

    def client(self, service: str) -> Any:
        """By the assume role or, without one, in the context of who started the automation (automation-setup)."""
        if not self._assume_role:
            return clients.client_as_caller(service, self._access_key_id, self.region)
        try:
            by = service_call(self.account, self.region, self.id)
            return clients.client_as_role(service, self._assume_role, f"Automation-{self.id}", by, self.region)
        except ClientError as error:
            raise StepFailedError(f"The defined assume role is unable to be assumed. {error}") from error

    def _run(self, background: Background) -> None:
        self.status = "InProgress"
        status = "Success"
        name = next(iter(self.steps))
        while name and not self._stop:
            current = self.current = self.steps[name]
            jump = self._run_step(_Run(self, current, background))
            if current.status not in ("Success", "Cancelled") and current.step.is_critical and status == "Success":
                status = self._verdict(current)
                self.failure = current.failure
            name = self._next(current, jump)
        if self.is_cancelled:
            self._clean_up(background)
            status = "Cancelled"
        with self._lock:
            self.current = None
            self.ended = _now()
            self.status = status
        self._tell("Execution", status, self.started, self.ended, {"ExecutedBy": self.executed_by})

    def _verdict(self, failed: StepExecution) -> str:
        """A rejection is a step's failure, but the automation's status has a word of its own for it."""
        return "Rejected" if failed.outputs.get("ApprovalStatus") == ["Rejected"] else failed.status

    def _next(self, done: StepExecution, jump: str) -> str:
        step = done.step
        if done.status == "Success":
            if jump:
                return jump
            return "" if step.is_end else step.next_step or self._runbook.step_after(step.name)
        # The API says of IsEnd that it ends the automation whether the step succeeds or fails. A rejected or overdue
        # approval follows onFailure as any failure does: no page makes an exception for aws:approve.
        if step.is_end or step.on_failure.lower() == "abort":
            return ""
        if step.on_failure.startswith("step:"):
            return step.on_failure.removeprefix("step:")
        return step.next_step or self._runbook.step_after(step.name)

    def _clean_up(self, background: Background) -> None:
        """After a cancellation, the steps that the cancelled one's onCancel leads to."""
        name = self.current.step.on_cancel if self.current else ""
        name = name.removeprefix("step:") if name.startswith("step:") else ""
        while name:
            current = self.current = self.steps[name]
            name = self._next(current, self._run_step(_Run(self, current, background, can_be_cancelled=False)))

    def _run_step(self, run: _Run) -> str:
        """Do one step, as often as it may be tried; what comes is the step it jumps to."""
        current = run.current
        current.started, current.ended = _now(), None
        for attempt in range(1, current.step.max_attempts + 1):
            current.status, current.failure = "InProgress", ""
            try:
                if attempt > 1:
                    run.pause(_PAUSE_BETWEEN_ATTEMPTS)
                run.do()
                current.status = "Success"
                break
            except RejectedError as error:
                current.status, current.failure = "Failed", str(error)
                break
            except (StepFailedError, runbook.UnresolvedError) as error:
                current.status, current.failure = "Failed", str(error)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                current.status, current.failure = "Failed", f"The step's inputs cannot be understood: {error!r}"
            except _TimedOutError:
                seconds = current.step.timeout_seconds
                current.status, current.failure = "TimedOut", f"Step timed out after {seconds:g} seconds."
            except _CancelledError:
                current.status = "Cancelled"
                break
            finally:
                self._approval = None
        self.status = "Cancelling" if self.is_cancelled else "InProgress"
        current.ended = _now()
        details = {"StepName": current.step.name, "Action": current.step.action}
        self._tell("Step", current.status, current.started, current.ended, details)
        return run.jump

    def value_of(self, variable: str) -> Any:
        """What a `{{ variable }}` stands for; raises UnresolvedError."""
        now = _now()
        system = {
            "global:ACCOUNT_ID": self.account,
            "global:REGION": self.region,
            "global:AWS_PARTITION": "aws",
            "global:DATE": now.strftime("%Y-%m-%d"),
            "global:DATE_TIME": now.strftime("%Y-%m-%d_%H.%M.%S"),
            "automation:EXECUTION_ID": self.id,
        }
        if variable in system:
            return system[variable]
        if variable in self.arguments:
            return runbook.typed(self.arguments[variable], self._runbook.parameters[variable])
        step, _, name = variable.partition(".")
        values = self.steps[step].outputs.get(name)
        if values is None:
            raise runbook.UnresolvedError(f"There is no output {name} of the step {step}.")
        return values[0] if len(values) == 1 else values

    def wait_for(self, current: StepExecution, approvers: list[str]) -> list[dict[str, str]]:
        """Stand as waiting; the list returned fills with decisions."""
        self._approval = _Approval(approvers)
        current.status = self.status = "Waiting"
        return self._approval.decisions

    def _output(self, name: str) -> list[str]:
        step, _, output = name.partition(".")
        return self.steps[step].outputs.get(output, [_NO_OUTPUT]) if step in self.steps else self.arguments[name]

    def _tell(
        self, what: str, status: str, started: datetime.datetime, ended: datetime.datetime, more: dict[str, str]
    ) -> None:
        detail = {
            "ExecutionId": self.id,
            "Definition": self.document_name,
            "DefinitionVersion": float(self.document_version),
            # The event's spelling is not the API's.
            "Status": "Canceled" if status == "Cancelled" else status,
            "StartTime": _american(started),
            "EndTime": _american(ended),
            "Time": (ended - started).total_seconds() * 1000,
            **more,
        }
        prefix = f"arn:aws:ssm:{self.region}:{self.account}"
        events.emit(
            self.account,
            "aws.ssm",
            f"EC2 Automation {what} Status-change Notification",
            detail,
            [
                f"{prefix}:automation-execution/{self.id}",
                f"{prefix}:automation-definition/{self.document_name}:{self.document_version}",
            ],
            self.region,
        )


def _american(moment: datetime.datetime) -> str:
    return f"{moment:%b} {moment.day}, {moment.year} {moment.hour % 12 or 12}:{moment:%M:%S %p}"


class _Approval:
    """Who may decide, and who has."""

    def __init__(self, approvers: list[str]) -> None:
        self._approvers = approvers
        self._heard: set[str] = set()
        self.decisions: list[dict[str, str]] = []

    def decide(self, caller: clients.Caller, decision: str, comment: str) -> None:
        entry = next((entry for entry in self._approvers if self._is_named(entry, caller)), None)
        if entry is None:
            raise SignalError(f"{caller.arn} is not one of the approvers: {', '.join(self._approvers)}.")
        # One approver, one decision: two sessions of a role are no two people.
        if entry in self._heard:
            raise SignalError(f"The approver {entry} has already decided.")
        self._heard.add(entry)
        self.decisions.append(
            {"approver": caller.arn, "decision": decision, "comment": comment, "time": _now().isoformat()}
        )

    def _is_named(self, entry: str, caller: clients.Caller) -> bool:
        """Approvers are named as automation-action-approve says: user name, user, role or assumed-role ARN."""
        is_user = ":user/" in caller.arn and caller.arn.endswith(f"/{entry}")
        return is_user or entry in (caller.arn, caller.principal)


class _Run:
    """A step as its action sees it (`automation_actions.Run`)."""

    def __init__(
        self, execution: Execution, current: StepExecution, background: Background, can_be_cancelled: bool = True
    ) -> None:
        self.current = current
        self.inputs: dict[str, Any] = {}
        self.requested_outputs = current.step.outputs
        self.outputs: Outputs = {}
        self.jump = ""
        self.decisions: list[dict[str, str]] = []
        self._execution = execution
        self._background = background
        self._can_be_cancelled = can_be_cancelled
        self._deadline: float | None = None

    @property
    def title(self) -> str:
        execution = self._execution
        return (
            f"Step {self.current.step.name} of automation {execution.document_name} in account {execution.account}, "
            f"execution {execution.id}"
        )

    def do(self) -> None:
        """One attempt at the step."""
        step = self.current.step
        self._deadline = None if step.timeout_seconds is None else time.monotonic() + step.timeout_seconds
        self.outputs = self.current.outputs = {}
        self.inputs = self.current.inputs = runbook.resolve(step.inputs, self._execution.value_of)
        ACTIONS[step.action].do(self)

    def client(self, service: str) -> Any:
        return self._execution.client(service)

    def ask(self, approvers: list[str]) -> None:
        self.decisions = self._execution.wait_for(self.current, approvers)

    def pause(self, seconds: float) -> None:
        if not self._background.pause(seconds):
            raise _StoppedError
        if self._can_be_cancelled and self._execution.is_cancelled:
            raise _CancelledError
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise _TimedOutError
