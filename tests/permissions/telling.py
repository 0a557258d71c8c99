"""What was needed of policies, in a form that is written down, read again and put together with that of others."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import NamedTuple, Self


class Granted(NamedTuple):
    """An action on a resource, and the statement that grants it: what has the policy comes first in it."""

    statement: str
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.statement}: {self.action} on {self.resource}"


class Denied(NamedTuple):
    """A call that was refused, or would be."""

    caller: str
    action: str
    resource: str
    why: str

    def __str__(self) -> str:
        return f"{self.caller}: {self.action} on {self.resource} {self.why}"


@dataclasses.dataclass
class Told:
    """`calls` has how many calls each grant allowed, none of it 0; `missed_by` which ones only it allowed."""

    decided: int = 0
    calls: Counter[Granted] = dataclasses.field(default_factory=Counter)
    missed_by: dict[Granted, set[Denied]] = dataclasses.field(default_factory=dict)
    denied: Counter[Denied] = dataclasses.field(default_factory=Counter)

    def add(self, granted: Granted, calls: int, missed_by: set[Denied]) -> None:
        self.calls[granted] += calls
        self.missed_by.setdefault(granted, set()).update(missed_by)

    def add_all(self, other: Told) -> None:
        self.decided += other.decided
        for granted, calls in other.calls.items():
            self.add(granted, calls, other.missed_by[granted])
        self.denied.update(other.denied)

    def written(self) -> str:
        grants = [[granted, calls, sorted(self.missed_by[granted])] for granted, calls in self.calls.items()]
        return json.dumps({"decided": self.decided, "grants": grants, "denied": list(self.denied.items())})

    @classmethod
    def read(cls, text: str) -> Self:
        document = json.loads(text)
        told = cls(document["decided"])
        for granted, calls, missed_by in document["grants"]:
            told.add(Granted(*granted), calls, {Denied(*each) for each in missed_by})
        told.denied.update({Denied(*denied): calls for denied, calls in document["denied"]})
        return told
