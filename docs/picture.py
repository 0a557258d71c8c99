"""Draw the state machine into the README: `make picture`.

The picture shows what does something and where an execution ends; the choices, waits and notes between are what the
arrows stand for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.linter import Project

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- picture: made by `make picture` -->", "<!-- end of the picture -->"

_SHOWN = {"Task", "Map", "Succeed", "Fail"}
_SHAPES = {"Succeed": ("([", "])"), "Fail": ("([", "])"), "Map": ("[[", "]]")}
_FAILURE = "Note what failed"


def picture() -> str:
    """The state machine as a Mermaid flowchart."""
    definition = Project.read().definition
    states = definition["States"]
    shown = {name: state for name, state in states.items() if state["Type"] in _SHOWN}
    numbers = {name: f"s{index}" for index, name in enumerate(shown)}
    first = _next_shown(states, {"Next": definition["StartAt"]})
    lines = ["flowchart TD"]
    lines += [f"    start((start)) --> {numbers[name]}" for name in sorted(first, key=list(shown).index)]
    for name, state in shown.items():
        left, right = _SHAPES.get(state["Type"], ("[", "]"))
        lines.append(f'    {numbers[name]}{left}"{name}"{right}')
    for name, state in shown.items():
        for target in sorted(_next_shown(states, state), key=list(shown).index):
            lines.append(f"    {numbers[name]} --> {numbers[target]}")
    lines.append('    failure{{"any failure"}}')
    for target in sorted(_next_shown(states, states[_FAILURE]), key=list(shown).index):
        lines.append(f"    failure --> {numbers[target]}")
    failed = [numbers[name] for name, state in shown.items() if state["Type"] == "Fail"]
    lines += ["    classDef failed stroke:#c33", f"    class {','.join(failed)} failed"]
    return "\n".join(lines)


def _next_shown(states: dict[str, Any], state: dict[str, Any]) -> set[str]:
    """The shown states that come after `state`, whatever lies between."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = _next(state)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if states[name]["Type"] in _SHOWN:
            found.add(name)
        else:
            waiting += _next(states[name])
    return found


def _next(state: dict[str, Any]) -> list[str]:
    names = [choice["Next"] for choice in state.get("Choices", [])]
    return names + [state[key] for key in ("Next", "Default") if key in state]


def drawn_into(readme: str) -> str:
    """`readme` with the picture of today's state machine between its marks."""
    block = f"{BEGIN}\n```mermaid\n{picture()}\n```\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, readme, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(drawn_into(README.read_text()))
