"""Write the promotion record as a table into docs/architecture.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

from promotion.record import PromotionRecord
from promotion.record.annotations import ReadBy, WrittenBy

PAGE = Path(__file__).parent / "architecture.md"
_TABLE = re.compile("<!-- record -->\n.*?<!-- end of the record -->", re.DOTALL)


def keys() -> dict[str, tuple[type, str, WrittenBy, ReadBy]]:
    """Return the type, the meaning, the writers and the readers of each key."""
    columns = {}
    for key, hint in get_type_hints(PromotionRecord, include_extras=True).items():
        kind, meaning, written_by, *read_by = get_args(hint)
        columns[key] = (kind, meaning, written_by, read_by[0] if read_by else ReadBy(""))
    return columns


def table() -> str:
    """Return the record as a Markdown table."""
    lines = ["| Key | Type | Meaning | Written by | Read by |", "|---|---|---|---|---|"]
    for key, (kind, meaning, written_by, read_by) in keys().items():
        name = kind.__name__ if kind in (str, int, bool) else str(kind).replace("typing.", "")
        lines.append(f"| `{key}` | `{name}` | {meaning} | {written_by} | {read_by} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return `page` with the current table between its marks."""
    return _TABLE.sub(lambda _: f"<!-- record -->\n{table()}\n<!-- end of the record -->", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
