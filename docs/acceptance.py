"""Write the sources and their results as tables into docs/promoting.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.acceptance import table

PAGE = Path(__file__).parent / "promoting.md"
_TABLE = re.compile("<!-- sources -->\n.*?<!-- end of the sources -->", re.DOTALL)


def with_table(page: str) -> str:
    """Return `page` with the current tables between their marks."""
    return _TABLE.sub(lambda _: f"<!-- sources -->\n{table()}\n<!-- end of the sources -->", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
