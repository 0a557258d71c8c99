"""Execution environments: the processes that load a Lambda function once and run it for one event after another.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html describes their life: created when an
invocation finds none idle, used again as long as the function's code and configuration stay what they were.
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
# A role's credentials last for an hour: an environment that might outlive its own is not used again.
_LIFETIME_SECONDS = 2700.0
# Lambda ends idle environments when it likes; here it must, since too many would starve a small machine.
_MOST_IDLE = 24
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
    """The function already runs as often at once as its reserved concurrency allows."""


class RoleNotAssumedError(Exception):
    """The function's role does not exist, or does not trust Lambda."""


class _ExitedError(Exception):
    """The process was gone before it answered."""

    kind = "Runtime.ExitError"
    status = "error"


class _TimedOutError(_ExitedError):
    kind = "Sandbox.Timedout"
    status = "timeout"


class _InitError(Exception):
    """The handler could not be loaded; the argument is the error document."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the function returned, or the error document, and what was logged meanwhile."""

    payload: bytes
    failed: bool
    log: str


class Environment:
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
        self._initialised = False
        self._start()

    def serves(self, variables: dict[str, str], code: function_code.Code) -> bool:
        young = time.monotonic() - self._created < _LIFETIME_SECONDS
        return young and self.variables == variables and self.code == code and self._process.poll() is None

    def run(self, request_id: str, function_arn: str, event: bytes) -> Outcome:
        cold = not self._initialised
        began = invoked = time.monotonic()
        entries, trouble, status = [], [], ""
        failed = True
        try:
            deadline = self._initialise()
            entries += self._read_output()
            invoked = time.monotonic()
            request = json.dumps([request_id, function_arn, time.time() + deadline - invoked])
            kind, payload = self._ask(request.encode() + b"\n" + event, deadline)
            failed = kind == "error"
        except _InitError as error:
            (document,) = error.args
            payload = json.dumps(document | {"requestId": request_id}).encode()
            self.usable = False
        except _ExitedError as error:
            message = f"RequestId: {request_id} Error: {error}"
            payload = json.dumps({"errorType": error.kind, "errorMessage": message}).encode()
            trouble, status = [f"{message}\n{error.kind}"], f"\tStatus: {error.status}"
            self.usable = False
        ended = time.monotonic()
        entries += [f"START RequestId: {request_id} Version: {self.function.version}", *self._read_output(), *trouble]
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
            # Neither the developer's own AWS files nor the temporary files of other environments are in sight.
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

    def _initialise(self) -> float:
        """Wait until the handler is loaded; return when the invocation has to be over."""
        limit = float(self.function.timeout)
        if self._initialised:
            return time.monotonic() + limit
        try:
            kind, document = self._answer(time.monotonic() + _INIT_SECONDS)
            deadline = time.monotonic() + limit
        except _TimedOutError:
            self.close()
            self._start()
            deadline = time.monotonic() + limit
            kind, document = self._answer(deadline)
        if kind == "error":
            raise _InitError(json.loads(document))
        self._initialised = True
        return deadline

    def _ask(self, request: bytes, deadline: float) -> tuple[str, bytes]:
        with contextlib.suppress(OSError):  # a process that is gone says so when it is asked for its answer
            self._channel.send_bytes(request)
        return self._answer(deadline)

    def _answer(self, deadline: float) -> tuple[str, bytes]:
        if not self._channel.poll(max(0.0, deadline - time.monotonic())):
            self.kill()
            raise _TimedOutError(f"Task timed out after {float(self.function.timeout):.2f} seconds")
        try:
            kind, _, body = self._channel.recv_bytes().partition(b":")
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)  # the socket closes before the process is quite over
            raise _ExitedError(_how_it_ended(self.kill())) from None
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
        # Straight into the backend: when the role may not write logs, Lambda drops them in silence.
        logs = logs_backends[self.function.account_id][self.function.region]
        logs.ensure_log_group(self._log_group)
        logs.ensure_log_stream(self._log_group, self._log_stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": entry} for entry in entries]
        logs.put_log_events(self._log_group, self._log_stream, events)


class Environments:
    """All that live: the busy ones, and the idle ones of which the last used is taken first.

    `pace` is how many seconds one takes that a function sleeps.
    """

    def __init__(self, directory: Path, pace: float) -> None:
        self._directory = directory
        self._pace = pace
        self._lock = threading.Condition()
        self._busy: set[Environment] = set()
        self._idle: list[Environment] = []
        self._running: collections.Counter[str] = collections.Counter()
        self._closed = False
        self._forks: forks.ForkServer | None = None

    def run(self, function: Any, request_id: str, function_arn: str, event: bytes) -> Outcome:
        """Run the function once; ThrottledError or zipfile.BadZipFile if it cannot be started at all."""
        with self._place(function):
            code = function_code.unpack(function, self._directory / "code")
            environment = self._take(function, code)
            try:
                outcome = environment.run(request_id, function_arn, event)
            finally:
                self._give_back(environment)
            if self._closed:
                raise ThrottledError  # it was killed, which is nothing the function did
            return outcome

    def retire(self, function: Any) -> None:
        """End the idle environments of a function that is no more."""
        with self._lock:
            self._end_idle([each for each in self._idle if each.function is function])

    def kill_busy(self) -> None:
        with self._lock:
            for environment in self._busy:
                environment.kill()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._end_idle(self._idle)
            for environment in self._busy:
                environment.kill()
            self._lock.wait_for(lambda: not self._busy, timeout=5)
            if self._forks:
                self._forks.close()

    @contextlib.contextmanager
    def _place(self, function: Any) -> Iterator[None]:
        """One of the function's concurrent executions, which all its versions share."""
        key = f"{function.account_id}:{function.region}:{function.function_name}"
        limit = function.reserved_concurrency
        with self._lock:
            if limit is not None and self._running[key] >= int(limit):
                raise ThrottledError
            self._running[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[key] -= 1

    def _take(self, function: Any, code: function_code.Code) -> Environment:
        variables = _variables(function)
        with self._lock:
            if self._closed:
                raise ThrottledError
            mine = [each for each in self._idle if each.function is function]
            self._end_idle([each for each in mine if not each.serves(variables, code)])
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
            return forks.spawn  # a fork may not use Apple's system libraries
        if self._forks is None:
            packages = function_code.runtime_packages(self._directory)
            variables = {"HOME": str(self._directory), **_INTERPRETER_VARIABLES}
            self._forks = forks.ForkServer(packages, _SERVICES, variables)
        return self._forks.start

    def _give_back(self, environment: Environment) -> None:
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
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, without what differs by process."""
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


def _how_it_ended(code: int) -> str:
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 0:
        return f"Runtime exited with error: exit status {code}"
    name = (signal.strsignal(-code) or str(-code)).partition(":")[0]
    return f"Runtime exited with error: signal: {name.lower()}"
