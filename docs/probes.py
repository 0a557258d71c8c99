"""Write the list of the probes as a table into docs/probing.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deployed import prices
from tests.deployed.instrument import load

PAGE = Path(__file__).parent / "probing.md"
_TABLE = re.compile("<!-- probes -->\n.*?<!-- end of the probes -->", re.DOTALL)


def table() -> str:
    """Return the probes as a Markdown table, and their cost."""
    probes = load()
    lines = ["| Probe | Belief | Documented where | Believed answer |", "|---|---|---|---|"]
    for each in probes:
        cells = (f"`{each.name}`", each.belief, each.documented, each.believed + (" (1)" if each.not_modeled else ""))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    dollars = prices.total(cost for each in probes for cost in each.costs)
    lines += ["", "(1) The embedded AWS does not model this.", ""]
    lines += [f"All {len(probes)} probes cost about ${dollars:.2f} at list prices of {prices.AS_OF}."]
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return `page` with the current table between its marks."""
    return _TABLE.sub(lambda _: f"<!-- probes -->\n{table()}\n<!-- end of the probes -->", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
