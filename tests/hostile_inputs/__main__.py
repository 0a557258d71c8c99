"""Run all hostile inputs, print how each was refused, and list the attacks of the tests: `make hostile`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "functions"))
# No client may use the caller's own AWS configuration.
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.hostile_inputs.attacks import attacks
from tests.hostile_inputs.catalog import every
from tests.hostile_inputs.trial import tried

_WIDTH = 170
_SHOWN = 200


def main() -> None:
    is_terminal = sys.stdout.isatty()
    console = Console(highlight=False, markup=False, width=None if is_terminal else _WIDTH)
    table = Table("input", "refused with", "message or result", box=box.SIMPLE_HEAD)
    table.columns[0].width, table.columns[2].ratio = 50, 1
    wrong, entry, refused, count = [], "", 0, 0
    for one in every():
        try:
            name, said = tried(one)
        except AssertionError as error:
            name, said = "WRONG", str(error)
            wrong.append(said)
        count, refused = count + 1, refused + bool(name)
        if one.entry != entry:
            table.add_section()
            table.add_row(Text(one.entry, "bold"), "", "")
        shown = said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"
        table.add_row(Text(f"  {one.what}"), Text(name, "red" if name == "WRONG" else "dim"), Text(shown))
        entry = one.entry
    console.print(table)
    console.print(f"{count} hostile inputs: {refused} refused, {count - refused} copied as strings or omitted.")
    console.print(_attacks())
    for text in wrong:
        console.print(f"WRONG {text}", style="red")
    if wrong:
        sys.exit(f"{len(wrong)} had a wrong outcome.")


def _attacks() -> Table:
    """Return the attacks that `make test` tries on the embedded AWS, what stops each, and the tests."""
    table = Table("attacker", "goal", "stopped by", "tests", box=box.SIMPLE_HEAD)
    table.columns[3].overflow = "fold"
    for attack in attacks():
        table.add_row(attack.attacker, attack.goal, attack.end, "\n".join(attack.tests), style=None)
    return table


if __name__ == "__main__":
    main()
