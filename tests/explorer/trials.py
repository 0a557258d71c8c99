"""The trials of the search: which scenarios are explored within which bounds."""

from __future__ import annotations

import contextlib
import dataclasses

from tests.explorer import functions
from tests.explorer.invariants import INVARIANTS
from tests.explorer.machine import Machine
from tests.explorer.mutations import MUTATIONS
from tests.explorer.scenarios import SCENARIOS
from tests.explorer.schedules import Bounds
from tests.explorer.search import Result, search


@dataclasses.dataclass(frozen=True)
class Trial:
    """A scenario with its bounds, and the mutation of the product, if any."""

    scenario: str
    bounds: Bounds
    mutation: str = ""

    def __str__(self) -> str:
        return f"{self.scenario} with {self.bounds}"


def run(trial: Trial, seconds: float = 3600.0) -> Result:
    """Explore a trial; one with a mutation only until the invariant of the mutation is violated."""
    scenario = SCENARIOS[trial.scenario]
    machine = Machine(**scenario.parameters)
    with contextlib.ExitStack() as stack:
        invariant = ""
        if trial.mutation:
            mutation = MUTATIONS[trial.mutation]
            invariant = mutation.invariant
            stack.enter_context(mutation.undo(machine))
        stack.enter_context(functions.installed())
        start = scenario.begin(machine, trial.bounds)
        return search(machine, start, INVARIANTS, seconds=seconds, until_violated=invariant)


# Seconds each, for `make test`.
BOUNDED = [
    *(Trial("first deployment", Bounds(**{kind: 1})) for kind in ("aborts", "faults", "retries", "others")),
    *(Trial("update", Bounds(**{kind: 1})) for kind in ("aborts", "faults", "retries", "others")),
    *(Trial(scenario, Bounds()) for scenario in ("two promotions", "rollback", "retention", "approval")),
]

# For `make explore`.
DEEP = [
    *(
        Trial(scenario, bounds)
        for scenario in ("first deployment", "update")
        for bounds in (
            Bounds(switches=1, aborts=2),
            Bounds(aborts=1, faults=1),
            Bounds(aborts=1, retries=1),
            Bounds(aborts=1, others=1),
            Bounds(faults=2),
            Bounds(faults=1, retries=1),
            Bounds(faults=1, others=1),
        )
    ),
    *(
        Trial(scenario, bounds)
        for scenario in ("two promotions", "rollback", "retention", "approval")
        for bounds in (
            Bounds(switches=1),
            Bounds(aborts=1),
            Bounds(faults=1),
            Bounds(retries=1),
            Bounds(others=1),
        )
    ),
]
