"""The use of policies, which is written to a file, read again, and merged with that of other processes."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import NamedTuple, Self


class Granted(NamedTuple):
    """An action on a resource, and the statement that grants it, which begins with the owner of the policy."""

    statement: str
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.statement}: {self.action} on {self.resource}"


class Denied(NamedTuple):
    """A call that was denied, or would be denied without a grant."""

    caller: str
    action: str
    resource: str
    why: str

    def __str__(self) -> str:
        return f"{self.caller}: {self.action} on {self.resource} {self.why}"


@dataclasses.dataclass
class Usage:
    """The number of calls that each grant allowed, which may be 0, and the calls that only this grant allowed."""

    decided: int = 0
    calls: Counter[Granted] = dataclasses.field(default_factory=Counter)
    required_by: dict[Granted, set[Denied]] = dataclasses.field(default_factory=dict)
    denied: Counter[Denied] = dataclasses.field(default_factory=Counter)

    def add(self, granted: Granted, calls: int, required_by: set[Denied]) -> None:
        self.calls[granted] += calls
        self.required_by.setdefault(granted, set()).update(required_by)

    def merge(self, other: Usage) -> None:
        self.decided += other.decided
        for granted, calls in other.calls.items():
            self.add(granted, calls, other.required_by[granted])
        self.denied.update(other.denied)

    def to_json(self) -> str:
        grants = [[granted, calls, sorted(self.required_by[granted])] for granted, calls in self.calls.items()]
        return json.dumps({"decided": self.decided, "grants": grants, "denied": list(self.denied.items())})

    @classmethod
    def from_json(cls, text: str) -> Self:
        document = json.loads(text)
        usage = cls(document["decided"])
        for granted, calls, required_by in document["grants"]:
            usage.add(Granted(*granted), calls, {Denied(*each) for each in required_by})
        usage.denied.update({Denied(*denied): calls for denied, calls in document["denied"]})
        return usage
