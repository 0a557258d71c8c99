"""Write the effects of each role as a table into docs/security.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.permissions.explained import EFFECTS

PAGE = Path(__file__).parent / "security.md"
_TABLE = re.compile("<!-- effects -->\n.*?<!-- end of the effects -->", re.DOTALL)


def table() -> str:
    """Return the effects as a Markdown table."""
    lines = ["| Effect | Role | Why |", "|---|---|---|"]
    for effect, roles in EFFECTS.items():
        for role, why in roles.items():
            lines.append(f"| {effect} | {role.removesuffix('FunctionRole')} | {why} |")
        if not roles:
            lines.append(f"| {effect} | nobody | |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return `page` with the current table between its marks."""
    return _TABLE.sub(lambda _: f"<!-- effects -->\n{table()}\n<!-- end of the effects -->", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
