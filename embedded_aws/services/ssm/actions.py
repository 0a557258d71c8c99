"""What the steps of a runbook do, each action after its page in "Automation actions reference" (automation-actions)."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, UnknownServiceError

from embedded_aws.kernel import json_paths

Outputs = dict[str, list[str]]

_MOST_APPROVERS = 10
_LONGEST_MESSAGE = 4096
_POLL_SECONDS = 0.1
_DAY = 24 * 60 * 60.0


class StepFailedError(Exception):
    """The step's status will be `Failed`; the message is its FailureMessage."""


class RejectedError(StepFailedError):
    """An approver said no."""


class StepInterruptedError(Exception):
    """The step's time is up, or someone cancels the automation."""


class Run(Protocol):
    """What an action sees of the step that runs: what it is given, and where it puts what comes of it."""

    inputs: dict[str, Any]
    requested_outputs: list[dict[str, str]]
    outputs: Outputs
    jump: str
    decisions: list[dict[str, str]]

    def client(self, service: str) -> Any:
        """A client that calls as the automation's assume role."""

    def pause(self, seconds: float) -> None:
        """Wait; raises whatever ends the step meanwhile."""

    def ask(self, approvers: list[str]) -> None:
        """Show the step as waiting for the decisions of these principals."""

    @property
    def title(self) -> str:
        """The step and its execution, for people."""


def approve(run: Run) -> None:
    """automation-action-approve."""
    approvers = _strings(run.inputs.get("Approvers"))
    minimum = int(run.inputs.get("MinRequiredApprovals") or 1)
    message = str(run.inputs.get("Message") or "")
    topic_arn = run.inputs.get("NotificationArn")
    if not 1 <= len(approvers) <= _MOST_APPROVERS:
        raise StepFailedError(f"Approvers names 1 to {_MOST_APPROVERS} principals, not {len(approvers)}.")
    if not 1 <= minimum <= len(approvers):
        raise StepFailedError(f"MinRequiredApprovals is {minimum}, but there are {len(approvers)} approvers.")
    if len(message) > _LONGEST_MESSAGE:
        raise StepFailedError(f"Message has more than {_LONGEST_MESSAGE} characters.")
    if topic_arn:
        _announce(run, topic_arn, message)
    run.outputs["ApprovalStatus"] = ["Waiting"]
    run.ask(approvers)
    while True:
        run.outputs["ApproverDecisions"] = [json.dumps(decision) for decision in run.decisions]
        decided = [decision["decision"] for decision in run.decisions]
        if "Reject" in decided:
            run.outputs["ApprovalStatus"] = ["Rejected"]
            raise RejectedError(f"{run.decisions[-1]['approver']} rejected the step.")
        if decided.count("Approve") >= minimum:
            run.outputs["ApprovalStatus"] = ["Approved"]
            return
        run.pause(_POLL_SECONDS)


def _announce(run: Run, topic_arn: str, message: str) -> None:
    if not topic_arn.split(":")[-1].startswith("Automation"):
        raise StepFailedError(f"The name of the topic {topic_arn} does not begin with Automation.")
    with _failing_step("Publish API of sns"):
        run.client("sns").publish(
            TopicArn=topic_arn, Subject="Automation approval request", Message=f"{message}\n\n{run.title}".strip()
        )


def execute_state_machine(run: Run) -> None:
    """automation-action-executeStateMachine: that it waits for the end is implied by its permissions and outputs."""
    states = run.client("stepfunctions")
    request = {name: run.inputs[name] for name in ("stateMachineArn", "name", "input") if run.inputs.get(name)}
    with _failing_step("StartExecution API of stepfunctions"):
        arn = states.start_execution(**request)["executionArn"]
    while True:
        with _failing_step("DescribeExecution API of stepfunctions"):
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
            with _failing_step("StopExecution API of stepfunctions"):
                states.stop_execution(executionArn=arn)
            raise


def execute_aws_api(run: Run) -> None:
    """automation-action-executeAwsApi."""
    response = _call(run)
    for output in run.requested_outputs:
        run.outputs[output["Name"]] = _output(output, response)


def assert_aws_resource_property(run: Run) -> None:
    """automation-action-assertAwsResourceProperty."""
    selector, desired = run.inputs.get("PropertySelector", ""), _strings(run.inputs.get("DesiredValues"))
    found = json_paths.find(selector, _call(run))
    if str(found) not in desired:
        raise StepFailedError(f"The value at {selector} is {found}, not one of {', '.join(desired)}.")


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
    with _failing_step(f"{api} API of {service}"):
        return operation(**request)


def _output(output: dict[str, str], response: Any) -> list[str]:
    value = json_paths.find(output["Selector"], response)
    if value is json_paths.ABSENT:
        raise StepFailedError(f"The response has nothing at {output['Selector']} for the output {output['Name']}.")
    values = value if output.get("Type") in ("StringList", "MapList") and isinstance(value, list) else [value]
    return [value if isinstance(value, str) else json.dumps(value, default=str) for value in values]


def branch(run: Run) -> None:
    """automation-action-branch."""
    for choice in run.inputs.get("Choices", []):
        if _holds(choice):
            run.jump = choice["NextStep"]
            return
    run.jump = run.inputs.get("Default", "")


_OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "StringEquals": lambda value, wanted: str(value) == str(wanted),
    "EqualsIgnoreCase": lambda value, wanted: str(value).casefold() == str(wanted).casefold(),
    "StartsWith": lambda value, wanted: str(value).startswith(str(wanted)),
    "EndsWith": lambda value, wanted: str(value).endswith(str(wanted)),
    "Contains": lambda value, wanted: str(wanted) in str(value),
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericGreater": lambda value, wanted: float(value) > float(wanted),
    "NumericLesser": lambda value, wanted: float(value) < float(wanted),
    "NumericGreaterOrEquals": lambda value, wanted: float(value) >= float(wanted),
    "NumericLesserOrEquals": lambda value, wanted: float(value) <= float(wanted),
    "BooleanEquals": lambda value, wanted: str(value).casefold() == str(wanted).casefold(),
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
        raise StepFailedError(f"aws:branch has no operation {operation}.")
    return _OPERATIONS[operation](choice["Variable"], choice[operation])


def sleep(run: Run) -> None:
    """automation-action-sleep."""
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
        raise StepFailedError(f"{duration!r} is no ISO 8601 duration.")
    days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _strings(value: Any) -> list[str]:
    return [str(element) for element in value] if isinstance(value, list) else [str(value)] if value else []


@contextlib.contextmanager
def _failing_step(api: str) -> Iterator[None]:
    """Make an error of a call the step's failure, in the words of "Troubleshooting" (automation-troubleshooting)."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StepFailedError(
            f"Automation Step Execution fails. Get Exception from {api} Service. Exception Message: [{error}]. "
            "Please refer to Automation Service Troubleshooting Guide for more diagnosis details."
        ) from error


@dataclasses.dataclass(frozen=True)
class Action:
    """How an action is done, and in seconds how long it takes at most, if its page says so."""

    do: Callable[[Run], None]
    default_timeout: float | None = None
    longest_timeout: float | None = None


ACTIONS = {
    "aws:approve": Action(approve, default_timeout=7 * _DAY, longest_timeout=30 * _DAY),
    "aws:assertAwsResourceProperty": Action(assert_aws_resource_property),
    "aws:branch": Action(branch),
    "aws:executeAwsApi": Action(execute_aws_api),
    "aws:executeStateMachine": Action(execute_state_machine),
    "aws:sleep": Action(sleep),
}
