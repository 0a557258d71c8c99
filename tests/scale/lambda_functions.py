"""Lambda: the real handlers in this process, within the concurrency of the account, each cold or warm."""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import importlib
import json
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from botocore.client import BaseClient

from promotion.aws import clients
from promotion.copying.s3_client import S3Requests
from promotion.endpoint.runtime import Runtime
from promotion.step import logger
from tests.explorer.functions import EPOCH, Pool, modules
from tests.scale.account import UPSTREAM_ACCOUNT, Account, Client
from tests.scale.objects import Requests

# Assumed, after docs/performance.md: the start of an environment, and what a handler computes.
COLD_SECONDS, COMPUTED_SECONDS = 0.9, 0.05
# Assumed: how long an idle environment is kept.
_IDLE_SECONDS = 300.0


class FunctionError(Exception):
    """An error of Lambda, or of a function, by the name that Step Functions reports."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error)
        self.error, self.cause = error, cause


class _TimedOutError(BaseException):
    """The function's time-out has passed. The code of a function does not catch this."""


class Functions:
    """The functions of the stage by their logical IDs: handlers and time-outs in seconds."""

    def __init__(self, account: Account, functions: dict[str, tuple[str, int]]) -> None:
        self._account, self._simulation, self._functions = account, account.simulation, functions
        self._running = 0
        self._idle: dict[str, list[float]] = collections.defaultdict(list)
        self._local = threading.local()
        self.most_running = 0
        self.invocations: collections.Counter[str] = collections.Counter()
        self.seconds: collections.Counter[str] = collections.Counter()
        self.cold = 0

    def invoke(self, logical_id: str, event: Any) -> Any:
        """Return the result of a function; raise FunctionError."""
        api = ("lambda", "Invoke")
        self._account.counts.calls[api] += 1
        if self._running >= self._account.quotas.functions:
            self._account.counts.throttled[api] += 1
            self._simulation.sleep(0.05)
            raise FunctionError("Lambda.TooManyRequestsException", "Rate Exceeded.")
        handler, timeout = self._functions[logical_id]
        self._running += 1
        self.most_running = max(self.most_running, self._running)
        began = self._simulation.now
        try:
            self._start_environment(logical_id)
            self._local.deadline = self._simulation.now + timeout
            self.sleep(COMPUTED_SECONDS)
            return self._run(handler, event, timeout)
        finally:
            self._running -= 1
            self.invocations[logical_id] += 1
            self.seconds[logical_id] += self._simulation.now - began  # type: ignore[assignment]
            self._idle[logical_id].append(self._simulation.now)

    def _start_environment(self, logical_id: str) -> None:
        idle, now = self._idle[logical_id], self._simulation.now
        idle[:] = [since for since in idle if now - since < _IDLE_SECONDS]
        if idle:
            idle.pop()
            return
        self.cold += 1
        self._simulation.sleep(COLD_SECONDS)

    def _run(self, handler: str, event: Any, timeout: int) -> Any:
        module, _, name = handler.rpartition(".")
        context = types.SimpleNamespace(
            function_name=module,
            memory_limit_in_mb=512,
            invoked_function_arn="arn",
            aws_request_id=f"{self._simulation.random.getrandbits(64):016x}",
            get_remaining_time_in_millis=lambda: int(1000 * (self._local.deadline - self._simulation.now)),
        )
        try:
            return json.loads(json.dumps(getattr(importlib.import_module(module), name)(event, context)))
        except _TimedOutError:
            raise FunctionError("Sandbox.Timedout", f"Task timed out after {timeout} seconds") from None
        except (AttributeError, LookupError, NameError, TypeError):
            raise
        except Exception as error:
            cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
            raise FunctionError(type(error).__name__, cause) from error

    def sleep(self, seconds: float) -> None:
        """Sleep in a function, which is killed when its time-out has passed."""
        left = self._local.deadline - self._simulation.now
        self._simulation.sleep(min(seconds, max(0.0, left)))
        if seconds > left:
            raise _TimedOutError

    def client(self, service: str, **options: Any) -> Client:
        """Return a client for the function that runs in this thread."""
        if service == "sagemaker-runtime":
            options["attempts"] = 1
        return Client(service, functools.partial(self._account.call, sleep=self.sleep), **options)

    def upstream_client(self, role_arn: str, external_id: str, session_name: str, service: str) -> Client:
        """Assume the reader role, and return a client of the upstream account."""
        self.client("sts").assume_role(RoleArn=role_arn, ExternalId=external_id, RoleSessionName=session_name[:64])
        return self.client(service, account=UPSTREAM_ACCOUNT)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Give every module of the functions the clients, the clock and the pool of this simulation."""

        def now() -> datetime.datetime:
            return EPOCH + datetime.timedelta(seconds=self._simulation.now)

        class AnyTime(type):
            def __instancecheck__(cls, value: object) -> bool:
                return isinstance(value, datetime.datetime)

        class Now(datetime.datetime, metaclass=AnyTime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
                return now()

        seconds = {
            "time": lambda: now().timestamp(),
            "monotonic": lambda: self._simulation.now,
            "sleep": self.sleep,
        }
        stand_ins: dict[Any, Any] = {
            clients.client: functools.cache(self.client),
            clients.upstream_client: self.upstream_client,
            S3Requests: functools.partial(Requests, self.client),
            ThreadPoolExecutor: Pool,
        }
        shared = {
            id(datetime): types.SimpleNamespace(**vars(datetime) | {"datetime": Now}),
            id(time): types.SimpleNamespace(**vars(time) | seconds),
        } | {id(original): stand_in for original, stand_in in stand_ins.items()}
        with contextlib.ExitStack() as stack:
            for module in modules():
                for name, value in list(vars(module).items()):
                    if isinstance(value, BaseClient):
                        stand_in: Any = self.client(value.meta.service_model.service_name)
                        stack.enter_context(mock.patch.object(module, name, stand_in))
                    elif isinstance(value, Runtime):
                        runtime = self.client("sagemaker-runtime")
                        stack.enter_context(mock.patch.object(module, name, runtime))
                    elif id(value) in shared and not (module is clients and callable(value)):
                        stack.enter_context(mock.patch.object(module, name, shared[id(value)]))
            stack.callback(logger.setLevel, logger.log_level)
            logger.setLevel("CRITICAL")
            yield
