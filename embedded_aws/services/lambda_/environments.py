"""Execution environments: the processes that load a Lambda function once and run it for one event after another.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html describes their life cycle: an invocation
creates one if none is idle. It is reused until the function's code or configuration changes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import json
import math
import multiprocessing.connection
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from moto.logs.models import logs_backends

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.lambda_ import code as function_code
from embedded_aws.services.lambda_ import forks, runtime

# "The Init phase is limited to 10 seconds. If all three tasks do not complete within 10 seconds, Lambda retries the
# Init phase at the time of the first function invocation with the configured function timeout."
_INIT_SECONDS = 10.0
# A role's credentials are valid for an hour. An environment is not reused when they may expire soon.
_LIFETIME_SECONDS = 2700.0
# Lambda ends idle environments at any time. This limit spares a small machine. If more functions took turns, each
# invocation would be a cold start.
_MOST_IDLE = 44
_INTERPRETER_VARIABLES = {"LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}
if "LD_LIBRARY_PATH" in os.environ:  # some interpreters need it to find their own library
    _INTERPRETER_VARIABLES["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
# The services whose models a fork server loads once for all functions.
_SERVICES = (
    "application-autoscaling",
    "cloudwatch",
    "dynamodb",
    "ecr",
    "events",
    "s3",
    "sagemaker",
    "sagemaker-runtime",
    "sns",
    "ssm",
    "stepfunctions",
    "sts",
)


class ThrottledError(Exception):
    """The function has reached its reserved concurrency, or the account that of all its functions."""

    def __init__(self, reason: str = "ReservedFunctionConcurrentInvocationLimitExceeded") -> None:
        super().__init__(reason)
        self.reason = reason


class RoleNotAssumedError(Exception):
    """The function's role does not exist or does not trust Lambda."""


class _ExitedError(Exception):
    """The process ended before its response."""

    kind = "Runtime.ExitError"
    status = "error"


class _TimedOutError(_ExitedError):
    kind = "Sandbox.Timedout"
    status = "timeout"


class _InitError(Exception):
    """The handler could not be loaded. The argument is the error document."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The function's response or error document, and the log of the invocation."""

    payload: bytes
    failed: bool
    log: str


class Environment:
    """One execution environment of a function."""

    def __init__(
        self,
        function: Any,
        variables: dict[str, str],
        code: function_code.Code,
        directory: Path,
        pace: float,
        start: Callable[..., forks.Fork | subprocess.Popen[bytes]],
    ) -> None:
        self.function = function
        self.variables = variables
        self.code = code
        self.usable = True
        self._created = time.monotonic()
        self._directory = directory
        self._pace = pace
        self._start_process = start
        self._log_group = variables["AWS_LAMBDA_LOG_GROUP_NAME"]
        self._log_stream = f"{datetime.datetime.now(datetime.UTC):%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"
        self._initialized = False
        self._start()

    def serves(self, variables: dict[str, str], code: function_code.Code) -> bool:
        """Return whether the environment is alive, not too old, and has these variables and this code."""
        young = time.monotonic() - self._created < _LIFETIME_SECONDS
        return young and self.variables == variables and self.code == code and self._process.poll() is None

    def run(self, request_id: str, function_arn: str, event: bytes) -> Outcome:
        """Run the function for an event, and write its log to CloudWatch Logs."""
        cold = not self._initialized
        began = invoked = time.monotonic()
        entries, errors, status = [], [], ""
        failed = True
        try:
            deadline = self._initialize()
            entries += self._read_output()
            invoked = time.monotonic()
            request = json.dumps([request_id, function_arn, time.time() + deadline - invoked])
            kind, payload = self._send(request.encode() + b"\n" + event, deadline)
            failed = kind == "error"
        except _InitError as error:
            (document,) = error.args
            payload = json.dumps(document | {"requestId": request_id}).encode()
            self.usable = False
        except _ExitedError as error:
            message = f"RequestId: {request_id} Error: {error}"
            payload = json.dumps({"errorType": error.kind, "errorMessage": message}).encode()
            errors, status = [f"{message}\n{error.kind}"], f"\tStatus: {error.status}"
            self.usable = False
        ended = time.monotonic()
        entries += [f"START RequestId: {request_id} Version: {self.function.version}", *self._read_output(), *errors]
        entries += [f"END RequestId: {request_id}"]
        entries += [self._report(request_id, ended - invoked, invoked - began if cold else None) + status]
        self._write_log(entries)
        return Outcome(payload, failed, "\n".join(entries) + "\n")

    def kill(self) -> int:
        """End the process and return its exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def close(self) -> None:
        """End the process and remove its files."""
        self.kill()
        self._channel.close()
        self._output.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self) -> None:
        self._home = self._directory / uuid.uuid4().hex
        self._home.mkdir(parents=True)
        by = clients.ServiceCall("lambda.amazonaws.com", self.function.function_arn)
        try:
            credentials = clients.role_credentials(self.function.role, self.function.function_name, by)
        except ClientError as error:
            raise RoleNotAssumedError("The role defined for the function cannot be assumed by Lambda.") from error
        environment = {
            **self.variables,
            **{name.upper(): value for name, value in credentials.items()},
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log_stream,
            "LAMBDA_TASK_ROOT": str(self.code.task),
            # Neither the developer's AWS files nor the temporary files of other environments are visible.
            "HOME": str(self._home),
            "TMPDIR": str(self._home),
        }
        script = [runtime.__file__, str(self.code.task), str(self.code.packages), str(self._pace)]
        ours, theirs = socket.socketpair()
        with theirs, (self._home / "output").open("wb") as output:
            descriptors = theirs.fileno(), output.fileno()
            self._process = self._start_process(script, *descriptors, environment, self.code.task)
        self._channel = multiprocessing.connection.Connection(ours.detach())
        self._output = (self._home / "output").open("rb")

    def _initialize(self) -> float:
        """Wait until the handler is loaded, and return the deadline of the invocation."""
        limit = float(self.function.timeout)
        if self._initialized:
            return time.monotonic() + limit
        try:
            kind, document = self._receive(time.monotonic() + _INIT_SECONDS)
            deadline = time.monotonic() + limit
        except _TimedOutError:
            self.close()
            self._start()
            deadline = time.monotonic() + limit
            kind, document = self._receive(deadline)
        if kind == "error":
            raise _InitError(json.loads(document))
        self._initialized = True
        return deadline

    def _send(self, request: bytes, deadline: float) -> tuple[str, bytes]:
        with contextlib.suppress(OSError):  # `_receive` handles a process that has ended
            self._channel.send_bytes(request)
        return self._receive(deadline)

    def _receive(self, deadline: float) -> tuple[str, bytes]:
        if not self._channel.poll(max(0.0, deadline - time.monotonic())):
            self.kill()
            raise _TimedOutError(f"Task timed out after {float(self.function.timeout):.2f} seconds")
        try:
            kind, _, body = self._channel.recv_bytes().partition(b":")
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)  # the socket closes shortly before the process ends
            raise _ExitedError(_exit_message(self.kill())) from None
        return kind.decode(), body

    def _read_output(self) -> list[str]:
        lines = self._output.read().decode(errors="replace").split("\n")
        return [line.replace("\r", "\n") for line in lines if line]

    def _report(self, request_id: str, seconds: float, init_seconds: float | None) -> str:
        milliseconds = seconds * 1000
        facts = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {math.ceil(milliseconds)} ms",
            f"Memory Size: {self.function.memory_size} MB",
        ]
        if init_seconds is not None:
            facts.append(f"Init Duration: {init_seconds * 1000:.2f} ms")
        return "\t".join(facts)

    def _write_log(self, entries: list[str]) -> None:
        # Into the backend, not as the role. Lambda silently drops the logs if the role lacks the permission.
        logs = logs_backends[self.function.account_id][self.function.region]
        logs.ensure_log_group(self._log_group)
        logs.ensure_log_stream(self._log_group, self._log_stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": entry} for entry in entries]
        logs.put_log_events(self._log_group, self._log_stream, events)


class Environments:
    """All execution environments, busy or idle. The idle one that was used last is reused first.

    `pace` is the duration of one second of sleep in a function; `limit` is the concurrency of an account, if any.
    """

    def __init__(self, directory: Path, pace: float, limit: int | None = None) -> None:
        self._limit = limit
        self._directory = directory
        self._pace = pace
        self._lock = threading.Condition()
        self._busy: set[Environment] = set()
        self._idle: list[Environment] = []
        self._running: collections.Counter[str] = collections.Counter()
        self._closed = False
        self._forks: forks.ForkServer | None = None

    def run(self, function: Any, request_id: str, function_arn: str, event: bytes) -> Outcome:
        """Run the function once.

        Raise ThrottledError, RoleNotAssumedError or zipfile.BadZipFile if it cannot be started.
        """
        with self._reserved(function):
            code = function_code.unpack(function, self._directory / "code")
            environment = self._acquire(function, code)
            try:
                outcome = environment.run(request_id, function_arn, event)
            finally:
                self._release(environment)
            if self._closed:
                raise ThrottledError  # `close` killed the function, so the outcome is not its own
            return outcome

    def retire(self, function: Any) -> None:
        """End the idle environments of a deleted function."""
        with self._lock:
            self._end_idle([each for each in self._idle if each.function is function])

    def kill_busy(self) -> None:
        """End every process that is running a function."""
        with self._lock:
            for environment in self._busy:
                environment.kill()

    def close(self) -> None:
        """End all environments and the fork server."""
        with self._lock:
            self._closed = True
            self._end_idle(self._idle)
            for environment in self._busy:
                environment.kill()
            self._lock.wait_for(lambda: not self._busy, timeout=5)
            if self._forks:
                self._forks.close()

    @contextlib.contextmanager
    def _reserved(self, function: Any) -> Iterator[None]:
        """Reserve one of the concurrent executions of the function, which all its versions share, and of its account.

        The reserved concurrency of a function is taken from that of the account only while it is used; AWS sets it
        aside.
        """
        account = f"{function.account_id}:{function.region}"
        key = f"{account}:{function.function_name}"
        limit = function.reserved_concurrency
        with self._lock:
            if limit is not None and self._running[key] >= int(limit):
                raise ThrottledError
            if self._limit is not None and self._running[account] >= self._limit:
                raise ThrottledError("ConcurrentInvocationLimitExceeded")
            self._running.update([key, account])
        try:
            yield
        finally:
            with self._lock:
                self._running.subtract([key, account])

    def _acquire(self, function: Any, code: function_code.Code) -> Environment:
        variables = _variables(function)
        with self._lock:
            if self._closed:
                raise ThrottledError
            candidates = [each for each in self._idle if each.function is function]
            self._end_idle([each for each in candidates if not each.serves(variables, code)])
            environment = next((each for each in reversed(self._idle) if each.function is function), None)
            if environment:
                self._idle.remove(environment)
            else:
                directory = self._directory / "environments"
                environment = Environment(function, variables, code, directory, self._pace, self._start_process())
            self._busy.add(environment)
        return environment

    def _start_process(self) -> Callable[..., forks.Fork | subprocess.Popen[bytes]]:
        if sys.platform != "linux":
            return forks.spawn  # Apple's system libraries do not work in a fork
        if self._forks is None:
            packages = function_code.common_packages(self._directory)
            variables = {"HOME": str(self._directory), **_INTERPRETER_VARIABLES}
            self._forks = forks.ForkServer(packages, _SERVICES, variables)
        return self._forks.start

    def _release(self, environment: Environment) -> None:
        with self._lock:
            self._busy.remove(environment)
            self._idle.append(environment)
            self._end_idle([] if environment.usable and not self._closed else [environment])
            self._end_idle(self._idle[:-_MOST_IDLE])
            self._lock.notify_all()

    def _end_idle(self, environments: list[Environment]) -> None:
        for environment in environments:
            environment.close()
        self._idle = [each for each in self._idle if each not in environments]


def _variables(function: Any) -> dict[str, str]:
    """Return the environment variables that all processes of a function share.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    logging = function.logging_config
    variables = {
        **_INTERPRETER_VARIABLES,
        **function.environment_vars,
        "_HANDLER": function.handler,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_ENDPOINT_URL": accounts.endpoint_url(),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat", "Text"),
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup", f"/aws/lambda/{function.function_name}"),
        "AWS_REGION": function.region,
        "TZ": ":UTC",
    }
    if "ApplicationLogLevel" in logging:
        variables["AWS_LAMBDA_LOG_LEVEL"] = logging["ApplicationLogLevel"]
    return variables


def _exit_message(code: int) -> str:
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 0:
        return f"Runtime exited with error: exit status {code}"
    name = (signal.strsignal(-code) or str(-code)).partition(":")[0]
    return f"Runtime exited with error: signal: {name.lower()}"
