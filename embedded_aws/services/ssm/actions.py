"""The actions of runbooks, as in "Systems Manager Automation actions reference" (automation-actions)."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from subprocess import PIPE
from typing import Any, Protocol

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, UnknownServiceError

from embedded_aws.kernel import json_paths

Outputs = dict[str, list[str]]

_MOST_APPROVERS = 10
_LONGEST_MESSAGE = 4096
_POLL_SECONDS = 0.1
_LARGEST_PAYLOAD = 100 * 1024
_RUNTIMES = tuple(f"python3.{minor}" for minor in range(8, 12))
_DAY = 24 * 60 * 60.0


class StepFailedError(Exception):
    """The step failed; the message becomes its FailureMessage."""


class RejectedError(StepFailedError):
    """An approver rejected the step."""


class StepInterruptedError(Exception):
    """The step timed out, or the automation was canceled."""


class Run(Protocol):
    """The running step: the interface between an action and the automation."""

    inputs: dict[str, Any]
    requested_outputs: list[dict[str, str]]
    outputs: Outputs
    jump: str
    decisions: list[dict[str, str]]

    def client(self, service: str) -> Any:
        """Return a client with the automation's assume role."""

    def pause(self, seconds: float) -> None:
        """Wait; raise StepInterruptedError if the step is interrupted meanwhile."""

    def wait_for_decisions(self, approvers: list[str]) -> None:
        """Set the status to `Waiting` and add the approvers' decisions to `decisions`."""

    @property
    def title(self) -> str:
        """The names of the step, runbook, account and execution, for the approval request."""


def approve(run: Run) -> None:
    """Wait for approval (automation-action-approve)."""
    approvers = _strings(run.inputs.get("Approvers"))
    minimum = int(run.inputs.get("MinRequiredApprovals") or 1)
    message = str(run.inputs.get("Message") or "")
    topic_arn = run.inputs.get("NotificationArn")
    if not 1 <= len(approvers) <= _MOST_APPROVERS:
        raise StepFailedError(f"Approvers must contain 1 to {_MOST_APPROVERS} principals, not {len(approvers)}.")
    if not 1 <= minimum <= len(approvers):
        raise StepFailedError(f"MinRequiredApprovals is {minimum}, but there are {len(approvers)} approvers.")
    if len(message) > _LONGEST_MESSAGE:
        raise StepFailedError(f"Message must not have more than {_LONGEST_MESSAGE} characters.")
    if topic_arn:
        _notify(run, topic_arn, message)
    run.outputs["ApprovalStatus"] = ["Waiting"]
    run.wait_for_decisions(approvers)
    while True:
        run.outputs["ApproverDecisions"] = [json.dumps(decision) for decision in run.decisions]
        signals = [decision["Decision"] for decision in run.decisions]
        if "Reject" in signals:
            run.outputs["ApprovalStatus"] = ["Rejected"]
            raise RejectedError(f"{run.decisions[-1]['Approver']} rejected the step.")
        if signals.count("Approve") >= minimum:
            run.outputs["ApprovalStatus"] = ["Approved"]
            return
        run.pause(_POLL_SECONDS)


def _notify(run: Run, topic_arn: str, message: str) -> None:
    if not topic_arn.split(":")[-1].startswith("Automation"):
        raise StepFailedError(f"The name of the topic {topic_arn} must begin with Automation.")
    with _step_failure("Publish API of sns"):
        run.client("sns").publish(
            TopicArn=topic_arn, Subject="Automation approval request", Message=f"{message}\n\n{run.title}".strip()
        )


def execute_state_machine(run: Run) -> None:
    """Run a state machine until it ends (automation-action-executeStateMachine).

    AWS does not document that the step waits; its required permissions and outputs imply it.
    """
    states = run.client("stepfunctions")
    request = {name: run.inputs[name] for name in ("stateMachineArn", "name", "input") if run.inputs.get(name)}
    with _step_failure("StartExecution API of stepfunctions"):
        arn = states.start_execution(**request)["executionArn"]
    while True:
        with _step_failure("DescribeExecution API of stepfunctions"):
            execution = states.describe_execution(executionArn=arn)
        for name in (
            "executionArn",
            "input",
            "name",
            "output",
            "startDate",
            "stateMachineArn",
            "status",
            "stopDate",
        ):
            if name in execution:
                run.outputs[name] = [str(execution[name])]
        if execution["status"] == "SUCCEEDED":
            return
        if execution["status"] != "RUNNING":
            raise StepFailedError(
                f"The execution {arn} of the state machine ended with the status {execution['status']}: "
                f"{execution.get('error', '')} {execution.get('cause', '')}".strip()
            )
        try:
            run.pause(_POLL_SECONDS)
        except StepInterruptedError:
            with _step_failure("StopExecution API of stepfunctions"):
                states.stop_execution(executionArn=arn)
            raise


def execute_aws_api(run: Run) -> None:
    """Call an API operation (automation-action-executeAwsApi)."""
    response = _call(run)
    for output in run.requested_outputs:
        run.outputs[output["Name"]] = _output(output, response)


# The script may print; what its function returns comes after it, in a line of its own.
_SCRIPT = """
import json, sys
given, printed = json.loads(sys.stdin.read()), sys.stdout
sys.stdout = sys.stderr
script = {}
exec(compile(given["script"], "script", "exec"), script)
json.dump(script[given["handler"]](given["events"], {}), printed)
"""


def execute_script(run: Run) -> None:
    """Run a function of a Python script (automation-action-executeScript), without permissions of any role.

    The script runs with this interpreter, whatever its Runtime. A script that calls AWS needs an assume role, which is
    not implemented.
    """
    runtime, script = run.inputs.get("Runtime", ""), run.inputs.get("Script", "")
    if runtime not in _RUNTIMES:
        raise StepFailedError(f"Runtime is {runtime!r}, not one of {', '.join(_RUNTIMES)}.")
    given = {"script": script, "handler": run.inputs["Handler"], "events": run.inputs.get("InputPayload", {})}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-c", _SCRIPT], env={}, text=True, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    text: str | None = json.dumps(given)
    with process:
        while True:
            try:
                answer, printed = process.communicate(text, timeout=_POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                text = None  # it is being sent
                try:
                    run.pause(0)
                except BaseException:
                    process.kill()
                    raise
    if process.returncode:
        raise StepFailedError(f"Exception in the script: {printed.strip().splitlines()[-1]}")
    if len(answer.encode()) > _LARGEST_PAYLOAD:
        raise StepFailedError(
            f"The payload has {len(answer):,} bytes, more than the {_LARGEST_PAYLOAD:,} that are returned."
        )
    run.outputs["Payload"] = [answer]
    for output in run.requested_outputs:
        run.outputs[output["Name"]] = _output(output, {"Payload": json.loads(answer)})


def assert_aws_resource_property(run: Run) -> None:
    """Check a property in a response (automation-action-assertAwsResourceProperty)."""
    selector, desired = run.inputs.get("PropertySelector", ""), _strings(run.inputs.get("DesiredValues"))
    value = json_paths.find(selector, _call(run))
    if str(value) not in desired:
        raise StepFailedError(f"The value at {selector} is {value}, not one of {', '.join(desired)}.")


def _call(run: Run) -> Any:
    service, api = run.inputs.get("Service", ""), run.inputs.get("Api", "")
    request = {
        name: value
        for name, value in run.inputs.items()
        if name not in ("Service", "Api", "PropertySelector", "DesiredValues")
    }
    try:
        client = run.client(service)
    except UnknownServiceError as error:
        raise StepFailedError(str(error)) from error
    operation = getattr(client, xform_name(api), None)
    if operation is None:
        raise StepFailedError(f"The service {service} has no API {api}.")
    with _step_failure(f"{api} API of {service}"):
        return operation(**request)


def _output(output: dict[str, str], response: Any) -> list[str]:
    value = json_paths.find(output["Selector"], response)
    if value is json_paths.ABSENT:
        raise StepFailedError(f"The response has no value at {output['Selector']} for the output {output['Name']}.")
    values = value if output.get("Type") in ("StringList", "MapList") and isinstance(value, list) else [value]
    return [value if isinstance(value, str) else json.dumps(value, default=str) for value in values]


def branch(run: Run) -> None:
    """Select the next step (automation-action-branch)."""
    for choice in run.inputs.get("Choices", []):
        if _holds(choice):
            run.jump = choice["NextStep"]
            return
    run.jump = run.inputs.get("Default", "")


_OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "StringEquals": lambda value, expected: str(value) == str(expected),
    "EqualsIgnoreCase": lambda value, expected: str(value).casefold() == str(expected).casefold(),
    "StartsWith": lambda value, expected: str(value).startswith(str(expected)),
    "EndsWith": lambda value, expected: str(value).endswith(str(expected)),
    "Contains": lambda value, expected: str(expected) in str(value),
    "NumericEquals": lambda value, expected: float(value) == float(expected),
    "NumericGreater": lambda value, expected: float(value) > float(expected),
    "NumericLesser": lambda value, expected: float(value) < float(expected),
    "NumericGreaterOrEquals": lambda value, expected: float(value) >= float(expected),
    "NumericLesserOrEquals": lambda value, expected: float(value) <= float(expected),
    "BooleanEquals": lambda value, expected: str(value).casefold() == str(expected).casefold(),
}


def _holds(choice: dict[str, Any]) -> bool:
    if "And" in choice:
        return all(_holds(part) for part in choice["And"])
    if "Or" in choice:
        return any(_holds(part) for part in choice["Or"])
    if "Not" in choice:
        return not _holds(choice["Not"])
    (operation,) = set(choice) - {"NextStep", "Variable"}
    if operation not in _OPERATIONS:
        raise StepFailedError(f"aws:branch does not have the operation {operation}.")
    return _OPERATIONS[operation](choice["Variable"], choice[operation])


def sleep(run: Run) -> None:
    """Wait for a duration or until a time (automation-action-sleep)."""
    if until := run.inputs.get("Timestamp"):
        seconds = (datetime.datetime.fromisoformat(until) - datetime.datetime.now(datetime.UTC)).total_seconds()
    else:
        seconds = _seconds(str(run.inputs.get("Duration", "")))
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        run.pause(min(left, _POLL_SECONDS))


def _seconds(duration: str) -> float:
    parts = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", duration)
    if not parts or not any(parts.groups()):
        raise StepFailedError(f"{duration!r} is not an ISO 8601 duration.")
    days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _strings(value: Any) -> list[str]:
    return [str(element) for element in value] if isinstance(value, list) else [str(value)] if value else []


@contextlib.contextmanager
def _step_failure(api: str) -> Iterator[None]:
    """Convert API errors to StepFailedError, with the message of "Troubleshooting" (automation-troubleshooting)."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StepFailedError(
            f"Automation Step Execution fails. Get Exception from {api} Service. Exception Message: [{error}]. "
            "Please refer to Automation Service Troubleshooting Guide for more diagnosis details."
        ) from error


@dataclasses.dataclass(frozen=True)
class Action:
    """The function of an action, and the default and maximum time-out in seconds that are documented for it."""

    run: Callable[[Run], None]
    default_timeout: float | None = None
    longest_timeout: float | None = None


ACTIONS = {
    "aws:approve": Action(approve, default_timeout=7 * _DAY, longest_timeout=30 * _DAY),
    "aws:assertAwsResourceProperty": Action(assert_aws_resource_property),
    "aws:branch": Action(branch),
    "aws:executeAwsApi": Action(execute_aws_api),
    "aws:executeScript": Action(execute_script, default_timeout=600.0, longest_timeout=600.0),
    "aws:executeStateMachine": Action(execute_state_machine),
    "aws:sleep": Action(sleep),
}
