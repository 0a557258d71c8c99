"""The deployed state machine: an interpreter of its definition whose executions are values.

An execution proceeds to its next call, wait or end. The caller then decides when the call is answered.
Every state of the definition takes part as it is deployed; only Map states are not interpreted.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import Any

import yaml
from botocore import xform_name

from embedded_aws.services.cloudformation.templates import Template
from embedded_aws.services.stepfunctions import jsonata
from embedded_aws.services.stepfunctions.substitutions import substitute
from tests.explorer.answers import Answer, Call, NotModeledError, dumps
from tests.explorer.functions import Invocation, Returned, instant, run
from tests.explorer.world import ACCOUNT, BUCKET, MACHINE, REGION, STAGE, Ended, World
from tests.linter import DEFINITION, Project

# The other parameters have their defaults. An execution that waits for a lock polls seldom, so that schedules stay
# short.
START = "Recovery attempts exhausted?"
_PARAMETERS = {
    "Stage": STAGE,
    "UpstreamAccountId": "111111111111",
    "UpstreamBuckets": "training",
    "RetentionKeep": "2",
    "PollSeconds": "50",
    "LockWaitSeconds": "1000",
}
_PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
# How the errors of an integration begin: Step Functions developer guide, "Perform DynamoDB CRUD operations".
_PREFIXES = {"dynamodb": "DynamoDB", "aws-sdk:dynamodb": "DynamoDb", "events": "EventBridge"}


@dataclasses.dataclass(frozen=True)
class Execution:
    """An execution in a state: at a call, in a function, or waiting until a time.

    Variables and the input of the state are JSON; `retries` counts those of each rule of the state.
    """

    arn: str
    input: str
    started_at: str
    state: str
    variables: tuple[tuple[str, str], ...]
    given: str
    doing: Call | Invocation | None = None
    waits_until: int | None = None
    retries: tuple[int, ...] = ()
    attempts: int = 0

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]

    def variable(self, name: str) -> Any:
        return json.loads(dict(self.variables).get(name, "null"))


class _FailedError(Exception):
    """A state failed, with the name and the cause of its error."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error)
        self.error, self.cause = error, cause


class Machine:
    """The state machine of the template with some `parameters`, and the handlers and time-outs of its functions."""

    def __init__(self, **parameters: str) -> None:
        project = Project.read()
        document = project.template()
        # SAM generates the roles of functions, and the rules that invoke them.
        generated = {
            "RequestApprovalFunctionRole": {"Type": "AWS::IAM::Role"},
            "NotifyOperatorsFunctionRollbackFailure": {"Type": "AWS::Events::Rule"},
        }
        document |= {"Resources": document["Resources"] | generated}
        template = Template(document, _PARAMETERS | parameters, _PSEUDO)
        self.parameters = template.parameters
        names = _LogicalIds()
        substitutions = template.resolve(project.substitutions(), names)
        definition = yaml.load(substitute(project.texts[DEFINITION], substitutions), yaml.CSafeLoader)
        self.states = dict(definition["States"])
        self.defaults = json.loads(substitutions["DefaultSettings"])
        self.functions = {
            logical_id: (function["Handler"], int(function["Timeout"]))
            for logical_id, resource in template.resources.items()
            if resource["Type"] == "AWS::Serverless::Function" and (function := project.function(logical_id))
        }
        rules = project.function("NotifyOperatorsFunction")["Events"]
        self.pages_operators = frozenset(rules["RollbackFailure"]["Properties"]["Pattern"]["detail"]["error"])

    def start(self, world: World, arn: str, *, at: str = START, **variables: Any) -> Execution:
        """Return a new execution of an input, which the world knows, in the state `at`."""
        world.now += 1
        given = world.inputs[arn]
        values = tuple(sorted((name, dumps(value)) for name, value in variables.items()))
        return Execution(arn, given, instant(world.now), at, values, given)

    def begin(self, world: World, execution: Execution) -> Execution | Ended:
        """Enter the state of an execution, and return it at its next call, wait or end."""
        return _Steps(self, world, execution).enter()

    def proceed(self, world: World, execution: Execution, answer: Answer) -> Execution | Ended:
        """Return an execution after the answer to its call."""
        if isinstance(execution.doing, Invocation):
            doing = dataclasses.replace(execution.doing, answers=(*execution.doing.answers, answer))
            return _Steps(self, world, dataclasses.replace(execution, doing=doing)).follow()
        return _Steps(self, world, execution).answered(answer)

    def wake(self, world: World, execution: Execution) -> Execution | Ended:
        """Return an execution after its wait, or after the delay of a retry."""
        steps = _Steps(self, world, dataclasses.replace(execution, waits_until=None))
        return steps.leave("null") if self.states[execution.state]["Type"] == "Wait" else steps.enter()

    def fail(self, world: World, execution: Execution, error: str) -> Execution | Ended:
        """Return an execution whose function failed with an error of Lambda."""
        return _Steps(self, world, execution).failed(_FailedError(error, ""))


class _LogicalIds:
    """The resources of a stack that exists only in names."""

    def reference(self, logical_id: str) -> str:
        return BUCKET if logical_id == "ArtifactBucket" else logical_id

    def attribute(self, logical_id: str, name: str) -> str:
        return logical_id


class _Steps:
    """The steps of an execution from one call or wait to the next."""

    def __init__(self, machine: Machine, world: World, execution: Execution) -> None:
        self._machine, self._world, self._execution = machine, world, execution

    @property
    def _state(self) -> dict[str, Any]:
        return dict(self._machine.states[self._execution.state])

    def enter(self) -> Execution | Ended:
        while True:
            state = self._state
            match state["Type"]:
                case "Choice":
                    rules = (rule["Next"] for rule in state["Choices"] if self._value(rule["Condition"]) is True)
                    self._go(next(rules, None) or state["Default"])
                case "Pass":
                    self._assign(state)
                    self._go(state["Next"], self._output(state, self._execution.given))
                case "Wait":
                    until = self._world.now + int(self._value(state["Seconds"]))
                    return dataclasses.replace(self._execution, waits_until=until)
                case "Succeed":
                    return Ended("SUCCEEDED")
                case "Fail":
                    return Ended("FAILED", self._value(state["Error"]), self._value(state["Cause"]))
                case "Task":
                    return self._begin_task(state)
                case kind:
                    raise NotModeledError(f"The state {self._execution.state} has the type {kind}.")

    def _begin_task(self, state: dict[str, Any]) -> Execution | Ended:
        try:
            arguments = self._value(state["Arguments"])
        except jsonata.QueryEvaluationError as error:
            return self.failed(_FailedError("States.QueryEvaluationError", str(error)))
        service = state["Resource"].split(":::", 1)[1]
        attempts = self._execution.attempts + 1
        if service != "lambda:invoke":
            name, _, action = service.rpartition(":")
            if name == "events":
                entries = arguments["Entries"]
                details = (
                    {"Detail": each["Detail"] if isinstance(each["Detail"], str) else dumps(each["Detail"])}
                    for each in entries
                )
                arguments = {"Entries": [each | detail for each, detail in zip(entries, details, strict=True)]}
            call = Call.of(name.removeprefix("aws-sdk:"), xform_name(action), arguments)
            return dataclasses.replace(self._execution, doing=call, attempts=attempts)
        handler, timeout = self._machine.functions[arguments["FunctionName"]]
        identifier = f"{self._execution.name}-{attempts}"
        invocation = Invocation(handler, dumps(arguments["Payload"]), identifier, self._world.now, timeout)
        self._execution = dataclasses.replace(self._execution, doing=invocation, attempts=attempts)
        return self.follow()

    def follow(self) -> Execution | Ended:
        """Continue with the result of the function, if it does not wait for an answer."""
        assert isinstance(self._execution.doing, Invocation)
        result = run(self._execution.doing)
        if isinstance(result, Call):
            return self._execution
        if isinstance(result, Returned):
            return self.leave(f'{{"Payload":{result.text}}}')
        return self.failed(
            _FailedError(result.error, dumps({"errorMessage": result.message, "errorType": result.error}))
        )

    def answered(self, answer: Answer) -> Execution | Ended:
        """Continue with the answer to a call of the state machine itself."""
        if not answer.code:
            return self.leave(answer.text)
        service = self._state["Resource"].split(":::", 1)[1].rpartition(":")[0]
        code = answer.code if answer.code.endswith("Exception") else f"{answer.code}Exception"
        message = json.loads(answer.text)["Error"]["Message"]
        return self.failed(_FailedError(f"{_PREFIXES[service]}.{code}", message))

    def leave(self, result: str) -> Execution | Ended:
        """Leave a Task or Wait state with its result."""
        state = self._state
        try:
            output = self._output(state, result)
            self._assign(state, result)
        except jsonata.QueryEvaluationError as error:
            return self.failed(_FailedError("States.QueryEvaluationError", str(error)))
        self._go(state["Next"], output)
        return self.enter()

    def failed(self, failure: _FailedError) -> Execution | Ended:
        """Retry the state or catch its error; otherwise, the execution fails."""
        state = self._state
        for number, rule in enumerate(state.get("Retry", [])):
            if not _matches(rule, failure.error):
                continue
            counts = [*self._execution.retries, *[0] * (number + 1 - len(self._execution.retries))]
            if counts[number] >= rule.get("MaxAttempts", 3):
                break
            delay = rule.get("IntervalSeconds", 1) * rule.get("BackoffRate", 2.0) ** counts[number]
            until = self._world.now + round(min(delay, rule.get("MaxDelaySeconds", delay)))
            counts[number] += 1
            return dataclasses.replace(self._execution, doing=None, waits_until=until, retries=tuple(counts))
        for rule in state.get("Catch", []):
            if _matches(rule, failure.error):
                error = dumps({"Error": failure.error, "Cause": failure.cause})
                output = self._output(rule, error, "errorOutput")
                self._assign(rule, error, "errorOutput")
                self._go(rule["Next"], output)
                return self.enter()
        return Ended("FAILED", failure.error, failure.cause)

    def _go(self, state: str, given: str | None = None) -> None:
        given = self._execution.given if given is None else given
        cleared = {"doing": None, "waits_until": None, "retries": ()}
        self._execution = dataclasses.replace(self._execution, state=state, given=given, **cleared)  # type: ignore[arg-type]

    def _output(self, fields: dict[str, Any], result: str, kind: str = "result") -> str:
        return dumps(self._value(fields["Output"], result, kind)) if "Output" in fields else result

    def _assign(self, fields: dict[str, Any], result: str = "null", kind: str = "result") -> None:
        new = {name: dumps(self._value(value, result, kind)) for name, value in fields.get("Assign", {}).items()}
        variables = tuple(sorted((dict(self._execution.variables) | new).items()))
        self._execution = dataclasses.replace(self._execution, variables=variables)

    def _value(self, value: Any, result: str = "null", kind: str = "result") -> Any:
        """Return a value of the definition with its expressions evaluated."""
        if isinstance(value, dict):
            return {name: self._value(member, result, kind) for name, member in value.items()}
        if isinstance(value, list):
            return [self._value(member, result, kind) for member in value]
        if not (isinstance(value, str) and value.startswith("{%")):
            return value
        expression = value[2:-2].strip()
        if "$now()" in expression:
            # Two records never have the same time.
            self._world.now += 1
        now = self._world.now
        expression = expression.replace("$now()", f'"{instant(now)}"').replace("$millis()", str(now * 1000))
        known = dict(self._execution.variables)
        used = [(name, known[name]) for name in _names_in(expression) if name in known]
        if "$states" in expression:
            used.append(("states", self._states(result, kind)))
        return json.loads(_evaluate(expression, tuple(used)))

    def _states(self, result: str, kind: str) -> str:
        execution = self._execution
        about = {"Id": execution.arn, "Name": execution.name, "StartTime": execution.started_at}
        context = {"Execution": about | {"Input": json.loads(execution.input)}, "StateMachine": {"Id": MACHINE}}
        return f'{{"context":{dumps(context)},"input":{execution.given},"{kind}":{result}}}'


def _matches(rule: dict[str, Any], error: str) -> bool:
    return error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]


@functools.cache
def _names_in(expression: str) -> tuple[str, ...]:
    return tuple(sorted(set(re.findall(r"\$(\w+)", expression))))


@functools.cache
def _evaluate(expression: str, variables: tuple[tuple[str, str], ...]) -> str:
    return dumps(jsonata.evaluate(expression, {name: json.loads(text) for name, text in variables}))
