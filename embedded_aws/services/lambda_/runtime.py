"""The Python runtime of a Lambda function: load its handler once, then run it for every event the parent sends.

Run as a script in a process of its own, with a socket to the parent as standard input. It behaves as AWS documents for
"Define Lambda function handler in Python", "Using the Lambda context object" and "Log and monitor Python functions".
It must start quickly and take nothing from the project along, so it imports the standard library only.
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


class FaultError(Exception):
    """What the runtime, not the function, finds wrong; `kind` is the error type AWS gives it."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


class Parent:
    """The other end of the socket: messages with their length before them, as multiprocessing.connection frames them.

    A thread reads, so that the process ends with its parent even while a handler hangs.
    """

    def __init__(self) -> None:
        # Unbuffered: a thread that waits in a buffered read would break the interpreter's own exit.
        self._in = io.FileIO(os.dup(0), "rb")
        self._out = io.BufferedWriter(io.FileIO(os.dup(0), "wb"))
        # The function must find neither the socket nor anything to read.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="runtime", daemon=True).start()

    def receive(self) -> bytes:
        return self._messages.get()

    def send(self, message: bytes) -> None:
        self._out.write(struct.pack("!i", len(message)) + message)
        self._out.flush()

    def _read(self) -> None:
        while length := self._read_exactly(4):
            self._messages.put(self._read_exactly(*struct.unpack("!i", length)))
        os._exit(0)

    def _read_exactly(self, size: int) -> bytes:
        message = b""
        while len(message) < size and (some := self._in.read(size - len(message))):
            message += some
        return message


class Context:
    """The context object: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

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
        return max(0, int((self._deadline - time.time()) * 1000))


class LambdaLoggerHandler(logging.Handler):
    """What the runtime puts on the root logger, so that `logging.getLogger().info()` is seen."""

    request_id = ""

    def __init__(self) -> None:
        super().__init__()
        logging.Formatter.converter = time.gmtime
        self.setFormatter(
            logging.Formatter(
                "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        record.aws_request_id = self.request_id
        log(self.format(record))


def log(entry: str) -> None:
    """One log event, however many lines it has: a carriage return does not end it."""
    sys.stdout.write(entry.replace("\n", "\r") + "\n")


def error_document(error: BaseException, request_id: str = "") -> bytes:
    """The class name is bare, without its module: https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html"""
    if isinstance(error, FaultError):
        kind, trace = error.kind, error.trace
    else:
        kind, trace = type(error).__name__, own_frames(error.__traceback__)
    log("\n".join([f"[ERROR] {kind}: {error}", "Traceback (most recent call last):", *trace]))
    document = {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}
    return b"error:" + json.dumps(document).encode()


def own_frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    return traceback.format_list([frame for frame in frames if frame.filename != __file__])


def load_handler(name: str) -> Handler:
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
    if isinstance(response, bytes):
        return response
    try:
        return json.dumps(response, default=_number, ensure_ascii=False).encode()
    except Exception as error:
        raise FaultError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _number(value: object) -> int | float:
    """Lambda's encoder also takes the decimals that DynamoDB's resource API returns."""
    if isinstance(value, decimal.Decimal):
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def run(handler: Handler, request: bytes) -> bytes:
    """Answer one request of the parent: its id, its function's ARN, its deadline, and on the next line the event."""
    head, _, event = request.partition(b"\n")
    request_id, function_arn, deadline = json.loads(head)
    LambdaLoggerHandler.request_id = request_id
    try:
        return b"result:" + encode(handler(json.loads(event), Context(request_id, function_arn, deadline)))
    except Exception as error:  # noqa: BLE001  whatever the handler raises is its answer
        return error_document(error, request_id)


def hurry(pace: float) -> None:
    """Let a second of sleep take as many seconds as `pace`."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(float(seconds) * pace)


def main() -> Never:
    parent = Parent()
    # `-S` keeps every site-packages away; what Lambda has of third parties comes by these two directories.
    task, packages, pace = sys.argv[1:]
    sys.argv[1:] = []
    if float(pace) != 1:
        hurry(float(pace))
    sys.path[:0] = [task]
    sys.path.append(packages)
    site.setquit()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL")
    logging.getLogger().addHandler(LambdaLoggerHandler())
    if level:
        logging.getLogger().setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(level, level))
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001  whatever the module raises is the function's answer
        parent.send(error_document(error))
        sys.exit(1)
    parent.send(b"ready:")
    while True:
        parent.send(run(handler, parent.receive()))


if __name__ == "__main__":
    main()
