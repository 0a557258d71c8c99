"""Service integrations: calls with the state machine's role, and the names and errors of the AWS SDK for Java.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html and the pages of the
optimized integrations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import json
import re
import sys
import time
from typing import Any

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, UnknownServiceError
from botocore.exceptions import ConnectionError as NoAnswerError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.response import StreamingBody
from moto.core.exceptions import ServiceException
from moto.stepfunctions.parser import models as _all_interpreter_modules  # noqa: F401
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.state.exec.state_task import credentials
from moto.stepfunctions.parser.asl.component.state.exec.state_task.lambda_eval_utils import LambdaFunctionErrorException
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_dynamodb import (
    StateTaskServiceDynamoDB,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_events import (
    SfnFailedEntryCountException,
    StateTaskServiceEvents,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (
    StateTaskServiceLambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sns import (
    StateTaskServiceSns,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sqs import (
    StateTaskServiceSqs,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from embedded_aws.iam import clients
from embedded_aws.kernel import sdk
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.stepfunctions.language import instant

# A Lambda function can run for up to 15 minutes.
_CONFIG = Config(
    retries={"total_max_attempts": 1},
    read_timeout=1000,
    s3={"addressing_style": "path"},
    max_pool_connections=50,
)
_SESSION_SECONDS = 1800

# The optimized integrations use the error names of version 1 of the SDK for Java. For each: the service, and the
# exception for errors that the service's API does not declare.
_OPTIMIZED = {
    StateTaskServiceLambda: ("Lambda", "AWSLambdaException"),
    StateTaskServiceDynamoDB: ("DynamoDB", "AmazonDynamoDBException"),
    StateTaskServiceEvents: ("EventBridge", "AmazonEventBridgeException"),
    StateTaskServiceSfn: ("StepFunctions", "AWSStepFunctionsException"),
    StateTaskServiceSns: ("SNS", "AmazonSNSException"),
    StateTaskServiceSqs: ("SQS", "AmazonSQSException"),
}
# An SDK integration has the name of the SDK's package, the service ID in lower case. For these, boto3's name differs.
_BOTO_NAMES = {
    "applicationautoscaling": "application-autoscaling",
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sagemakerruntime": "sagemaker-runtime",
    "sfn": "stepfunctions",
}

# Lambda functions that run out of time or memory may end without an error type (Step Functions developer guide, "Handle
# Lambda service exceptions"). Executions in public reports show this cause.
_NO_ERROR_TYPE = "The cause could not be determined because Lambda did not return an error type. Returned payload: "
# API reference of Step Functions, TaskFailedEventDetails.
_MAXIMUM_CAUSE = 32_768

patches = Patches("5.2.5")
_FROM_ERROR_IN_MOTO = {kind: kind._from_error for kind in (*_OPTIMIZED, StateTaskServiceAwsSdk)}


class RoleNotAssumedError(Exception):
    """The state machine's role, or the role in a state's Credentials, could not be assumed."""


@dataclasses.dataclass
class _StateCredentials(credentials.StateCredentials):
    """The role that makes the call (`role_arn`), and the state machine's role (`caller`), which can assume it."""

    caller: str
    state_machine: str


def forget_clients() -> None:
    """Discard the cached clients; their endpoint URL is no longer valid after a restart."""
    _client.cache_clear()


def _client_for(region: str, service: str, state_credentials: _StateCredentials) -> Any:
    role = state_credentials
    return _client(region, service, role.role_arn, role.caller, role.state_machine, _session_window())


def _session_window() -> int:
    return int(time.monotonic() // _SESSION_SECONDS)


for _module in [module for name, module in sys.modules.items() if name.startswith("moto.stepfunctions.parser.asl")]:
    if hasattr(_module, "boto_client_for"):
        patches.replace(_module, "boto_client_for", _client_for, "moto uses fixed credentials.")


@functools.lru_cache(maxsize=256)
def _client(region: str, service: str, role_arn: str, caller: str, state_machine: str, _window: int) -> Any:
    try:
        call = clients.ServiceCall("states.amazonaws.com", state_machine)
        session = clients.role_credentials(caller, "StepFunctions", call)
        if role_arn != caller:
            session = _assume(role_arn, session, region)
    except (ClientError, ServiceException) as error:
        raise RoleNotAssumedError(f"The role {role_arn} could not be assumed for {caller}: {error}") from error
    return _connect(service, session, region)


def _assume(role_arn: str, session: dict[str, str], region: str) -> dict[str, str]:
    answer = _connect("sts", session, region).assume_role(RoleArn=role_arn, RoleSessionName="StepFunctions")
    return {
        "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
        "aws_session_token": answer["Credentials"]["SessionToken"],
    }


def _connect(service: str, session: dict[str, str], region: str) -> Any:
    return sdk.client(service, session, region, _CONFIG)


@patches.replaces(StateTask, "_eval_state_credentials", "moto uses fixed credentials.")
def _eval_state_credentials(self: StateTask, env: Environment) -> _StateCredentials:
    machine_role = env.aws_execution_details.role_arn
    state_machine = env.states.context_object.context_object_data["StateMachine"]["Id"]
    if not self.credentials:
        return _StateCredentials(machine_role, machine_role, state_machine)
    self.credentials.eval(env=env)
    return _StateCredentials(env.stack.pop().role_arn, machine_role, state_machine)


def _operation(boto_name: str, action: str) -> OperationModel:
    """Return an operation of a service by the name `describeEndpoint` or, in moto's polling, `describe_endpoint`."""
    model = sdk.service_model(boto_name)
    lower = action.replace("_", "").lower()
    (name,) = [name for name in model.operation_names if name.lower() == lower]
    return model.operation_model(name)


@patches.replaces(StateTaskServiceAwsSdk, "_get_boto_service_name", "moto does not know the names of the SDK for Java.")
def _sdk_service_name(self: StateTaskServiceAwsSdk, boto_service_name: str | None = None) -> str:
    name = boto_service_name or self.resource.api_name
    return _BOTO_NAMES.get(name, name)


@patches.replaces(
    StateTaskServiceAwsSdk, "_get_boto_service_action", "moto does not know the names of the SDK for Java."
)
def _sdk_action(self: StateTaskServiceAwsSdk, service_action_name: str | None = None) -> str:
    operation = _operation(self._get_boto_service_name(), service_action_name or self.resource.api_action)
    return str(xform_name(operation.name))


@patches.replaces(
    StateTaskServiceAwsSdk, "_validate_service_integration_is_supported", "moto accepts actions that do not exist."
)
def _validate_sdk_integration(self: StateTaskServiceAwsSdk) -> None:
    # Step Functions checks services and actions when a state machine is created.
    try:
        model = sdk.service_model(self._get_boto_service_name())
        _operation(self._get_boto_service_name(), self.resource.api_action)
    except (UnknownServiceError, ValueError):
        model = None
    if model is None or str(model.service_id).replace(" ", "").lower() != self.resource.api_name:
        raise ValueError(
            f"The resource provided {self.resource.resource_arn} is not recognized. "
            "The value is not a valid resource ARN, or the resource is not available in this region."
        )


@patches.replaces(StateTaskService, "_normalise_parameters", "moto passes requests on with boto3's names.")
def _normalise_parameters(
    self: StateTaskService,
    parameters: Any,
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    action = service_action_name or self.resource.api_action
    shape = _operation(self._get_boto_service_name(boto_service_name), action).input_shape
    if shape is not None:
        _replace(parameters, _to_boto(parameters, shape))


@patches.replaces(StateTaskService, "_normalise_response", "moto passes responses on with boto3's names.")
def _normalise_response(
    self: StateTaskService, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    action = service_action_name or self.resource.api_action
    shape = _operation(self._get_boto_service_name(boto_service_name), action).output_shape
    if shape is not None:
        _replace(response, _from_boto(response, shape))


def _replace(mapping: dict[str, Any], other: dict[str, Any]) -> None:
    mapping.clear()
    mapping.update(other)


def _to_boto(value: Any, shape: Shape) -> Any:
    """Convert a request in PascalCase to boto3's form: null is omitted, and an object becomes a string if required."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        names = {StateTaskService._to_sfn_cased(name).lower(): name for name in shape.members}
        members = {names.get(key.lower(), key): member for key, member in value.items() if member is not None}
        return {
            name: _to_boto(member, shape.members[name]) if name in shape.members else member
            for name, member in members.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_to_boto(member, shape.member) for member in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _to_boto(member, shape.value) for key, member in value.items()}
    if shape.type_name == "string" and not isinstance(value, str):
        return to_json_str(value, separators=(",", ":"))
    if shape.type_name == "blob" and not isinstance(value, bytes):
        return to_json_str(value, separators=(",", ":")).encode()
    return value


def _from_boto(value: Any, shape: Shape) -> Any:
    """Convert a response of boto3 to PascalCase and JSON types."""
    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime.datetime):
        return instant(value)
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            StateTaskService._to_sfn_cased(name): _from_boto(member, shape.members[name])
            if name in shape.members
            else member
            for name, member in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_boto(member, shape.member) for member in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _from_boto(member, shape.value) for key, member in value.items()}
    return value


def _from_error(self: StateTaskService, env: Environment, ex: Exception) -> FailureEvent:
    kind = type(self)
    if isinstance(ex, RoleNotAssumedError):
        return _task_failed(self, env, "States.Permissions", str(ex))
    if isinstance(ex, ClientError):
        return _task_failed(self, env, *_error_and_cause(self, ex))
    if isinstance(ex, HTTPClientError | NoAnswerError):
        # The SDK for Java throws SdkClientException if the connection fails.
        return _task_failed(self, env, f"{_service(self)}.SdkClientException", str(ex))
    if isinstance(ex, LambdaFunctionErrorException) and not _has_error_type(ex.payload):
        return _task_failed(self, env, "Lambda.Unknown", f"{_NO_ERROR_TYPE}{ex.payload}")
    if isinstance(ex, SfnFailedEntryCountException):
        return _task_failed(self, env, "EventBridge.FailedEntry", to_json_str(ex.cause))
    # moto reports a time-out or a failed expression in a DynamoDB task as an error of DynamoDB.
    original = StateTaskService._from_error if kind is StateTaskServiceDynamoDB else _FROM_ERROR_IN_MOTO[kind]
    return _with_short_cause(original(self, env=env, ex=ex))


for _kind in _FROM_ERROR_IN_MOTO:
    patches.replace(_kind, "_from_error", _from_error, "moto uses boto3's error names.")


def _has_error_type(payload: Any) -> bool:
    with contextlib.suppress(ValueError, TypeError):
        document = json.loads(payload)
        return isinstance(document, dict) and "errorType" in document
    return False


def _error_and_cause(self: StateTaskService, error: ClientError) -> tuple[str, str]:
    # botocore has an exception class for every error that the API of a service declares.
    declared = type(error).__name__ if type(error) is not ClientError else None
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    metadata = error.response["ResponseMetadata"]
    status, request = metadata["HTTPStatusCode"], metadata.get("RequestId", "")
    service = _service(self)
    if type(self) in _OPTIMIZED:
        undeclared = _OPTIMIZED[type(self)][1]
        details = f"Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {request}; Proxy: null"
    else:
        undeclared = f"{service}Exception"
        details = f"Service: {service}, Status Code: {status}, Request ID: {request}"
    return f"{service}.{_java_exception(declared) if declared else undeclared}", f"{message} ({details})"


def _service(self: StateTaskService) -> str:
    """Return the name of the service in errors of the integration."""
    if type(self) in _OPTIMIZED:
        return _OPTIMIZED[type(self)][0]
    return _java_name(str(sdk.service_model(self._get_boto_service_name()).service_id))


def _task_failed(self: StateTaskService, env: Environment, error: str, cause: str) -> FailureEvent:
    details = TaskFailedEventDetails(
        error=error, cause=cause, resource=self._get_sfn_resource(), resourceType=self._get_sfn_resource_type()
    )
    return _with_short_cause(
        FailureEvent(
            env=env,
            error_name=CustomErrorName(error),
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(taskFailedEventDetails=details),
        )
    )


def _with_short_cause(event: FailureEvent) -> FailureEvent:
    details = (event.event_details or {}).get("taskFailedEventDetails") or {}
    if cause := details.get("cause"):
        details["cause"] = cause[:_MAXIMUM_CAUSE]
    return event


def _java_exception(shape_name: str) -> str:
    name = _java_name(re.sub("Fault$", "", shape_name))
    return name if name.endswith("Exception") else f"{name}Exception"


def _java_name(name: str) -> str:
    """Convert a name as the SDK for Java does: DynamoDB to DynamoDb, CloudWatch Logs to one word."""
    for pattern, replacement in (
        (r"[^A-Za-z0-9]+", " "),
        (r"(?<=[a-z])(?=[A-Z][a-zA-Z0-9])", " "),
        (r"([A-Z]+)([A-Z][a-z])", r"\1 \2"),
        (r"([0-9])([a-zA-Z])", r"\1 \2"),
    ):
        name = re.sub(pattern, replacement, name)
    return "".join(word.capitalize() for word in name.split())
