"""Lambda's Invoke, which runs the functions that moto only stores.

API reference, Invoke; Lambda developer guide, "Invoke a Lambda function synchronously".
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
import uuid
import zipfile
from typing import Any

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend, lambda_simple_backends

from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudwatch import metrics
from embedded_aws.services.lambda_.async_invocations import EventQueue, Invocation
from embedded_aws.services.lambda_.environments import Environments, Outcome, RoleNotAssumedError, ThrottledError

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MOST_BYTES = {"RequestResponse": 6_291_456, "Event": 1_048_576, "DryRun": 6_291_456}
_MOST_RESPONSE_BYTES = 6_291_556
_MOST_LOG_BYTES = 4096
# A name, <account>:function:<name> or an ARN, each with or without a version or alias.
_FUNCTION_NAME = re.compile(
    r"(arn:aws[a-zA-Z-]*:lambda:)?((?P<region>[a-z]{2}(-[a-z]+)+-\d):)?((?P<account>\d{12}):)?(function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


patches = Patches("5.2.5")
_enrich_in_moto = LambdaResponse._enrich_response
_delete_in_moto = LambdaSimpleBackend.delete_function
_init_in_moto = LambdaFunction.__init__
_update_in_moto = LambdaFunction.update_configuration
_get_in_moto = LambdaFunction.get_configuration
_put_in_moto = LambdaSimpleBackend.put_function_event_invoke_config


class _TooManyRequestsError(LambdaClientError):
    code = 429

    def __init__(self, reason: str) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")
        self.description = json.dumps({"Reason": reason, "Type": "User", "message": self.message})


class _RequestTooLargeError(LambdaClientError):
    code = 413


class _InvalidZipFileError(LambdaClientError):
    code = 502


class _AccessDeniedError(LambdaClientError):
    code = 403


class _Running:
    """The execution environments and the event queue of a running embedded AWS."""

    def __init__(self, host: Host) -> None:
        limit = host.quotas.functions if host.quotas else None
        self.environments = Environments(host.directory / "functions", host.pace.sleeping, limit)
        self.queue = EventQueue(self.run)

    def run(self, invocation: Invocation) -> Outcome:
        outcome = self.environments.run(
            invocation.function, invocation.request_id, invocation.function_arn, invocation.event
        )
        if len(outcome.payload) > _MOST_RESPONSE_BYTES:
            message = f"Response payload size exceeded maximum allowed payload size ({_MOST_RESPONSE_BYTES} bytes)."
            document = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
            outcome = Outcome(json.dumps(document).encode(), True, outcome.log)
        _report(invocation, outcome)
        return outcome

    def close(self) -> None:
        self.environments.close()
        self.queue.close()


_running: _Running


def _report(invocation: Invocation, outcome: Outcome) -> None:
    """Report the metrics of an invocation, or of one attempt of an asynchronous invocation."""
    region, account = invocation.function_arn.split(":")[3:5]
    for metric, value in {"Invocations": 1, "Errors": int(outcome.failed)}.items():
        name = invocation.function.function_name
        metrics.report(account, region, "AWS/Lambda", metric, value, FunctionName=name)


def kill_busy() -> None:
    """End every process that is running a function, as the failure of a Lambda host does."""
    _running.environments.kill_busy()


def install(host: Host) -> None:
    """Apply the patches, and end the processes with the host."""
    global _running
    _running = _Running(host)
    host.exits.callback(_running.close)
    patches.apply()


@patches.replaces(LambdaResponse, "invoke", "moto runs functions in Docker or not at all.")
def _respond(response: Any) -> tuple[int, dict[str, str], bytes]:
    name = urllib.parse.unquote(response.path.rsplit("/", 2)[-2])
    parts = _FUNCTION_NAME.fullmatch(name)
    if parts is None:
        raise LambdaClientError("ValidationException", f"1 validation error detected: Value '{name}' at 'functionName'")
    backend = lambda_simple_backends[parts["account"] or response.current_account][parts["region"] or response.region]
    qualifier = parts["qualifier"] or response.querystring.get("Qualifier", [None])[0]
    function = backend.get_function(parts["name"], qualifier)
    kind = response.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    event = _event(response.normalized_request.data, kind)
    arn = f"{backend.get_function(parts['name']).function_arn}:{qualifier}" if qualifier else function.function_arn
    invocation = Invocation(function, arn, str(uuid.uuid4()), event)
    headers = {"x-amzn-requestid": invocation.request_id, "X-Amz-Executed-Version": str(function.version)}
    if kind == "DryRun":
        return 204, headers | {"status": "204"}, b""
    if kind == "Event":
        _running.queue.put(invocation)
        return 202, headers | {"status": "202"}, b""
    outcome = _run(invocation)
    headers["Content-Type"] = "application/json"
    if outcome.failed:
        headers["X-Amz-Function-Error"] = "Unhandled"
    if response.headers.get("X-Amz-Log-Type") == "Tail":
        headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log.encode()[-_MOST_LOG_BYTES:]).decode()
    return 200, headers, outcome.payload


@patches.replaces(LambdaResponse, "_enrich_response", "moto generates a request ID that differs from the function's.")
def _enrich_response(headers: dict[str, str], body: Any) -> tuple[dict[str, str], Any]:
    known = {name: value for name, value in headers.items() if name == "x-amzn-requestid"}
    headers, body = _enrich_in_moto(headers, body)
    return headers | known, body


def _event(body: bytes, kind: str) -> bytes:
    if len(body) > _MOST_BYTES[kind]:
        message = f"Request must be smaller than {_MOST_BYTES[kind]} bytes for the InvokeFunction operation"
        raise _RequestTooLargeError("RequestEntityTooLargeException", message)
    try:
        json.loads(body or b"{}")
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise LambdaClientError("InvalidRequestContentException", message) from error
    return body or b"{}"


def _run(invocation: Invocation) -> Outcome:
    try:
        return _running.run(invocation)
    except ThrottledError as error:
        raise _TooManyRequestsError(error.reason) from None
    except RoleNotAssumedError as error:
        raise _AccessDeniedError("AccessDeniedException", str(error)) from None
    except zipfile.BadZipFile:
        message = "Lambda was not able to unzip the file"
        raise _InvalidZipFileError("InvalidZipFileException", message) from None


@patches.replaces(LambdaSimpleBackend, "invoke", "moto runs functions in Docker or not at all.")
def _invoke_for_a_poller(
    backend: Any,
    function_name: str,
    qualifier: str | None,
    body: str,
    headers: object,
    response_headers: dict[str, str],
) -> bytes:
    """Run a function for moto's event source mappings, which check the error header to delete a message."""
    function = backend.get_function(function_name, qualifier)
    outcome = _run(Invocation(function, function.function_arn, str(uuid.uuid4()), body.encode()))
    if outcome.failed:
        response_headers["x-amz-function-error"] = "Unhandled"
    return outcome.payload


@patches.replaces(LambdaFunction, "invoke", "moto runs functions in Docker or not at all.")
def _invoke_for_a_service(function: Any, body: str, headers: object, response_headers: object) -> bytes:
    """Queue an event of moto's SNS, S3 notifications and log subscriptions, which do not wait on AWS."""
    _running.queue.put(Invocation(function, function.function_arn, str(uuid.uuid4()), body.encode()))
    return b"null"


@patches.replaces(LambdaSimpleBackend, "delete_function", "moto does not end the processes that run a function.")
def _delete_function(backend: Any, function_name: str, qualifier: str | None = None) -> None:
    function = backend.get_function(function_name, qualifier)
    _delete_in_moto(backend, function_name, qualifier)
    _running.environments.retire(function)


@patches.replaces(LambdaFunction, "__init__", "moto ignores DeadLetterConfig and LoggingConfig.")
def _init_function(function: Any, account_id: str, spec: dict[str, Any], region: str, version: str | int = 1) -> None:
    _init_in_moto(function, account_id, spec, region, version)
    function.dead_letter_config = spec.get("DeadLetterConfig", {})
    function.logging_config = spec.get("LoggingConfig", {})


@patches.replaces(LambdaFunction, "update_configuration", "moto ignores DeadLetterConfig and LoggingConfig.")
def _update_configuration(function: Any, updates: dict[str, Any]) -> dict[str, Any]:
    function.dead_letter_config = updates.get("DeadLetterConfig", function.dead_letter_config)
    function.logging_config = updates.get("LoggingConfig", function.logging_config)
    _update_in_moto(function, updates)
    configuration: dict[str, Any] = function.get_configuration()
    return configuration


@patches.replaces(LambdaFunction, "get_configuration", "moto ignores DeadLetterConfig and LoggingConfig.")
def _get_configuration(function: Any, on_create: bool = False) -> dict[str, Any]:
    logging = {"LogFormat": "Text", "LogGroup": function.logs_group_name} | function.logging_config
    configuration: dict[str, Any] = _get_in_moto(function, on_create) | {"LoggingConfig": logging}
    if function.dead_letter_config:
        configuration["DeadLetterConfig"] = function.dead_letter_config
    return configuration


@patches.replaces(
    LambdaSimpleBackend,
    "put_function_event_invoke_config",
    "moto does not replace an existing configuration.",
)
def _put_event_invoke_config(backend: Any, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
    backend.get_function(function_name).event_invoke_config = []
    configuration: dict[str, Any] = _put_in_moto(backend, function_name, config)
    return configuration
