"""Write the totals of the last `make faults` as tables into docs/faults.md: `make faults-page`."""

from __future__ import annotations

import collections
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.faults import judging
from tests.faults.scenarios import SCENARIOS

PAGE = Path(__file__).parent / "faults.md"
RESULTS = Path(".local/faults.jsonl")
_TABLES = re.compile("<!-- results -->\n.*?<!-- end of the results -->", re.DOTALL)
_NOT_REACHED, _INCORRECT = "not reached", "incorrect"
_COLUMNS = {
    judging.PROMOTED: "promoted",
    judging.RESTORED: "restored",
    judging.RESTORED_MANUALLY: "restored manually",
    judging.NOT_PUBLISHED: "not published",
    judging.NOT_STARTED: "not started",
    judging.CHANGED: "changed, reported",
    _NOT_REACHED: _NOT_REACHED,
    _INCORRECT: _INCORRECT,
}


def tables(lines: Iterable[str]) -> str:
    """Return the totals for each scenario and each fault or change as Markdown.

    `lines` are those of a results file: a trial each, or the number of possible trials of each scenario. The last
    result of a trial counts.
    """
    possible: dict[str, int] = {}
    trials: dict[str, str] = {}
    for line in lines:
        row = json.loads(line)
        if "possible" in row:
            possible |= row["possible"]
        else:
            trials[row["case"]] = _column(row)
    by_scenario: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    by_kind: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for case, column in trials.items():
        scenario, kind, _ = case.split(": ", 2)
        by_scenario[scenario][column] += 1
        by_kind[kind][column] += 1
    incorrect = sum(counts[_INCORRECT] for counts in by_scenario.values())
    known = sum(possible.values())
    summary = f"{len(trials):,} of {known:,} possible trials were run" if known else f"{len(trials):,} trials were run"
    summary += f", and {incorrect:,} ended incorrectly." if incorrect else ". None of them ended incorrectly."
    scenarios = {scenario: by_scenario[scenario] for scenario in SCENARIOS if scenario in by_scenario}
    counted = {scenario: f"{possible[scenario]:,}" if scenario in possible else "" for scenario in scenarios}
    rows = _table("Scenario", scenarios, counted | {"all": f"{known:,}" if known else ""})
    return "\n".join([summary, "", *rows, "", *_table("Fault or change", dict(sorted(by_kind.items())))])


def with_tables(page: str, lines: Iterable[str]) -> str:
    """Return `page` with the totals of a results file between its marks."""
    return _TABLES.sub(lambda _: f"<!-- results -->\n{tables(lines)}\n<!-- end of the results -->", page)


def _column(row: dict[str, Any]) -> str:
    if row["errors"]:
        return _INCORRECT
    return str(row["outcome"]) if row["hits"] else _NOT_REACHED


def _table(
    first: str, rows: dict[str, collections.Counter[str]], possible: dict[str, str] | None = None
) -> Iterator[str]:
    """Yield a table with a row of counts for each key, and the sums. Columns without a count are left out."""
    total = sum(rows.values(), collections.Counter[str]())
    used = [column for column in _COLUMNS if total[column] or column == _INCORRECT]
    extra = ["possible"] if possible is not None else []
    names = [first, *extra, "run", *(_COLUMNS[column] for column in used)]
    yield f"| {' | '.join(names)} |"
    yield f"|---|{'--:|' * (len(names) - 1)}"
    for name, counts in (rows | {"all": total}).items():
        cells = [name, *([possible[name]] if possible is not None else []), f"{counts.total():,}"]
        yield f"| {' | '.join([*cells, *(f'{counts[column]:,}' for column in used)])} |"


if __name__ == "__main__":
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    PAGE.write_text(with_tables(PAGE.read_text(), results.read_text().splitlines()))
