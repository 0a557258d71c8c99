"""The search over schedules: every order of the calls of concurrent executions, with interruptions, within bounds.

A situation is data, so that the search continues at each of its moves without a repetition of the moves before. Two
schedules that lead to the same situation continue in the same way, so that it is explored once.
"""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping

from tests.explorer import functions
from tests.explorer.machine import Machine
from tests.explorer.schedules import Moves, Situation, Step

Invariant = Callable[[Machine, Step], str | None]


@dataclasses.dataclass
class Result:
    """The numbers of schedules and situations, and the states that were reached.

    `violations` are the problem and the shortest schedule of each violated invariant; `violated` counts the situations.
    """

    schedules: int = 0
    situations: int = 0
    states: set[str] = dataclasses.field(default_factory=set)
    violations: dict[str, tuple[str, list[str]]] = dataclasses.field(default_factory=dict)
    violated: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    is_complete: bool = True


def search(
    machine: Machine,
    start: Situation,
    invariants: Mapping[str, Invariant],
    *,
    seconds: float = 3600.0,
    until_violated: str = "",
) -> Result:
    """Explore every schedule from `start`, or until `until_violated` is violated or the time is over."""
    ends, result, moves = time.monotonic() + seconds, Result(), Moves(machine)
    # The number of schedules from each situation that is completely explored.
    counts: dict[int, int] = {}
    with functions.installed():
        path: list[tuple[int, str, Iterator[Step]]] = [(start.key(), "", moves.of(start))]
        totals = [0]
        while path:
            key, _, steps = path[-1]
            step = next(steps, None)
            if step is None or time.monotonic() > ends:
                result.is_complete &= step is None
                path.pop()
                counts[key] = totals.pop()
                if totals:
                    totals[-1] += counts[key]
                continue
            broken = False
            for name, invariant in invariants.items():
                if problem := invariant(machine, step):
                    labels = [label for _, label, _ in path if label] + [step.label]
                    if name not in result.violations or len(labels) < len(result.violations[name][1]):
                        result.violations[name] = (problem, labels)
                    result.violated[name] += 1
                    broken = True
            if until_violated in result.violations:
                break
            if step.is_last or broken:
                totals[-1] += 1
                continue
            if (reached := step.after.key()) in counts:
                totals[-1] += counts[reached]
                continue
            result.situations += 1
            result.states.update(execution.state for execution in step.after.executions)
            path.append((reached, step.label, moves.of(step.after)))
            totals.append(0)
    result.schedules = counts.get(start.key(), 0)
    return result
