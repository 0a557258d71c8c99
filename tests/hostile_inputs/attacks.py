"""The attacks of docs/security.md, which tests run on the embedded AWS, and how each ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PAGE = Path(__file__).parents[2] / "docs/security.md"


class Attack(NamedTuple):
    """A row of the table *Threats*."""

    attacker: str
    goal: str
    end: str
    """What stops the attack."""
    tests: list[str]


def attacks() -> Iterator[Attack]:
    """Yield every attack, in the order of the page."""
    section = _PAGE.read_text().split("\n## Threats\n")[1].split("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")]
    for row in rows[1:]:
        attacker, goal, end, tests = (cell.strip() for cell in row.strip("| ").split(" | "))
        yield Attack(attacker, goal, end, re.findall(r"`(test_\w+)`", tests))
