"""The deployed definition as Step Functions runs it: states, retries with jitter, and what is counted and limited."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import threading
from typing import Any

from embedded_aws.services.stepfunctions import jsonata
from tests.explorer.answers import AwsError
from tests.explorer.functions import EPOCH, instant
from tests.explorer.machine import Machine as Definition
from tests.explorer.world import EXECUTIONS, MACHINE
from tests.scale.account import STAGE_ACCOUNT, Account, Client, code_of
from tests.scale.lambda_functions import FunctionError, Functions
from tests.scale.services import Services
from tests.support.history_events import EVENTS, EVENTS_OF_A_RETRY, EVENTS_OF_AN_ITERATION

# Assumed: how long Step Functions takes from one state to the next.
_TRANSITION_SECONDS = 0.02
# Assumed: EventBridge retries a throttled StartExecution after a second, then twice as long, up to a minute.
_DELIVERY_PAUSES = (1.0, 60.0)
_PREFIXES = {"dynamodb": "DynamoDB", "aws-sdk:dynamodb": "DynamoDb", "events": "EventBridge"}


@dataclasses.dataclass
class Execution:
    """An execution, what it was started with, and how it ended."""

    name: str
    given: Any
    requested: float
    started: float = 0.0
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    ended: float = 0.0
    last_state: str = ""
    output: Any = None
    transitions: int = 0
    events: int = 1
    largest: int = 0
    variables: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def arn(self) -> str:
        return EXECUTIONS + self.name


class _StateError(Exception):
    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error)
        self.error, self.cause = error, cause


class StateMachine:
    """The executions of the stage's state machine."""

    def __init__(self, account: Account, services: Services, functions: Functions, definition: Definition) -> None:
        self._account, self._simulation = account, account.simulation
        self._functions, self._definition = functions, definition
        self._clients = {name: Client(name.removeprefix("aws-sdk:"), account.call, attempts=3) for name in _PREFIXES}
        self.executions: dict[str, Execution] = {}
        self.ended = threading.Event()
        services.describe_execution = self._describe
        services.start_execution = self.start

    def deliver(self, name: str, event: Any) -> None:
        """Start an execution with an event, as EventBridge does: throttled starts are retried."""
        pause, longest = _DELIVERY_PAUSES
        requested = self._simulation.now
        while True:
            self._account.counts.calls["states", "StartExecution"] += 1
            if self._account.limiter.take(STAGE_ACCOUNT, "states", "StartExecution"):
                break
            self._account.counts.throttled["states", "StartExecution"] += 1
            self._simulation.sleep(pause * self._simulation.random.uniform(0.5, 1.0))
            pause = min(longest, 2 * pause)
        self.start(name, event, requested)

    def start(self, name: str, given: Any, requested: float | None = None) -> None:
        """Start an execution now; raise AwsError if there is one of this name."""
        if name in self.executions:
            raise AwsError("ExecutionAlreadyExists")
        now = self._simulation.now
        execution = Execution(name, given, now if requested is None else requested, started=now)
        self.executions[name] = execution
        self._simulation.start(self._run, execution)

    def _describe(self, arn: str) -> dict[str, Any]:
        execution = self.executions.get(arn.removeprefix(EXECUTIONS))
        if execution is None:
            # One that is on record from the time before the simulation.
            return {"status": "SUCCEEDED", "stopDate": EPOCH}
        ended = EPOCH + datetime.timedelta(seconds=execution.ended)
        return {"status": execution.status} | ({} if execution.status == "RUNNING" else {"stopDate": ended})

    def _run(self, execution: Execution) -> None:
        _Run(self, execution).run()
        if execution.status != "FAILED":
            return
        detail = {
            "executionArn": execution.arn,
            "name": execution.name,
            "input": json.dumps(execution.given),
            "status": execution.status,
            "error": execution.error,
            "cause": execution.cause,
            "stateMachineArn": MACHINE,
        }
        about = {"source": "aws.states", "account": STAGE_ACCOUNT, "region": "eu-west-1"}
        event = {"detail-type": "Step Functions Execution Status Change", **about, "detail": detail}
        self._simulation.start(self.deliver, f"{execution.name}-failed", event, after=1.0)

    def transition(self) -> None:
        """Wait until Step Functions takes an execution to its next state."""
        delay = self._account.limiter.delay(STAGE_ACCOUNT, "states", "StateTransition")
        self._simulation.sleep(_TRANSITION_SECONDS + delay)

    def task(self, resource: str, arguments: Any) -> Any:
        """Return the result of a Task, or raise _StateError."""
        service, _, action = resource.split(":::", 1)[1].rpartition(":")
        if service == "lambda":
            try:
                return {"Payload": self._functions.invoke(arguments["FunctionName"], arguments["Payload"])}
            except FunctionError as error:
                raise _StateError(error.error, error.cause) from error
        if service == "events":
            entries = arguments["Entries"]
            arguments = {"Entries": [each | {"Detail": json.dumps(each["Detail"])} for each in entries]}
        method = re.sub(r"(?=[A-Z])", "_", action).lower()
        try:
            return getattr(self._clients[service], method)(**arguments)
        except Exception as error:
            if not hasattr(error, "response"):
                raise
            code = code_of(error)
            name = code if code.endswith("Exception") else f"{code}Exception"
            raise _StateError(f"{_PREFIXES[service]}.{name}", str(error)) from error


class _Run:
    """The run of an execution."""

    def __init__(self, machine: StateMachine, execution: Execution) -> None:
        self._machine, self._execution = machine, execution
        self._simulation = machine._simulation
        self._started_at = instant(int(self._simulation.now))

    def run(self) -> None:
        execution, states = self._execution, self._machine._definition.states
        name, given = "Recovery attempts exhausted?", execution.given
        try:
            while name:
                self._machine.transition()
                execution.last_state = name
                execution.transitions += 1
                name, given = self._state(states[name], given)
        except _StateError as failure:
            execution.status, execution.error, execution.cause = "FAILED", failure.error, failure.cause
        else:
            execution.output = given
            execution.status = "FAILED" if execution.error else "SUCCEEDED"
        execution.ended = self._simulation.now

    def _state(self, state: dict[str, Any], given: Any) -> tuple[str, Any]:
        """Run a state, and return the next one ("" at the end) and its input."""
        self._execution.events += EVENTS[state["Type"]]
        match state["Type"]:
            case "Choice":
                rules = (rule["Next"] for rule in state["Choices"] if self._value(rule["Condition"], given) is True)
                return next(rules, None) or state["Default"], given
            case "Pass":
                output = self._output(state, given, "result", None, given)
                self._assign(state, given, "result", None)
                return state["Next"], output
            case "Wait":
                self._simulation.sleep(float(self._value(state["Seconds"], given)))
                return state["Next"], given
            case "Succeed":
                return "", self._value(state["Output"], given) if "Output" in state else given
            case "Fail":
                self._execution.error = self._value(state["Error"], given)
                self._execution.cause = self._value(state["Cause"], given)
                return "", None
            case "Map":
                work = self._map
            case _:
                work = self._task
        try:
            result = self._tried(state, work, given)
        except _StateError as failure:
            return self._caught(state, failure, given)
        output = self._output(state, given, "result", result, result)
        self._assign(state, given, "result", result)
        return state.get("Next", ""), output

    def _task(self, state: dict[str, Any], given: Any) -> Any:
        try:
            arguments = self._value(state["Arguments"], given)
        except jsonata.QueryEvaluationError as error:
            raise _StateError("States.QueryEvaluationError", str(error)) from error
        self._measure(arguments)
        result = self._machine.task(state["Resource"], arguments)
        self._measure(result)
        return result

    def _map(self, state: dict[str, Any], given: Any) -> Any:
        """Run the iterations one after the other: a small model has one batch."""
        (inner,) = state["ItemProcessor"]["States"].values()
        results = []
        for item in self._value(state["Items"], given):
            self._machine.transition()
            self._execution.transitions += 1
            self._execution.events += EVENTS["Task"] + EVENTS_OF_AN_ITERATION
            results.append(self._output(inner, item, "result", self._tried(inner, self._task, item), None))
        return results

    def _tried(self, state: dict[str, Any], work: Any, given: Any) -> Any:
        """Return the result of a state after the retries that its rules permit."""
        counts = [0] * len(state.get("Retry", []))
        while True:
            try:
                return work(state, given)
            except _StateError as failure:
                rules = enumerate(state.get("Retry", []))
                number, rule = next((each for each in rules if _matches(each[1], failure.error)), (0, None))
                if rule is None or counts[number] >= rule.get("MaxAttempts", 3):
                    raise
                delay = rule.get("IntervalSeconds", 1) * rule.get("BackoffRate", 2.0) ** counts[number]
                delay = min(delay, rule.get("MaxDelaySeconds", delay))
                if rule.get("JitterStrategy") == "FULL":
                    delay = self._simulation.random.uniform(0, delay)
                counts[number] += 1
                self._execution.events += EVENTS_OF_A_RETRY
                self._execution.transitions += 1
                self._simulation.sleep(delay)

    def _caught(self, state: dict[str, Any], failure: _StateError, given: Any) -> tuple[str, Any]:
        for rule in state.get("Catch", []):
            if _matches(rule, failure.error):
                error = {"Error": failure.error, "Cause": failure.cause}
                output = self._output(rule, given, "errorOutput", error, error)
                self._assign(rule, given, "errorOutput", error)
                return rule["Next"], output
        raise failure

    def _output(self, fields: dict[str, Any], given: Any, kind: str, result: Any, default: Any) -> Any:
        output = self._value(fields["Output"], given, kind, result) if "Output" in fields else default
        self._measure(output)
        return output

    def _assign(self, fields: dict[str, Any], given: Any, kind: str, result: Any) -> None:
        values = fields.get("Assign", {})
        self._execution.variables |= {name: self._value(value, given, kind, result) for name, value in values.items()}

    def _measure(self, payload: Any) -> None:
        self._execution.largest = max(self._execution.largest, len(json.dumps(payload, default=str)))

    def _value(self, value: Any, given: Any, kind: str = "result", result: Any = None) -> Any:
        if isinstance(value, dict):
            return {name: self._value(member, given, kind, result) for name, member in value.items()}
        if isinstance(value, list):
            return [self._value(member, given, kind, result) for member in value]
        if not (isinstance(value, str) and value.startswith("{%")):
            return value
        now = EPOCH + datetime.timedelta(seconds=self._simulation.now)
        moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        expression = value[2:-2].strip().replace("$now()", f'"{moment}"')
        expression = expression.replace("$millis()", str(int(now.timestamp() * 1000)))
        about = {"Id": self._execution.arn, "Name": self._execution.name, "StartTime": self._started_at}
        context = {"Execution": about | {"Input": self._execution.given}, "StateMachine": {"Id": MACHINE}}
        states = {"context": context, "input": given, kind: result}
        if plain := re.fullmatch(r"\$(\w+)", expression):
            return self._execution.variables[plain[1]]
        return jsonata.evaluate(expression, self._execution.variables | {"states": states})


def _matches(rule: dict[str, Any], error: str) -> bool:
    return error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]
