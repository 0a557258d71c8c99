"""The blocks of code in the pages of the documentation."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "events/README.md",
    ROOT / "embedded_aws/README.md",
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code, with its page and the number of its first line. `language` is that of a fence, or empty."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, each with its continuation lines and without its comment."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [found for line in lines if (found := re.sub(r"\s+#.*$", "", re.sub(r"\s+", " ", line)).strip())]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def fenced() -> Iterator[Block]:
    """Yield the fenced blocks of all pages."""
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text[: match.start()].count("\n") + 1
            yield Block(str(page.relative_to(ROOT)), line, match[1], match[2])


def shell() -> Iterator[Block]:
    """Yield the indented blocks of all pages, which are commands, without the indentation."""
    for page in PAGES:
        text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text())
        for match in _INDENTED.finditer(text):
            line = text[: match.start()].count("\n") + 1
            yield Block(str(page.relative_to(ROOT)), line, "", textwrap.dedent(match[0]))
