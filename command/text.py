"""Text for a terminal: tables, ages and times."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Sequence

_GAP = "  "
_SHORTEST_COLUMN = 12


def printable(value: object) -> str:
    """Return a value as one line without control characters, which could come from a source in another account."""
    text = " ".join(str(value).split())
    return "".join(character if character.isprintable() else "?" for character in text)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], width: int | None = None) -> str:
    """Return rows under their headings, or "" without rows.

    Columns that are empty in every row are left out. If the table is wider than `width` characters, its last column is
    cut; None stands for the width of the terminal, and for no limit if the output is not a terminal.
    """
    if not rows:
        return ""
    lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    used = [index for index in range(len(headings)) if any(line[index] for line in lines[1:])]
    lines = [[line[index] for index in used] for line in lines]
    widths = [max(len(line[index]) for line in lines) for index in range(len(used))]
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if width is not None:
        widths[-1] = min(widths[-1], max(_SHORTEST_COLUMN, width - sum(widths[:-1]) - len(_GAP) * (len(used) - 1)))
    return "\n".join(
        _GAP.join(_cut(cell, size).ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as 1 case or 2 cases."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def minute(time: str | datetime.datetime | None) -> str:
    """Return a time (ISO 8601 if it is a string) to the minute in UTC, such as 2026-11-22 09:58Z, or "" for None."""
    if not time:
        return ""
    return f"{_aware(time).astimezone(datetime.UTC):%Y-%m-%d %H:%MZ}"


def age(time: str | datetime.datetime, now: datetime.datetime) -> str:
    """Return how long ago a time was, such as 40 s, 12 min, 3 h or 5 d."""
    seconds = max(0, int((now - _aware(time)).total_seconds()))
    for unit, size, limit in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < size * limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86400} d"


def iso(time: datetime.datetime) -> str:
    """Return a time in UTC as ISO 8601 with seconds, such as 2026-11-22T09:58:40Z."""
    return f"{time.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _aware(time: str | datetime.datetime) -> datetime.datetime:
    return datetime.datetime.fromisoformat(time) if isinstance(time, str) else time
