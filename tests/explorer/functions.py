"""The real functions, one call of AWS at a time.

A function is deterministic: with the same event and the same answers it makes the same calls. So it is not suspended
at a call. It is run again from its start with the answers so far, and stops at the first call without an answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import importlib
import io
import json
import pkgutil
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest import mock

from botocore.client import BaseClient
from botocore.exceptions import ClientError

import promotion
import schedules
import steps
from promotion.aws import clients
from promotion.endpoint.runtime import Runtime
from promotion.step import logger
from tests.explorer.answers import Answer, Call, dumps

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Invocation:
    """An invocation of a function that started at a time, in seconds, and the answers to its calls so far.

    It is killed when the time-out of the function has passed.
    """

    handler: str
    event: str
    identifier: str
    started: int
    timeout: int
    answers: tuple[Answer, ...] = ()


@dataclasses.dataclass(frozen=True)
class Returned:
    """A function returned a result, as JSON."""

    text: str


@dataclasses.dataclass(frozen=True)
class Raised:
    """A function raised an exception of a class."""

    error: str
    message: str


def instant(seconds: int) -> str:
    """Return a time as Step Functions writes it."""
    return (EPOCH + datetime.timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _SuspendedError(BaseException):
    """The function waits for the answer to a call. The code of the function does not catch this."""


class _Run:
    """One run of a function with the answers so far; `waiting` is the call without an answer."""

    def __init__(self, invocation: Invocation) -> None:
        self.now = EPOCH + datetime.timedelta(seconds=invocation.started)
        self._answers = iter(invocation.answers)
        self.waiting: Call | None = None

    def call(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = None if self.waiting else next(self._answers, None)
        if answer is None:
            # While the stack unwinds, a `finally` may make another call.
            self.waiting = self.waiting or Call.of(service, operation, request)
            raise _SuspendedError
        content = dict(json.loads(answer.text))
        if answer.code:
            raise error_class(answer.code)(content, operation)
        for name, value in content.items():
            if name == "Body":
                content[name] = io.BytesIO(value.encode())
            elif isinstance(value, dict) and "ExecutionStartTime" in value:
                value["ExecutionStartTime"] = datetime.datetime.fromisoformat(value["ExecutionStartTime"])
        return content


@functools.cache
def error_class(code: str) -> type[ClientError]:
    """Return the exception class of an error code, as those of a client's `exceptions`."""
    return type(code, (ClientError,), {})


class Exceptions:
    def __getattr__(self, code: str) -> type[ClientError]:
        return error_class(code)


class _Client:
    """A client of a service, whose calls belong to the current run."""

    exceptions = Exceptions()

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        return lambda **request: _current[-1].call(self._service, operation, request)

    def get_paginator(self, operation: str) -> Any:
        def paginate(**request: Any) -> Iterator[dict[str, Any]]:
            yield getattr(self, operation)(**request)

        return types.SimpleNamespace(paginate=paginate)


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _current[-1].now


class Pool:
    """A ThreadPoolExecutor without threads, so that the order of the calls is always the same."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[..., Any], *values: Any) -> list[Any]:
        return [function(*each) for each in zip(*values, strict=True)]

    def submit(self, function: Callable[..., Any], *values: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*values))
        return future

    def shutdown(self, **_: Any) -> None:
        pass


_current: list[_Run] = []
_seconds = {"time": lambda: _current[-1].now.timestamp(), "monotonic": lambda: 0.0, "sleep": lambda _: None}
_STAND_INS: dict[str, Any] = {
    "client": functools.cache(_Client),
    "datetime": types.SimpleNamespace(**vars(datetime) | {"datetime": _Datetime}),
    "time": types.SimpleNamespace(**vars(time) | _seconds),
    "ThreadPoolExecutor": Pool,
}
_ORIGINALS: tuple[Any, ...] = (clients.client, datetime, time, ThreadPoolExecutor)


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Give every module of the functions the clients, the clock and the pool of this module."""
    level = logger.log_level
    with contextlib.ExitStack() as stack:
        for module in modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, BaseClient):
                    stack.enter_context(mock.patch.object(module, name, _Client(value.meta.service_model.service_name)))
                elif isinstance(value, Runtime):
                    stack.enter_context(mock.patch.object(module, name, _Client("sagemaker-runtime")))
                elif name in _STAND_INS and value in _ORIGINALS:
                    stack.enter_context(mock.patch.object(module, name, _STAND_INS[name]))
        stack.callback(run.cache_clear)
        stack.callback(logger.setLevel, level)
        logger.setLevel("CRITICAL")
        run.cache_clear()
        yield


@functools.cache
def modules() -> list[types.ModuleType]:
    found = []
    for package in (promotion, schedules, steps):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found.append(importlib.import_module(module.name))
    return found


@functools.cache
def run(invocation: Invocation) -> Call | Returned | Raised:
    """Return the next call of a function, or its result."""
    module, _, function = invocation.handler.rpartition(".")
    context = types.SimpleNamespace(
        function_name=module,
        memory_limit_in_mb=512,
        invoked_function_arn="arn",
        aws_request_id=invocation.identifier,
        get_remaining_time_in_millis=lambda: invocation.timeout * 1000,
    )
    current = _Run(invocation)
    _current.append(current)
    try:
        result = getattr(importlib.import_module(module), function)(json.loads(invocation.event), context)
    except _SuspendedError:
        assert current.waiting
        return current.waiting
    except (AttributeError, LookupError, NameError, TypeError):
        raise
    except Exception as error:  # noqa: BLE001 - Lambda reports every exception
        return Raised(type(error).__name__, str(error))
    finally:
        _current.pop()
    return Returned(dumps(result))
