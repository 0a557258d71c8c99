"""Every schedule of some scenarios, within small bounds; `make explore` searches deeper."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.explorer import trials
from tests.explorer.invariants import INVARIANTS
from tests.explorer.mutations import MUTATIONS
from tests.explorer.trials import Trial
from tests.linter import Project
from tests.linter.flow import transitions
from tests.linter.project import ROOT


@pytest.fixture(scope="module")
def explorer() -> Iterator[ProcessPoolExecutor]:
    """Two processes in which the modules of the functions have other clients and another clock."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_no_schedule_violates_an_invariant(explorer: ProcessPoolExecutor) -> None:
    results = dict(zip(trials.BOUNDED, explorer.map(trials.run, trials.BOUNDED), strict=True))

    assert {str(trial): result.violations for trial, result in results.items() if result.violations} == {}
    assert [str(trial) for trial, result in results.items() if not result.is_complete] == []
    reached = set[str]().union(*(result.states for result in results.values()))
    assert _calling_or_waiting_after("Acquire endpoint lock") - reached == set()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_schedule_violates_an_invariant_without_a_guarantee(explorer: ProcessPoolExecutor, name: str) -> None:
    mutation = MUTATIONS[name]

    result = explorer.submit(trials.run, Trial(mutation.scenario, mutation.bounds, name)).result()

    assert mutation.invariant in result.violations


def test_each_invariant_has_a_guarantee_whose_absence_violates_it() -> None:
    assert {mutation.invariant for mutation in MUTATIONS.values()} == set(INVARIANTS)


def test_the_documentation_lists_the_invariants() -> None:
    rows = (ROOT / "docs/architecture.md").read_text().partition("\n## Invariants")[2].partition("\n## ")[0]

    assert re.findall(r"^\| ([\w ]+):", rows, re.MULTILINE) == [name.capitalize() for name in INVARIANTS]


def test_the_documentation_names_a_test_for_each_race() -> None:
    page = (ROOT / "docs/architecture.md").read_text().partition("\n### Races")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|.*\| `?([^`|]*)`? \|$", page, re.MULTILINE)[1:]
    modules = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(rows) > 20
    assert [name for name in rows if not re.search(rf"^def {name}\(", modules, re.MULTILINE)] == []


def _calling_or_waiting_after(start: str) -> set[str]:
    """Return the states that call AWS or wait, and that an execution can reach from the state `start`."""
    definition = Project.read().definition
    steps, found = transitions(definition), {start}
    while new := {target for source, target, _ in steps if source in found} - found:
        found |= new
    return {state for state in found if definition["States"][state]["Type"] in ("Task", "Wait")}
