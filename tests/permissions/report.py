"""The report on the use of policies, and its findings."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Iterator, Sequence

from tests.permissions.usage import Denied, Granted, Usage


@dataclasses.dataclass(frozen=True)
class Unused:
    """The reason for a grant that no test requires.

    `statement` is the beginning of the name of the statement, and may contain wildcards. With `sometimes`, whether a
    test requires the grant depends on which of two concurrent events comes first.
    """

    statement: str
    actions: tuple[str, ...]
    why: str
    sometimes: bool = False

    def covers(self, granted: Granted) -> bool:
        matches = fnmatch.fnmatchcase(f"{granted.statement} ", f"{self.statement} *")
        return matches and granted.action in self.actions

    def __str__(self) -> str:
        return f"{self.statement}: {', '.join(self.actions)}"


@dataclasses.dataclass(frozen=True)
class Provoked:
    """The reason for a denied call in a test. `resource` may contain wildcards; `refusal` is a part of the message.

    With `sometimes`, whether the call is denied depends on which of two concurrent events comes first.
    """

    caller: str
    action: str
    resource: str
    refusal: str
    why: str
    sometimes: bool = False

    def covers(self, denied: Denied) -> bool:
        is_same_call = (self.caller, self.action) == (denied.caller, denied.action)
        return is_same_call and fnmatch.fnmatchcase(denied.resource, self.resource) and self.refusal in denied.why

    def __str__(self) -> str:
        return f"{self.caller}: {self.action} on {self.resource}, {self.refusal}"


def lines(usage: Usage, unused: Sequence[Unused], provoked: Sequence[Provoked]) -> Iterator[str]:
    """Yield the lines of the report: used grants, unused grants and denied calls, with their reasons."""
    used = [granted for granted, calls in usage.calls.items() if calls]
    required = [granted for granted in used if _is_required(usage, granted, provoked)]
    yield f"{usage.decided} calls were authorized or denied."
    yield f"Of {len(usage.calls)} grants, each an action on a resource in a statement, {len(used)} were used:"
    yield from (f"  {usage.calls[granted]:7} calls by {granted}" for granted in sorted(used))
    yield f"{len(usage.calls) - len(used)} were not used:"
    yield from (f"  {reason}\n          {reason.why}" for reason in unused)
    yield f"Used grants without which a call would be denied: {len(required)} of {len(used)}."
    yield f"{sum(usage.denied.values())} calls were denied:"
    for reason in provoked:
        calls = sum(calls for denied, calls in usage.denied.items() if reason.covers(denied))
        yield f"  {calls:7} times {reason}\n          {reason.why}"


def findings(usage: Usage, unused: Sequence[Unused], provoked: Sequence[Provoked]) -> list[str]:
    """Return the findings as sentences without their last period."""
    return [
        *(
            f"The grant is not used: {granted}"
            for granted, calls in sorted(usage.calls.items())
            if not calls and not any(reason.covers(granted) for reason in unused)
        ),
        *(
            f"The grant is not required, since no call is denied without it: {granted}"
            for granted, calls in sorted(usage.calls.items())
            if calls
            and not _is_required(usage, granted, provoked)
            and not any(reason.covers(granted) for reason in unused)
        ),
        *(
            f"The call was denied {calls} times: {denied}"
            for denied, calls in sorted(usage.denied.items())
            if not any(reason.covers(denied) for reason in provoked)
        ),
        *(f"The reason is obsolete: {reason}" for reason in _obsolete(usage, unused, provoked)),
    ]


def _is_required(usage: Usage, granted: Granted, provoked: Iterable[Provoked]) -> bool:
    """Return whether a call that no reason covers would be denied without the grant."""
    return any(not any(reason.covers(denied) for reason in provoked) for denied in usage.required_by[granted])


def _obsolete(usage: Usage, unused: Iterable[Unused], provoked: Sequence[Provoked]) -> Iterator[str]:
    """Yield the reasons for grants that are required now, and for calls that are no longer denied."""
    not_required = [
        granted for granted, calls in usage.calls.items() if not calls or not _is_required(usage, granted, provoked)
    ]
    for reason in unused:
        for action in reason.actions:
            one = dataclasses.replace(reason, actions=(action,))
            if not reason.sometimes and not any(one.covers(granted) for granted in not_required):
                yield str(one)
    for reason_denied in provoked:
        if not reason_denied.sometimes and not any(reason_denied.covers(denied) for denied in usage.denied):
            yield str(reason_denied)
