"""Fault injection: errors, lost requests and lost responses for the n-th call of an operation by a caller.

Also what someone else does before that call.

Real faults are random. A test injects them one by one and can cover all of them. The codes are those in each API
reference's "Common Errors", in S3's "Error responses" and in Lambda's Invoke.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from embedded_aws.gateway import refusals, requests
from embedded_aws.iam import clients, decisions


class Kind(enum.Enum):
    """The kinds of faults."""

    THROTTLED_TWICE = "throttled twice"
    THROTTLED = "throttled permanently"
    FAILED_ONCE = "500 once"
    FAILED = "500 permanently"
    LOST_UNDONE = "no response, not done"
    LOST_DONE = "no response, done"
    DENIED = "access denied"
    KILLED_BEFORE = "function killed before"
    KILLED_AFTER = "function killed after"
    CONFLICT_ONCE = "transaction conflict once"
    DENIED_BRIEFLY = "denied until another call"
    FAILED_BRIEFLY = "500 until ten other calls"

    @property
    def lasts(self) -> bool:
        """Return whether the fault affects every call from the first one on."""
        return _TIMES.get(self, 1) is None


# The number of calls that a fault affects, if not one. None means the first and all later ones.
_TIMES = {Kind.THROTTLED: None, Kind.FAILED: None, Kind.DENIED: None, Kind.THROTTLED_TWICE: 2}

# The number of other calls, by any role or service, after which a fault that affects all later calls ends.
_ENDS_AFTER = {Kind.DENIED_BRIEFLY: 1, Kind.FAILED_BRIEFLY: 10}

_FAILED = {"s3": "InternalError", "lambda": "ServiceException", "dynamodb": "InternalServerError"}

# The operations of DynamoDB that conflict with an ongoing transaction on the same item: "Transaction conflict handling
# in DynamoDB"
# (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling).
CONFLICTING = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "TransactGetItems"}
# The message of the reason TransactionConflict (API reference of DynamoDB, TransactWriteItems, Errors).
_CONFLICT = "Transaction is ongoing for the item"
_CANCELED = "Transaction cancelled, please refer cancellation reasons for specific reasons"


@dataclasses.dataclass(frozen=True, order=True)
class Call:
    """The `number`-th call of an operation by a principal, starting at 1."""

    principal: str
    service: str
    operation: str
    number: int = 1


@dataclasses.dataclass
class _Watch:
    """An observer of calls, with or without a fault or an act. Requests are read only while an observer exists."""

    calls: list[Call]
    call: Call | None = None
    kind: Kind | None = None
    act: Callable[[], object] | None = None
    hits: int = 0
    others: int = 0
    counts: Counter[Call] = dataclasses.field(default_factory=Counter)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def record(self, principal: str, service: str, operation: str) -> bool:
        """Record a call, and return whether the fault or the act affects it."""
        with self.lock:
            same = Call(principal, service, operation)
            self.counts[same] += 1
            number = self.counts[same]
            self.calls.append(dataclasses.replace(same, number=number))
            if self.call is None:
                return False
            if dataclasses.replace(self.call, number=1) != same:
                self.others += bool(self.hits)
                return False
            if number < self.call.number or self._is_over(number - self.call.number):
                return False
            self.hits += 1
            return True

    def _is_over(self, later: int) -> bool:
        """Return whether the call that is so many calls `later` than the first affected one is no longer affected."""
        if self.kind in _ENDS_AFTER:
            return self.others >= _ENDS_AFTER[self.kind]
        times = _TIMES.get(self.kind, 1) if self.kind else 1
        return times is not None and later >= times


_watches: list[_Watch] = []


@contextlib.contextmanager
def watched() -> Iterator[list[Call]]:
    """Yield a list to which the calls of roles and services are added in order."""
    watch = _Watch([])
    with _among(watch):
        yield watch.calls


@contextlib.contextmanager
def injected(call: Call, kind: Kind) -> Iterator[_Watch]:
    """Inject a fault into a call and, depending on its kind, later ones; `hits` of the result counts them.

    Raise ValueError for a transaction conflict in an operation that is not in CONFLICTING.
    """
    if kind is Kind.CONFLICT_ONCE and call.operation not in CONFLICTING:
        raise ValueError(f"{call.operation} cannot have a transaction conflict.")
    watch = _Watch([], call, kind)
    with _among(watch):
        yield watch


@contextlib.contextmanager
def preceded(call: Call, act: Callable[[], object]) -> Iterator[_Watch]:
    """Call `act` once before a call reaches its service: what someone else does between two calls.

    The caller waits for it. `act` must raise nothing.
    """
    watch = _Watch([], call, act=act)
    with _among(watch):
        yield watch


@contextlib.contextmanager
def _among(watch: _Watch) -> Iterator[None]:
    _watches.append(watch)
    try:
        yield
    finally:
        _watches.remove(watch)


class Faults:
    """A WSGI middleware that injects faults. `kill_functions` ends every process that runs a function."""

    def __init__(self, application: Any, kill_functions: Callable[[], None]) -> None:
        self._application = application
        self._kill_functions = kill_functions

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass a request on, or inject the fault that affects it."""
        fault = _fault(environ) if _watches else None
        if fault is None:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        kind, requested = fault
        service, protocol = requested.service, requested.protocol
        match kind:
            case Kind.THROTTLED | Kind.THROTTLED_TWICE:
                return refusals.send(refusals.throttled(service, protocol), environ, start_response)
            case Kind.FAILED | Kind.FAILED_ONCE | Kind.FAILED_BRIEFLY:
                code = _FAILED.get(service, "InternalFailure")
                return _answer(environ, start_response, service, protocol, code, "An internal error occurred.", 500)
            case Kind.DENIED | Kind.DENIED_BRIEFLY:
                message = f"User is not authorized to perform this operation of {service}"
                return _answer(environ, start_response, service, protocol, "AccessDenied", message, None)
            case Kind.CONFLICT_ONCE:
                code, message, members = _conflict(requested.operation, environ)
                return _answer(environ, start_response, service, protocol, code, message, None, **members)
            case Kind.LOST_UNDONE:
                refusals.read_to_the_end(environ)
            case Kind.KILLED_BEFORE:
                refusals.read_to_the_end(environ)
                self._kill_functions()
            case Kind.LOST_DONE | Kind.KILLED_AFTER:
                for _ in self._application(environ, lambda *_: lambda _: None):
                    pass
                if kind is Kind.KILLED_AFTER:
                    self._kill_functions()
        return _hang_up(environ)


def _fault(environ: dict[str, Any]) -> tuple[Kind, requests.Operation] | None:
    signed = requests.signature(environ)
    caller = clients.who_signed(signed.access_key_id) if signed else None
    if signed is None or caller is None or clients.is_operator(caller):
        return None
    account = caller.account if isinstance(caller, decisions.Caller) else caller.source_account
    requested = requests.read_operation(environ, signed, account)
    affected = [
        watch for watch in list(_watches) if watch.record(caller.principal, requested.service, requested.operation)
    ]
    for watch in affected:
        if watch.act:
            watch.act()
    kind = next((watch.kind for watch in affected if watch.kind), None)
    return (kind, requested) if kind else None


def _conflict(operation: str, environ: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return the code, the message and the other members of the error for a conflict on a request's first item."""
    if not operation.startswith("Transact"):
        return "TransactionConflictException", _CONFLICT, {}
    others = len(json.load(environ["wsgi.input"])["TransactItems"]) - 1
    reasons = [{"Code": "TransactionConflict", "Message": _CONFLICT}, *[{"Code": "None"}] * others]
    codes = ", ".join(reason["Code"] for reason in reasons)
    return "TransactionCanceledException", f"{_CANCELED} [{codes}]", {"CancellationReasons": reasons}


def _answer(
    environ: dict[str, Any],
    start_response: Any,
    service: str,
    protocol: str,
    code: str,
    message: str,
    status: int | None,
    **members: Any,
) -> list[bytes]:
    refusal = refusals.answer(service, protocol, code, message, **members)
    return refusals.send(dataclasses.replace(refusal, status=status or refusal.status), environ, start_response)


def _hang_up(environ: dict[str, Any]) -> Iterable[bytes]:
    if connection := environ["werkzeug.socket"]:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("A fault closed the connection.")
