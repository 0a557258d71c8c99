"""The Python runtime of a Lambda function: load its handler once, then run it for every event from the parent.

This is a script that runs in its own process, with a socket to the parent as standard input. It follows AWS's pages
"Define Lambda function handler in Python", "Using the Lambda context object" and "Log and monitor Python functions".
Its log lines are those of AWS's runtime (github.com/aws/aws-lambda-python-runtime-interface-client). It imports only
the standard library: it must start quickly, and functions must not see the project's modules.
"""

from __future__ import annotations

import decimal
import importlib
import io
import json
import logging
import os
import queue
import site
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace, TracebackType
from typing import Any, Never

Handler = Callable[[Any, Any], Any]

_JSON_TIME = "%Y-%m-%dT%H:%M:%SZ"


class FaultError(Exception):
    """An error that the runtime detects, not the function. `kind` is AWS's error type."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


class Parent:
    """The connection to the parent: messages preceded by their length, as in multiprocessing.connection.

    A thread reads from it, so that the process ends with its parent even if a handler hangs.
    """

    def __init__(self) -> None:
        # Unbuffered, because a thread that waits in a buffered read would break the interpreter's exit.
        self._in = io.FileIO(os.dup(0), "rb")
        self._out = io.BufferedWriter(io.FileIO(os.dup(0), "wb"))
        # The function must not have access to the socket, and its standard input must be empty.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="runtime", daemon=True).start()

    def receive(self) -> bytes:
        """Wait for the next message and return it."""
        return self._messages.get()

    def send(self, message: bytes) -> None:
        """Send a message."""
        self._out.write(struct.pack("!i", len(message)) + message)
        self._out.flush()

    def _read(self) -> None:
        while length := self._read_exactly(4):
            self._messages.put(self._read_exactly(*struct.unpack("!i", length)))
        os._exit(0)

    def _read_exactly(self, size: int) -> bytes:
        message = b""
        while len(message) < size and (chunk := self._in.read(size - len(message))):
            message += chunk
        return message


class Context:
    """The context object (https://docs.aws.amazon.com/lambda/latest/dg/python-context.html)."""

    def __init__(self, request_id: str, function_arn: str, deadline: float) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.invoked_function_arn = function_arn
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = request_id
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Return the time in milliseconds before Lambda ends the invocation."""
        return max(0, int((self._deadline - time.time()) * 1000))


class TextFormatter(logging.Formatter):
    """The format of a log line of a function with the log format Text."""

    def __init__(self) -> None:
        super().__init__(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
        )


class JsonFormatter(logging.Formatter):
    """The format of a log line of a function with the log format JSON (`JsonFormatter` of AWS's runtime)."""

    _OWN = frozenset(("aws_request_id", *logging.makeLogRecord({}).__dict__))

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object."""
        line = {
            "timestamp": self.formatTime(record, _JSON_TIME),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": record.__dict__["aws_request_id"],
        }
        if record.exc_info and record.exc_info[0]:
            line |= {
                "stackTrace": traceback.format_tb(record.exc_info[2]),
                "errorType": record.exc_info[0].__name__,
                "errorMessage": str(record.exc_info[1]),
                "location": f"{record.pathname}:{record.funcName}:{record.lineno}",
            }
        extra = {key: value for key, value in record.__dict__.items() if key not in self._OWN and key not in line}
        return json.dumps(line | extra, ensure_ascii=False)


class LambdaLoggerHandler(logging.Handler):
    """The handler that the runtime adds to the root logger, in the format of Lambda's log events."""

    request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record with the request ID."""
        record.aws_request_id = self.request_id
        log(self.format(record))


def log(entry: str) -> None:
    """Write one log event. Its lines are separated by carriage returns, which do not end the event."""
    sys.stdout.write(entry.replace("\n", "\r") + "\n")


def log_error(document: dict[str, Any]) -> None:
    """Write the log event of an exception that the handler raised, in the log format of the function."""
    if is_json():
        head = {"timestamp": time.strftime(_JSON_TIME, time.gmtime()), "log_level": "ERROR"}
        log(json.dumps(head | document, ensure_ascii=False))
        return
    first = f"[ERROR] {document['errorType']}: {document['errorMessage']}"
    log("\n".join([first, "Traceback (most recent call last):", *document["stackTrace"]]))


def is_json() -> bool:
    """Return whether the function has the log format JSON."""
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"


def error_document(error: BaseException, request_id: str = "") -> bytes:
    """Log an error and return its document, in which the class name has no module.

    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    if isinstance(error, FaultError):
        kind, trace = error.kind, error.trace
    else:
        kind, trace = type(error).__name__, own_frames(error.__traceback__)
    document = {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}
    log_error(document)
    return b"error:" + json.dumps(document).encode()


def own_frames(trace: TracebackType | None) -> list[str]:
    """Return the formatted frames of a traceback without those of this module."""
    frames = traceback.extract_tb(trace)
    return traceback.format_list([frame for frame in frames if frame.filename != __file__])


def load_handler(name: str) -> Handler:
    """Import a function's handler. Raise FaultError with AWS's type and message if that fails."""
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        reason = "not enough values to unpack (expected 2, got 1)"
        raise FaultError("Runtime.MalformedHandlerName", f"Bad handler '{name}': {reason}")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise FaultError("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise FaultError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", trace
        ) from error
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError as error:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise FaultError("Runtime.HandlerNotFound", message) from error
    return handler


def encode(response: object) -> bytes:
    """Return a handler's response as JSON. Raise FaultError Runtime.MarshalError if that is not possible."""
    if isinstance(response, bytes):
        return response
    try:
        return json.dumps(response, default=_number, ensure_ascii=False).encode()
    except Exception as error:
        raise FaultError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _number(value: object) -> int | float:
    """Convert the decimals of DynamoDB's resource API, which Lambda's encoder accepts, too."""
    if isinstance(value, decimal.Decimal):
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def run(handler: Handler, request: bytes) -> bytes:
    """Run the handler for a request from the parent, and return the response.

    The first line of the request has the request ID, the function's ARN and the deadline, the rest is the event.
    """
    head, _, event = request.partition(b"\n")
    request_id, function_arn, deadline = json.loads(head)
    LambdaLoggerHandler.request_id = request_id
    try:
        return b"result:" + encode(handler(json.loads(event), Context(request_id, function_arn, deadline)))
    except Exception as error:  # noqa: BLE001  any error of the handler is its response
        return error_document(error, request_id)


def scale_sleep(pace: float) -> None:
    """Make one second of `time.sleep` take `pace` seconds."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(float(seconds) * pace)


def main() -> Never:
    """Load the handler, and run it for the parent's requests until the process is killed."""
    parent = Parent()
    # `-S` excludes site-packages. These two directories contain the packages that exist on Lambda.
    task, packages, pace = sys.argv[1:]
    sys.argv[1:] = []
    if float(pace) != 1:
        scale_sleep(float(pace))
    sys.path[:0] = [task]
    sys.path.append(packages)
    site.setquit()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL")
    logging.Formatter.converter = time.gmtime
    handler_of_lines = LambdaLoggerHandler()
    handler_of_lines.setFormatter(JsonFormatter() if is_json() else TextFormatter())
    logging.getLogger().addHandler(handler_of_lines)
    if level:
        logging.getLogger().setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(level, level))
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001  any error of the module is the function's response
        parent.send(error_document(error))
        sys.exit(1)
    parent.send(b"ready:")
    while True:
        parent.send(run(handler, parent.receive()))


if __name__ == "__main__":
    main()
