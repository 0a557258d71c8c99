"""Step Functions: executions that run in the background, report metrics and emit events of their status.

moto interprets the Amazon States Language; `language` and `integrations` correct its interpreter.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, override

from moto.core.base_backend import BackendDict
from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions.exceptions import InvalidExecutionInput, ValidationException
from moto.stepfunctions.parser import api as parser_api
from moto.stepfunctions.parser import models as parser_models
from moto.stepfunctions.parser.api import (
    ExecutionAbortedEventDetails,
    ExecutionStatus,
    ExecutionTimedOutEventDetails,
    HistoryEventType,
)
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import ExecutionDetails
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError, ProgramTimedOut
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.utils import TMP_THREADS
from moto.stepfunctions.responses import StepFunctionResponse

from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudwatch import metrics
from embedded_aws.services.events import api as events
from embedded_aws.services.stepfunctions import definitions, history, integrations, language

# A larger event omits the input, then the output. Source:
# https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
_MOST_EVENT_BYTES = 248 * 1024
_HISTORY_PAGE = 100
_METRICS = {
    ExecutionStatus.RUNNING: "ExecutionsStarted",
    ExecutionStatus.SUCCEEDED: "ExecutionsSucceeded",
    ExecutionStatus.FAILED: "ExecutionsFailed",
    ExecutionStatus.TIMED_OUT: "ExecutionsTimedOut",
    ExecutionStatus.ABORTED: "ExecutionsAborted",
}

patches = Patches("5.2.5")
_starting = threading.Lock()


@contextlib.contextmanager
def watched(watch: Callable[[Execution, str], None]) -> Iterator[None]:
    """Call `watch` with the execution and the name of each state that is entered, before the state runs."""
    history.watchers.append(watch)
    try:
        yield
    finally:
        history.watchers.remove(watch)


def install(host: Host) -> None:
    """Install Step Functions."""
    integrations.forget_clients()
    language.set_pace(host.pace.waiting)
    for module in (language, integrations):
        module.patches.apply()
    patches.apply()
    # Errors in a state machine belong to its execution. Without a handler, Python would write them to stderr.
    logging.getLogger("moto.stepfunctions").addHandler(logging.NullHandler())
    host.exits.callback(_abandon_executions)


class _Worker(ExecutionWorker):
    """A worker with an environment from the start, so that an execution can be stopped at any time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.env = super()._get_evaluation_environment()
        self.env.event_manager = history.History()

    def _get_evaluation_environment(self) -> Environment:
        return self.env

    def _get_evaluation_entrypoint(self) -> EvalComponent:
        return language.parse(self._evaluation_details.state_machine_details.definition)


class _Communication(BaseExecutionWorkerCommunication):
    @override
    def terminated(self) -> None:
        self.execution.program_ended()


class _Execution(Execution):
    exec_status: ExecutionStatus

    def __init__(self, **details: Any) -> None:
        super().__init__(**details)
        self._changing = threading.Lock()
        self.exec_worker = self._get_start_execution_worker()
        self.exec_worker.env.event_manager.execution = self
        self.exec_status = ExecutionStatus.RUNNING

    def _get_start_execution_worker_comm(self) -> _Communication:
        return _Communication(self)

    def _get_start_execution_worker(self) -> _Worker:
        worker = super()._get_start_execution_worker()
        return _Worker(
            worker._evaluation_details,
            worker._execution_communication,
            cloud_watch_logging_session=None,
            activity_store={},
        )

    @override
    def get_start_execution_details(self) -> ExecutionDetails:
        details = super().get_start_execution_details()
        details.start_time = language.instant(self.start_date)
        return details

    def report_start(self) -> None:
        """Report the metric and emit the event of the start."""
        self._emit()

    @override
    def start(self) -> None:
        self.exec_worker.start()

    @override
    def stop(self, stop_date: datetime.datetime, error: str | None, cause: str | None) -> None:
        """End the execution immediately; calls that its tasks have started continue, as on AWS."""
        if self._abort(stop_date, error, cause):
            self._emit()

    def abandon(self) -> None:
        """End the execution without a metric and an event."""
        self._abort(_now(), None, None)

    def program_ended(self) -> None:
        """Record the result of the interpreter."""
        TMP_THREADS.clear()  # moto only adds to it
        env = self.exec_worker.env
        state = env.program_state()
        with self._changing:
            if self.exec_status != ExecutionStatus.RUNNING:
                return
            self.stop_date = _now()
            if isinstance(state, ProgramEnded):
                self.output = env.states.get_input()
                self.exec_status = ExecutionStatus.SUCCEEDED
            elif isinstance(state, ProgramTimedOut):
                self._add_end(
                    HistoryEventType.ExecutionTimedOut, executionTimedOutEventDetails=ExecutionTimedOutEventDetails()
                )
                self.exec_status = ExecutionStatus.TIMED_OUT
            elif isinstance(state, ProgramError):
                self.error, self.cause = state.error.get("error"), state.error.get("cause")
                self.exec_status = ExecutionStatus.FAILED
        self._emit()

    def _abort(self, stop_date: datetime.datetime, error: str | None, cause: str | None) -> bool:
        env = self.exec_worker.env
        with self._changing:
            if self.exec_status != ExecutionStatus.RUNNING or env.event_manager.ended:
                return False
            details = ExecutionAbortedEventDetails(error=error, cause=cause)
            self._add_end(HistoryEventType.ExecutionAborted, executionAbortedEventDetails=details)
            self.stop_date, self.error, self.cause = stop_date, error, cause
            self.exec_status = ExecutionStatus.ABORTED
        env.set_stop(stop_date=stop_date, cause=cause, error=error)
        return True

    def _add_end(self, event_type: HistoryEventType, **details: Any) -> None:
        env = self.exec_worker.env
        env.event_manager.add_event(
            context=env.event_history_context, event_type=event_type, event_details=EventDetails(**details)
        )

    @override
    def to_describe_output(self) -> dict[str, Any]:
        description = super().to_describe_output() | {"input": self.execution_input}
        return {name: value for name, value in description.items() if value is not None}

    @override
    def to_execution_list_item(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_execution_list_item().items() if value is not None}

    def _emit(self) -> None:
        ended = self.exec_status != ExecutionStatus.RUNNING
        metrics.report(
            self.account_id,
            self.region_name,
            "AWS/States",
            _METRICS[self.exec_status],
            1,
            StateMachineArn=self.state_machine.arn,
        )
        output = None
        if self.exec_status == ExecutionStatus.SUCCEEDED:
            output = to_json_str(self.output, separators=(",", ":"))
        sizes = [len(json.dumps(text).encode()) for text in (self.execution_input, output or "")]
        input_included, output_included = sum(sizes) <= _MOST_EVENT_BYTES, sizes[1] <= _MOST_EVENT_BYTES
        detail = {
            "executionArn": self.exec_arn,
            "stateMachineArn": self.state_machine.arn,
            "name": self.name,
            "status": self.status,
            "startDate": _milliseconds(self.start_date),
            "stopDate": _milliseconds(self.stop_date) if ended else None,
            "input": self.execution_input if input_included else None,
            "output": output if output_included else None,
            "inputDetails": {"included": input_included},
            "outputDetails": None if output is None else {"included": output_included},
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "redriveCount": 0,
            "redriveDate": None,
            "redriveStatus": "NOT_REDRIVABLE",
            "redriveStatusReason": None,
            "error": self.error,
            "cause": self.cause,
        }
        events.emit(
            self.account_id,
            "aws.states",
            "Step Functions Execution Status Change",
            detail,
            [self.exec_arn],
            self.region_name,
        )


class _Backend(parser_models.StepFunctionsParserBackend):
    @override
    def create_state_machine(self, name: str, definition: str, roleArn: str, **options: Any) -> Any:
        """Create a state machine; a repeated request must be identical, because it is not an update."""
        for machine in self.state_machines:
            if machine.name == name and (machine.definition, machine.roleArn) != (definition, roleArn):
                raise parser_api.StateMachineAlreadyExists(f"State Machine Already Exists: '{machine.arn}'")
        return super().create_state_machine(name, definition, roleArn, **options)

    @override
    def start_execution(
        self,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: str | None = None,
    ) -> Execution:
        machine = self.describe_state_machine(state_machine_arn)
        name, text = str(uuid.uuid4()) if name is None else name, execution_input or "{}"
        self._validate_name(name)
        _validate_input(text)
        with _starting:
            existing = machine._handle_name_input_idempotency(name, text)
            if existing is not None:
                return existing
            # An update replaces the definition and the role, so a shallow copy keeps the current ones.
            execution = _Execution(
                name=name,
                sm_type=machine.sm_type,
                role_arn=machine.roleArn,
                exec_arn=f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}",
                account_id=self.account_id,
                region_name=self.region_name,
                state_machine=copy.copy(machine),
                start_date=_now(),
                cloud_watch_logging_session=None,
                input_data=text,
                trace_header=trace_header,
                activity_store={},
            )
            execution.report_start()
            machine.executions.append(execution)
            execution.start()
        return execution


_backends = BackendDict(_Backend, "stepfunctions")


def _validate_input(text: str) -> None:
    if len(text.encode()) > language.MOST_BYTES:
        raise ValidationException(
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            f"Member must have length less than or equal to {language.MOST_BYTES}"
        )
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidExecutionInput(f"Invalid State Machine Execution Input: '{error}'") from error


def _abandon_executions() -> None:
    for regions in _backends.values():
        for backend in regions.values():
            for machine in backend.state_machines:
                for execution in machine.executions:
                    execution.abandon()


def _now() -> datetime.datetime:
    """Return the current time in milliseconds, the precision of the API."""
    now = datetime.datetime.now(tz=datetime.UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _milliseconds(moment: datetime.datetime) -> int:
    return round(moment.timestamp() * 1000)


@patches.replaces(StepFunctionResponse, "describe_execution", "moto omits the stop date and error of some executions.")
def _describe_execution(self: StepFunctionResponse) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    return ActionResult(execution.to_describe_output())


@patches.replaces(StepFunctionResponse, "list_executions", "moto omits the stop date of some executions.")
def _list_executions(self: StepFunctionResponse) -> ActionResult:
    executions, token = self.stepfunction_backend.list_executions(
        self._get_param("stateMachineArn"),
        status_filter=self._get_param("statusFilter"),
        max_results=self._get_int_param("maxResults"),
        next_token=self._get_param("nextToken"),
    )
    return ActionResult({"executions": [item.to_execution_list_item() for item in executions], "nextToken": token})


@patches.replaces(StepFunctionResponse, "get_execution_history", "moto ignores pagination and reverseOrder.")
def _get_execution_history(self: StepFunctionResponse) -> ActionResult:
    found = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))["events"]
    if self._get_bool_param("reverseOrder"):
        found.reverse()
    start = int(self._get_param("nextToken") or 0)
    end = start + (self._get_int_param("maxResults") or _HISTORY_PAGE)
    # moto would have each time read by dateutil.
    events = [{**event, "timestamp": datetime.datetime.fromisoformat(event["timestamp"])} for event in found[start:end]]
    return ActionResult({"events": events, "nextToken": str(end) if end < len(found) else None})


@patches.replaces(StepFunctionResponse, "stop_execution", "moto ignores the error and the cause.")
def _stop_execution(self: StepFunctionResponse) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    execution.stop(_now(), self._get_param("error"), self._get_param("cause"))
    return ActionResult({"stopDate": execution.stop_date})


@patches.replaces(StepFunctionResponse, "send_task_failure", "moto ignores the error and the cause.")
def _send_task_failure(self: StepFunctionResponse) -> EmptyResult:
    self.stepfunction_backend.send_task_failure(
        self._get_param("taskToken"), error=self._get_param("error"), cause=self._get_param("cause")
    )
    return EmptyResult()


for _error in AWSError.__subclasses__():
    if _error.__module__ == parser_api.__name__:
        patches.replace(_error, "TYPE", _error.code, "moto omits the codes of the interpreter's errors.")
patches.replace(
    parser_models.StepFunctionsParserBackend,
    "_validate_definition",
    definitions.validate,
    "moto accepts definitions that Step Functions refuses.",
)
patches.replace(
    parser_models,
    "stepfunctions_parser_backends",
    _backends,
    "moto's executions ignore events, metrics, roles and time-outs.",
)
