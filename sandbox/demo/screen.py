"""The output of the demo: lines that remain and, on a terminal, the progress of the current step."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import termios
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.prompt import Confirm
from rich.status import Status
from rich.table import Table
from rich.text import Text

_MAX_WIDTH = 110
# The longest name of a state that is shown as a step has 28 characters.
_NAME_WIDTH = 30
_INDENT = 4
_MARK = "✔ "
_NO_BREAK_SPACE = "\u00a0"


class Screen:
    """The console of the demo. All text is wrapped at words; a word that is longer than a line is not cut."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty())
        self._console.width = min(self._console.width, _MAX_WIDTH)

    @property
    def is_interactive(self) -> bool:
        """Whether a user can answer questions."""
        return self._console.is_terminal and sys.stdin.isatty()

    def title(self, text: str) -> None:
        """Print the title of a scene."""
        self._console.print()
        self._console.print(Text(f"{text} ".ljust(self._console.width, "─"), style="bold"))

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self._console.print()
        self._print(text)

    def good(self, text: str) -> None:
        """Print a result that is as expected."""
        first, *others = self._wrapped(text, len(_MARK))
        self._console.print(Text.assemble((_MARK, "green"), first), soft_wrap=True)
        for line in others:
            self._console.print(Text(" " * len(_MARK) + line), soft_wrap=True)

    def quote(self, text: str) -> None:
        """Print a message of AWS or of the project."""
        self._console.print()
        for paragraph in text.strip().splitlines():
            for line in self._wrapped(paragraph, _INDENT):
                self._console.print(Text.assemble(("  │ ", "dim"), (line, "italic")), soft_wrap=True)

    def note(self, text: str) -> None:
        """Print an indented line."""
        self._print(text, _INDENT)

    def failed(self, text: str) -> None:
        """Print why the demo ends early."""
        self._console.print()
        for paragraph in text.splitlines():
            self._print(paragraph, style="bold red")

    def ask(self, question: str) -> bool:
        """Return the user's answer to a question, without keys that were pressed before it."""
        self._console.print()
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
        return Confirm.ask(Text(question, style="bold"), console=self._console)

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        """Print a table, without a header if `columns` is empty."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, show_header=bool(columns), header_style="bold")
        for column in columns or [""] * len(rows[0]):
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print()
        self._console.print(table)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """On a terminal, show `text` and a spinner."""
        with self._console.status(Text(text, style="cyan")):
            yield

    @contextmanager
    def steps(self, heading: str) -> Iterator[Steps]:
        """Print a heading and yield the steps to print under it."""
        self._console.print()
        for line in self._wrapped(heading, 2):
            self._console.print(Text(f"  {line}", style="bold cyan"), soft_wrap=True)
        with self._console.status("") as status:
            status.stop()
            steps = Steps(self._console, status)
            try:
                yield steps
            finally:
                steps.end()

    def _print(self, text: str, indent: int = 0, style: str = "") -> None:
        for line in self._wrapped(text, indent):
            self._console.print(Text(" " * indent + line, style=style), soft_wrap=True)

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return _wrap(text, self._console.width - indent)


@dataclasses.dataclass
class _Step:
    name: str
    began: datetime.datetime
    shown: float
    details: list[str]
    ended: datetime.datetime | None = None


class Steps:
    """The steps of an execution or a training job, each with its duration.

    On a terminal, the duration of the current step is updated. Otherwise, the name of a step is printed when it begins,
    and the rest of the line when it ends.
    """

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._step: _Step | None = None

    def begin(self, name: str, began: datetime.datetime) -> None:
        """End the current step and begin another one."""
        self.end(began)
        self._step = _Step(name, began, time.monotonic(), [])
        if self._console.is_terminal:
            self.tick()
            self._status.start()
        else:
            self._console.print(_step_name(name), end="")

    def add_detail(self, text: str) -> None:
        """Add a detail to the current step, such as the name of a state that has no duration."""
        if self._step:
            self._step.details.append(text)

    def set_end(self, name: str, ended: datetime.datetime) -> None:
        """Set the end time of the current step if it has this name; details can still follow."""
        if self._step and self._step.name == name:
            self._step.ended = ended

    def tick(self) -> None:
        """On a terminal, update the duration of the current step."""
        if self._step and self._console.is_terminal:
            seconds = time.monotonic() - self._step.shown
            self._status.update(Text(f" {self._step.name}  {seconds:.0f} s", style="cyan"))

    def end(self, ended: datetime.datetime | None = None) -> None:
        """Print the current step with its duration; an end time that was set before takes precedence."""
        if self._step is None:
            return
        step, self._step = self._step, None
        self._status.stop()
        ended = step.ended or ended or step.began
        duration = f"{(ended - step.began).total_seconds():6.1f} s  "
        indent = len(_step_name(step.name) + duration)
        # Names are not broken: their spaces are replaced while the list of names is wrapped.
        names = "  ".join(detail.replace(" ", _NO_BREAK_SPACE) for detail in step.details)
        first, *others = (line.replace(_NO_BREAK_SPACE, " ") for line in _wrap(names, self._console.width - indent))
        name = _step_name(step.name) if self._console.is_terminal else ""
        line = Text.assemble(name, duration, (first, "dim"))
        line.rstrip()
        self._console.print(line, soft_wrap=True)
        for other in others:
            self._console.print(Text(" " * indent + other, style="dim"), soft_wrap=True)

    def conclude(self, text: str, is_good: bool) -> None:
        """End the current step and print the final state or status."""
        self.end()
        self._console.print(Text(" " * _INDENT + f"→ {text}", style="green" if is_good else "red"))


def _step_name(name: str) -> str:
    return " " * _INDENT + name.ljust(_NAME_WIDTH)


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of `text`, wrapped at words; at least one, which can be empty."""
    return textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False) or [""]
