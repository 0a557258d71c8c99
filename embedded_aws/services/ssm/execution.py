"""Execution of a runbook in its own thread, with the statuses of "Automation statuses".

Sources: "Automation actions reference" (automation-actions), "Handling timeouts in runbooks"
(automation-handling-timeouts) and "Amazon EventBridge event examples" (monitoring-systems-manager-event-examples) in
the user guide of Systems Manager.
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

_RETRY_SECONDS = 1.0
_NO_OUTPUT = "No output available yet because the step is not successfully executed"


class _TimedOutError(StepInterruptedError):
    pass


class _CancelledError(StepInterruptedError):
    pass


class _StoppedError(Exception):
    """The embedded AWS stops, and the execution keeps its status."""


class SignalError(Exception):
    """The execution cannot process the signal."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def service_call(account: str, region: str, execution_id: str) -> clients.ServiceCall:
    """Return the service call with which Systems Manager assumes the role of an automation."""
    arn = f"arn:aws:ssm:{region}:{account}:automation-execution/{execution_id}"
    return clients.ServiceCall("ssm.amazonaws.com", arn)


@dataclasses.dataclass
class StepExecution:
    """The status, inputs and outputs of a step in one execution."""

    step: Step
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    inputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    outputs: Outputs = dataclasses.field(default_factory=dict)
    failure: str = ""


class Execution:
    """A started runbook. Other threads only send signals and stop it.

    `parameters` are those of the request; `arguments` also contain the defaults of omitted parameters.
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
        self._stop_type = ""
        self._lock = threading.Lock()
        self._runbook = runbook
        self._access_key_id = access_key_id
        self._assume_role = assume_role
        self._approval: _Approval | None = None

    @property
    def outputs(self) -> Outputs:
        """The outputs of the runbook."""
        return {name: self._output(name) for name in self._runbook.outputs}

    def run(self, background: Background) -> None:
        """Run the steps one after the other."""
        try:
            self._run(background)
        except _StoppedError:
            return

    def decide(self, caller: clients.Caller, decision: str, comment: str) -> None:
        """Record an approver's decision; raise SignalError."""
        if self._approval is None:
            raise SignalError(f"Automation execution {self.id} is not waiting for an approval.")
        self._approval.decide(caller, decision, comment)

    def stop(self, stop_type: str) -> None:
        """Stop after the running step (`Complete`) or interrupt it (`Cancel`); raise SignalError."""
        with self._lock:
            if self.ended:
                raise SignalError(f"Automation execution {self.id} has already ended.")
            self._stop_type = stop_type
            if self.is_cancelled:
                self.status = "Cancelling"

    @property
    def is_cancelled(self) -> bool:
        """Whether the execution was stopped with the type `Cancel`."""
        return self._stop_type == "Cancel"

    def client(self, service: str) -> Any:
        """Return a client with the assume role or, without one, the credentials of the caller (automation-setup)."""
        if not self._assume_role:
            return clients.client_as_caller(service, self._access_key_id, self.region)
        try:
            call = service_call(self.account, self.region, self.id)
            return clients.client_as_role(service, self._assume_role, f"Automation-{self.id}", call, self.region)
        except ClientError as error:
            raise StepFailedError(f"The defined assume role is unable to be assumed. {error}") from error

    def _run(self, background: Background) -> None:
        self.status = "InProgress"
        status = "Success"
        name = next(iter(self.steps))
        while name and not self._stop_type:
            current = self.current = self.steps[name]
            jump = self._run_step(_Run(self, current, background))
            if current.status not in ("Success", "Cancelled") and current.step.is_critical and status == "Success":
                status = self._failure_status(current)
                self.failure = current.failure
            name = self._next_step(current, jump)
        if self.is_cancelled:
            self._clean_up(background)
            status = "Cancelled"
        with self._lock:
            self.current = None
            self.ended = _now()
            self.status = status
        self._emit("Execution", status, self.started, self.ended, {"ExecutedBy": self.executed_by})

    def _failure_status(self, failed: StepExecution) -> str:
        """Return the automation's status after a failed step; a rejected step has the status `Failed`."""
        return "Rejected" if failed.outputs.get("ApprovalStatus") == ["Rejected"] else failed.status

    def _next_step(self, ended: StepExecution, jump: str) -> str:
        step = ended.step
        if ended.status == "Success":
            if jump:
                return jump
            return "" if step.is_end else step.next_step or self._runbook.step_after(step.name)
        # According to the API reference, isEnd ends the automation whether the step succeeds or fails. onFailure
        # applies to a rejected approval or one that timed out, too: AWS documents no exception for aws:approve.
        if step.is_end or step.on_failure.lower() == "abort":
            return ""
        if step.on_failure.startswith("step:"):
            return step.on_failure.removeprefix("step:")
        return step.next_step or self._runbook.step_after(step.name)

    def _clean_up(self, background: Background) -> None:
        """Run the steps that onCancel of the canceled step leads to."""
        name = self.current.step.on_cancel if self.current else ""
        name = name.removeprefix("step:") if name.startswith("step:") else ""
        while name:
            current = self.current = self.steps[name]
            name = self._next_step(current, self._run_step(_Run(self, current, background, can_be_cancelled=False)))

    def _run_step(self, run: _Run) -> str:
        """Run one step with its retries and return the step that it jumps to, or an empty string."""
        current = run.current
        current.started, current.ended = _now(), None
        for attempt in range(1, current.step.max_attempts + 1):
            current.status, current.failure = "InProgress", ""
            try:
                if attempt > 1:
                    run.pause(_RETRY_SECONDS)
                run.attempt()
                current.status = "Success"
                break
            except RejectedError as error:
                current.status, current.failure = "Failed", str(error)
                break
            except (StepFailedError, runbook.UnresolvedError) as error:
                current.status, current.failure = "Failed", str(error)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                current.status, current.failure = "Failed", f"The step's inputs are invalid: {error!r}"
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
        self._emit("Step", current.status, current.started, current.ended, details)
        return run.jump

    def value_of(self, variable: str) -> Any:
        """Return the value of `{{ variable }}`; raise UnresolvedError."""
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
            raise runbook.UnresolvedError(f"The step {step} has no output {name}.")
        return values[0] if len(values) == 1 else values

    def wait_for(self, current: StepExecution, approvers: list[str]) -> list[dict[str, str]]:
        """Set the status to `Waiting` and return the list that decisions are added to."""
        self._approval = _Approval(approvers)
        current.status = self.status = "Waiting"
        return self._approval.decisions

    def _output(self, name: str) -> list[str]:
        step, _, output = name.partition(".")
        return self.steps[step].outputs.get(output, [_NO_OUTPUT]) if step in self.steps else self.arguments[name]

    def _emit(
        self, subject: str, status: str, started: datetime.datetime, ended: datetime.datetime, details: dict[str, str]
    ) -> None:
        detail = {
            "ExecutionId": self.id,
            "Definition": self.document_name,
            "DefinitionVersion": float(self.document_version),
            # The event spells the status differently from the API.
            "Status": "Canceled" if status == "Cancelled" else status,
            "StartTime": _event_time(started),
            "EndTime": _event_time(ended),
            "Time": (ended - started).total_seconds() * 1000,
            **details,
        }
        prefix = f"arn:aws:ssm:{self.region}:{self.account}"
        events.emit(
            self.account,
            "aws.ssm",
            f"EC2 Automation {subject} Status-change Notification",
            detail,
            [
                f"{prefix}:automation-execution/{self.id}",
                f"{prefix}:automation-definition/{self.document_name}:{self.document_version}",
            ],
            self.region,
        )


def _event_time(moment: datetime.datetime) -> str:
    return f"{moment:%b} {moment.day}, {moment.year} {moment.hour % 12 or 12}:{moment:%M:%S %p}"


class _Approval:
    """The approvers of a step and their decisions."""

    def __init__(self, approvers: list[str]) -> None:
        self._approvers = approvers
        self._decided: set[str] = set()
        self.decisions: list[dict[str, str]] = []

    def decide(self, caller: clients.Caller, decision: str, comment: str) -> None:
        entry = next((entry for entry in self._approvers if self._is_named(entry, caller)), None)
        if entry is None:
            raise SignalError(f"{caller.arn} is not one of the approvers: {', '.join(self._approvers)}.")
        # Each approver decides once; two sessions of a role are the same approver.
        if entry in self._decided:
            raise SignalError(f"The approver {entry} has already decided.")
        self._decided.add(entry)
        # The keys of ApproverDecisions that a user quotes (https://repost.aws/questions/QU5C69u39dSR63RgqyIYtDYQ); AWS
        # documents only that it is JSON. Assumed: the approver is the ARN of the caller, for a role of its session.
        self.decisions.append(
            {
                "Approver": caller.arn,
                "Decision": decision,
                "ApprovalDecisionTime": f"{_now():%Y-%m-%dT%H:%M:%S.%fZ}",
                "Comment": comment,
            }
        )

    def _is_named(self, entry: str, caller: clients.Caller) -> bool:
        """Return whether `entry` names the caller: a user name or the ARN of a user, role or session."""
        is_user = ":user/" in caller.arn and caller.arn.endswith(f"/{entry}")
        return is_user or entry in (caller.arn, caller.principal)


class _Run:
    """The running step (`actions.Run`)."""

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

    def attempt(self) -> None:
        """Run the step once."""
        step = self.current.step
        self._deadline = None if step.timeout_seconds is None else time.monotonic() + step.timeout_seconds
        self.outputs = self.current.outputs = {}
        self.inputs = self.current.inputs = runbook.resolve(step.inputs, self._execution.value_of)
        ACTIONS[step.action].run(self)

    def client(self, service: str) -> Any:
        return self._execution.client(service)

    def wait_for_decisions(self, approvers: list[str]) -> None:
        self.decisions = self._execution.wait_for(self.current, approvers)

    def pause(self, seconds: float) -> None:
        if not self._background.pause(seconds):
            raise _StoppedError
        if self._can_be_cancelled and self._execution.is_cancelled:
            raise _CancelledError
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise _TimedOutError
