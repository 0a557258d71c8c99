"""What the demo shows: lines that stay, and on a terminal what is going on right now."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.prompt import Confirm
from rich.status import Status
from rich.table import Table
from rich.text import Text

_WIDTH = 110
_NAME_WIDTH = 46
_INDENT = 4


class Screen:
    def __init__(self) -> None:
        is_terminal = sys.stdout.isatty()
        console = Console(highlight=False, markup=False, force_terminal=is_terminal)
        console.width = min(console.width, _WIDTH) if is_terminal else _WIDTH
        self._console = console

    @property
    def has_person(self) -> bool:
        """Whether someone sits there who can be asked."""
        return self._console.is_terminal and sys.stdin.isatty()

    def title(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(f"{text} ".ljust(self._console.width, "─"), style="bold"))

    def say(self, text: str) -> None:
        """A paragraph."""
        self._console.print()
        self._console.print(text)

    def good(self, text: str) -> None:
        """What was found to be as it has to be."""
        self._console.print(Text.assemble(("✔ ", "green"), text))

    def quote(self, text: str) -> None:
        """Someone else's words, as they are."""
        self._console.print()
        for line in text.strip().splitlines():
            self._console.print(Text.assemble(("  │ ", "dim"), (line, "italic")), soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(Text(" " * _INDENT + text))

    def failed(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, style="bold red"))

    def ask(self, question: str) -> bool:
        self._console.print()
        return Confirm.ask(Text(question, style="bold"), console=self._console)

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, show_header=bool(columns), header_style="bold")
        for column in columns or [""] * len(rows[0]):
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print()
        self._console.print(table)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """On a terminal, something moves meanwhile."""
        with self._console.status(Text(what, style="cyan")):
            yield

    @contextmanager
    def steps(self, heading: str) -> Iterator[Steps]:
        self._console.print()
        self._console.print(Text(f"  {heading}", style="bold cyan"))
        with self._console.status("") as status:
            status.stop()
            steps = Steps(self._console, status)
            try:
                yield steps
            finally:
                steps.end()


@dataclasses.dataclass
class _Step:
    name: str
    began: datetime.datetime
    seen: float
    asides: list[str]
    ended: datetime.datetime | None = None


class Steps:
    """The steps of one thing that runs, each with how long it took. On a terminal the clock of the present one ticks;
    elsewhere its name is written when it begins and the rest of the line when it ends.
    """

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._step: _Step | None = None

    def begin(self, name: str, began: datetime.datetime) -> None:
        self.end(began)
        self._step = _Step(name, began, time.monotonic(), [])
        if self._console.is_terminal:
            self.tick()
            self._status.start()
        else:
            self._console.print(_named(name), end="")

    def aside(self, text: str) -> None:
        """What belongs to the present step and takes no time of its own."""
        if self._step:
            self._step.asides.append(text)

    def done(self, name: str, ended: datetime.datetime) -> None:
        """The present step is over, but what comes next is not known yet."""
        if self._step and self._step.name == name:
            self._step.ended = ended

    def tick(self) -> None:
        if self._step and self._console.is_terminal:
            seconds = time.monotonic() - self._step.seen
            self._status.update(Text(f" {self._step.name}  {seconds:.0f} s", style="cyan"))

    def end(self, ended: datetime.datetime | None = None) -> None:
        """Nothing more comes after the present step, which ended then unless that is known better."""
        if self._step is None:
            return
        step, self._step = self._step, None
        self._status.stop()
        ended = step.ended or ended or step.began
        line = Text(f"{(ended - step.began).total_seconds():6.1f} s  ")
        line.append("  ".join(step.asides), style="dim")
        line.rstrip()
        if self._console.is_terminal:
            line = Text(_named(step.name)) + line
        self._console.print(line, soft_wrap=True)

    def conclude(self, text: str, is_good: bool) -> None:
        """How it ended, in one line of its own."""
        self.end()
        self._console.print(Text(" " * _INDENT + f"→ {text}", style="green" if is_good else "red"))


def _named(name: str) -> str:
    return " " * _INDENT + name.ljust(_NAME_WIDTH)
