"""The Amazon States Language: corrections of moto's interpreter for state machines that use JSONata.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html, .../workflow-variables.html
and .../transforming-data.html.
"""

from __future__ import annotations

import datetime
import functools
import json
import time
from typing import Any

from antlr4 import ParserRuleContext
from moto.stepfunctions.parser.api import (
    EvaluationFailedEventDetails,
    ExecutionFailedEventDetails,
    HistoryEventType,
)
from moto.stepfunctions.parser.asl.component.common.assign.assign_decl import AssignDecl
from moto.stepfunctions.parser.asl.component.common.catch.catch_outcome import CatchOutcome
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata, StringVariableSample
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSecondsJSONata
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state import state as state_module
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison import ConditionStringJSONata
from moto.stepfunctions.parser.asl.component.state.choice.state_choice import StateChoice
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.inline_item_processor_worker import (  # noqa: E501
    InlineItemProcessorWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.max_concurrency import MaxConcurrencyJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.component.state.fail.cause_decl import Cause
from moto.stepfunctions.parser.asl.component.state.fail.error_decl import Error
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.seconds import SecondsJSONata
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.stepfunctions import jsonata

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MOST_BYTES = 256 * 1024
_POLL_SECONDS = 0.5
_ASSIGNED = "assigned variables"
_UNCHECKED = "moto does not check the type of an expression's result."

patches = Patches("5.2.5")
_set_next_in_moto = CommonStateField._set_next
_evaluate_in_moto = ExecutionState._evaluate_with_timeout
_choice_output_in_moto = StateChoice._eval_state_output
_eval_input_in_moto = InlineItemProcessorWorker._eval_input
_frame_in_moto = Environment.as_inner_frame_of
_pace = 1.0


def instant(moment: datetime.datetime) -> str:
    """Format a time in UTC as java.time.Instant does, without fraction digits that are zero."""
    text = moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


@functools.lru_cache(maxsize=128)
def parse(definition: str) -> Program:
    """Return the program of a definition. A program has no state, so all executions share it."""
    # moto interprets JSON escapes as Python escapes. The JSON is rewritten with escapes that are the same in both.
    return AmazonStateLanguageParser.parse(json.dumps(json.loads(definition), ensure_ascii=False))[0]


def _within_quota(value: Any) -> bool:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) <= MOST_BYTES


for _module in (state_module, state_task_service, state_task_lambda):
    patches.replace(
        _module, "is_within_size_quota", _within_quota, "moto counts spaces and \\u escapes, which AWS does not add."
    )


@patches.replaces(Preprocessor, "_inner_string_of", "moto does not decode the escapes of a JSON string.")
def _string_of(parser_rule_context: ParserRuleContext) -> Any:
    text = parser_rule_context.getText()
    return json.loads(text, strict=False) if text == "null" or text.startswith('"') else text


@patches.replaces(EvalComponent, "heap_key", "moto creates the key at first use, which is a race between executions.")
def _heap_key(self: EvalComponent) -> str:
    return str(id(self))


@patches.replaces(StringVariableSample, "_eval_body", "getmoto/moto#10105: moto does not evaluate JSONata.")
@patches.replaces(StringJSONata, "_eval_body", "getmoto/moto#10105: moto does not evaluate JSONata.")
def _evaluate(self: StringJSONata | StringVariableSample, env: Environment) -> None:
    store = env.variable_store
    variables = store._outer_scope | store._inner_scope | {"states": _states(env)}
    try:
        env.stack.append(jsonata.evaluate(self.expression, variables))
    except jsonata.QueryEvaluationError as error:
        raise _query_evaluation_error(env, str(error)) from error


def _states(env: Environment) -> dict[str, Any]:
    """Return the value of `$states`, with either a result or the output of a caught error."""
    data = env.states._states_data
    context = dict(data["context"])
    if state := context.get("State"):
        context["State"] = state | {"EnteredTime": instant(datetime.datetime.fromisoformat(state["EnteredTime"]))}
    result, error = data.get("result"), data.get("errorOutput")
    outcome = {"errorOutput": error} if error is not None and result == error else {"result": result}
    return {"input": data["input"], "context": context} | {k: v for k, v in outcome.items() if v is not None}


def _query_evaluation_error(env: Environment, cause: str) -> FailureEventException:
    name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
    details = EvaluationFailedEventDetails(error=name.error_name, cause=cause, state=env.next_state_name)
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.EvaluationFailed,
            event_details=EventDetails(evaluationFailedEventDetails=details),
        )
    )


def _check_type(env: Environment, expression: StringJSONata, field: str, kind: str, expected: bool) -> None:
    if not expected:
        value = json.dumps(env.stack[-1], ensure_ascii=False)
        raise _query_evaluation_error(
            env,
            f"The JSONata expression '{expression.expression}' specified for the field '{field}' returned an "
            f"unexpected result type. Expected '{kind}' for value: {value}",
        )


def _integer(expression: StringJSONata, env: Environment, field: str, minimum: int) -> int:
    expression.eval(env=env)
    value = env.stack[-1]
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= minimum
    _check_type(env, expression, field, "number", valid)
    return int(env.stack.pop())


@patches.replaces(SecondsJSONata, "_get_wait_seconds", _UNCHECKED)
def _wait_seconds(self: SecondsJSONata, env: Environment) -> int:
    return _integer(self.string_jsonata, env, "Seconds", 0)


@patches.replaces(TimeoutSecondsJSONata, "_eval_seconds", _UNCHECKED)
def _timeout_seconds(self: TimeoutSecondsJSONata, env: Environment) -> int:
    return _integer(self.string_jsonata, env, "TimeoutSeconds", 1)


@patches.replaces(MaxConcurrencyJSONata, "_eval_max_concurrency", _UNCHECKED)
def _max_concurrency(self: MaxConcurrencyJSONata, env: Environment) -> int:
    return _integer(self.string_jsonata, env, "MaxConcurrency", 0)


@patches.replaces(ConditionStringJSONata, "_eval_body", _UNCHECKED)
def _condition(self: ConditionStringJSONata, env: Environment) -> None:
    self.string_jsonata.eval(env=env)
    _check_type(env, self.string_jsonata, "Condition", "boolean", isinstance(env.stack[-1], bool))


@patches.replaces(Error, "_eval_body", _UNCHECKED)
@patches.replaces(Cause, "_eval_body", _UNCHECKED)
def _failure_string(self: Cause | Error, env: Environment) -> None:
    self.string_expression.eval(env=env)
    if isinstance(self.string_expression, StringJSONata):
        _check_type(env, self.string_expression, type(self).__name__, "string", isinstance(env.stack[-1], str))


# "Assign and Output run in parallel": an Output sees the values that variables had when the state was entered.


@patches.replaces(
    AssignDecl,
    "_eval_body",
    "moto sets variables before it evaluates the Output; here, they are set when the state ends.",
)
def _assign(self: AssignDecl, env: Environment) -> None:
    values: dict[str, Any] = {}
    for binding in self.declaration_bindings:
        binding.eval(env=env)
        values.update(env.stack.pop())
    env.heap[_ASSIGNED] = values


def _set_variables(env: Environment) -> None:
    for name, value in env.heap.pop(_ASSIGNED, {}).items():
        env.variable_store.set(variable_identifier=name, variable_value=value)


@patches.replaces(CommonStateField, "_set_next", "moto treats a Catch with its own state as Next as success.")
def _leave(self: CommonStateField, env: Environment) -> None:
    _set_variables(env)
    if not (env.stack and env.stack[-1] is CatchOutcome.Caught):
        _set_next_in_moto(self, env)


@patches.replaces(StateChoice, "_set_next", "moto sets variables before it evaluates the Output.")
def _leave_choice(_: StateChoice, env: Environment) -> None:
    _set_variables(env)


@patches.replaces(
    ExecutionState, "_evaluate_with_timeout", "moto ends the execution when an Output fails, without Retry and Catch."
)
def _evaluate_with_timeout(self: ExecutionState, env: Environment) -> None:
    _evaluate_in_moto(self, env)
    if self.output is None:
        return
    try:
        self.output.eval(env=env)
    except FailureEventException:
        env.heap.pop(_ASSIGNED, None)
        raise
    # This tells _eval_state_output that the output was evaluated.
    env.stack.append(CatchOutcome.NotCaught)


@patches.replaces(StateChoice, "_eval_state", "moto continues when no choice matches.")
def _choose(self: StateChoice, env: Environment) -> None:
    for rule in self.choices_decl.rules:
        rule.eval(env)
        if env.stack.pop() is True:
            env.stack.append(rule.next_stmt.name)
            return
    if self.default_state is None:
        name = StatesErrorName(typ=StatesErrorNameType.StatesNoChoiceMatched)
        raise FailureEventException(
            _execution_failed(env, name, f"No choice of the state '{self.name}' matched its input.")
        )
    # Assign and Output of the state itself belong to the default, even if a rule has the same Next state.
    if not self._is_language_query_jsonpath():
        for field in (self.assign_decl, self.output):
            if field:
                field.eval(env=env)
    env.stack.append(self.default_state.state_name)


@patches.replaces(
    StateChoice, "_eval_state_output", "moto evaluates the default's Output even after a rule with the same Next state."
)
def _choice_output(self: StateChoice, env: Environment) -> None:
    if self._is_language_query_jsonpath():
        _choice_output_in_moto(self, env)
    else:
        env.next_state_name = env.stack.pop()


def _execution_failed(env: Environment, name: StatesErrorName, cause: str) -> FailureEvent:
    details = ExecutionFailedEventDetails(error=name.error_name, cause=cause)
    return FailureEvent(
        env=env,
        error_name=name,
        event_type=HistoryEventType.ExecutionFailed,
        event_details=EventDetails(executionFailedEventDetails=details),
    )


@patches.replaces(
    CustomErrorName, "__init__", 'moto refuses names that begin with "States.", which Step Functions accepts.'
)
def _error_name(self: CustomErrorName, error_name: str | None) -> None:
    super(CustomErrorName, self).__init__(error_name=error_name)


@patches.replaces(ErrorEqualsDecl, "_eval_body", "States.ALL of moto matches errors that cannot be caught.")
def _error_equals(self: ErrorEqualsDecl, env: Environment) -> None:
    name = getattr(env.stack.pop(), "error_name", None)
    names = {error.error_name for error in self.error_names}
    if name == "States.Runtime":
        matches = False
    elif name in names:
        matches = True
    elif name == "States.DataLimitExceeded":
        matches = False
    else:
        matches = "States.ALL" in names or ("States.TaskFailed" in names and name != "States.Timeout")
    env.stack.append(matches)


def set_pace(pace: float) -> None:
    """Scale Wait states and retry delays: one second takes `pace` seconds."""
    global _pace
    _pace = pace


def _pause(env: Environment, seconds: float) -> None:
    """Wait until the time is over or the execution ends."""
    end = time.monotonic() + seconds * _pace
    while env.is_running() and (left := end - time.monotonic()) > 0:
        env.program_state_event.wait(min(left, _POLL_SECONDS))


@patches.replaces(RetrierDecl, "_eval_body", "moto continues to sleep after the execution was stopped.")
def _retry(self: RetrierDecl, env: Environment) -> None:
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if not env.stack.pop().value:
        env.stack.append(RetrierOutcome.Failed)
        return
    for step in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        step.eval(env=env)
    _pause(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


@patches.replaces(WaitFunction, "_wait_interval", "moto always waits in real time.")
def _wait_interval(_: WaitFunction, env: Environment, wait_seconds: int) -> None:
    _pause(env, wait_seconds)


@patches.replaces(
    InlineItemProcessorWorker, "_eval_input", "moto fails for an ItemSelector of a Map state without Items."
)
def _select_item(self: InlineItemProcessorWorker, env_frame: Environment) -> None:
    if not self._env.stack:
        self._env.stack.append(self._env.states.get_input())
    _eval_input_in_moto(self, env_frame)


@patches.replaces(Environment, "as_inner_frame_of", "moto omits $states.context.Map in the states of an iteration.")
def _frame(_: type[Environment], env: Environment, *arguments: Any, **options: Any) -> Environment:
    frame = _frame_in_moto(env, *arguments, **options)
    context = env.states.context_object.context_object_data
    if "Map" in context:
        frame.states.context_object.context_object_data["Map"] = context["Map"]
    return frame
