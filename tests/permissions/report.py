"""What is said of the use of policies, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Iterator, Sequence

from tests.permissions.telling import Denied, Granted, Told


@dataclasses.dataclass(frozen=True)
class Unused:
    """Why a policy grants actions that no test needs.

    `statement` is the beginning of the place where they are granted, and may have wildcards.
    """

    statement: str
    actions: tuple[str, ...]
    why: str

    def covers(self, granted: Granted) -> bool:
        is_there = fnmatch.fnmatchcase(f"{granted.statement} ", f"{self.statement} *")
        return is_there and granted.action in self.actions

    def __str__(self) -> str:
        return f"{self.statement}: {', '.join(self.actions)}"


@dataclasses.dataclass(frozen=True)
class Provoked:
    """Why a call of the application is denied in a test; `resource` may have wildcards, `refusal` is a part of it."""

    caller: str
    action: str
    resource: str
    refusal: str
    why: str

    def covers(self, denied: Denied) -> bool:
        is_such_a_call = (self.caller, self.action) == (denied.caller, denied.action)
        return is_such_a_call and fnmatch.fnmatchcase(denied.resource, self.resource) and self.refusal in denied.why

    def __str__(self) -> str:
        return f"{self.caller}: {self.action} on {self.resource}, {self.refusal}"


def lines(told: Told, unused: Sequence[Unused], provoked: Sequence[Provoked]) -> Iterator[str]:
    """The report: calls, statements used, statements unused and why, and what was denied and why."""
    used = [granted for granted, calls in told.calls.items() if calls]
    missed = [granted for granted in used if _is_missed(told, granted, provoked)]
    yield f"{told.decided} calls were decided on."
    yield f"Of {len(told.calls)} grants, each an action on a resource in a statement, {len(used)} were used:"
    yield from (f"  {told.calls[granted]:7} calls by {granted}" for granted in sorted(used))
    yield f"{len(told.calls) - len(used)} were not used:"
    yield from (f"  {reason}\n          {reason.why}" for reason in unused)
    yield f"Each of those used was taken away, one at a time: {len(missed)} of {len(used)} times some call was refused."
    yield f"{sum(told.denied.values())} calls were denied:"
    for reason in provoked:
        calls = sum(calls for denied, calls in told.denied.items() if reason.covers(denied))
        yield f"  {calls:7} times {reason}\n          {reason.why}"


def findings(told: Told, unused: Sequence[Unused], provoked: Sequence[Provoked]) -> list[str]:
    return [
        *(
            f"is granted and not used: {granted}"
            for granted, calls in sorted(told.calls.items())
            if not calls and not any(reason.covers(granted) for reason in unused)
        ),
        *(
            f"is granted once more than needed, as no call is refused without it: {granted}"
            for granted, calls in sorted(told.calls.items())
            if calls
            and not _is_missed(told, granted, provoked)
            and not any(reason.covers(granted) for reason in unused)
        ),
        *(
            f"was denied {calls} times: {denied}"
            for denied, calls in sorted(told.denied.items())
            if not any(reason.covers(denied) for reason in provoked)
        ),
        *(f"is a reason for nothing: {reason}" for reason in _stale(told, unused, provoked)),
    ]


def _is_missed(told: Told, granted: Granted, provoked: Iterable[Provoked]) -> bool:
    """Whether some call would be refused without it that no reason covers."""
    return any(not any(reason.covers(denied) for reason in provoked) for denied in told.missed_by[granted])


def _stale(told: Told, unused: Iterable[Unused], provoked: Sequence[Provoked]) -> Iterator[str]:
    """What reasons name that is used, needed, or not denied any more."""
    to_spare = [
        granted for granted, calls in told.calls.items() if not calls or not _is_missed(told, granted, provoked)
    ]
    for reason in unused:
        for action in reason.actions:
            one = dataclasses.replace(reason, actions=(action,))
            if not any(one.covers(granted) for granted in to_spare):
                yield str(one)
    for reason_denied in provoked:
        if not any(reason_denied.covers(denied) for denied in told.denied):
            yield str(reason_denied)
