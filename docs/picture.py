"""Draw the state machine into docs/architecture.md: `make docs`.

The page has a mark for each diagram, with the name of the diagram's first state. A diagram shows the states of the
definition from that state up to the first state of the next diagram. States of other diagrams are drawn as flags.

Most errors lead to the same state. States with such an error have a dashed red border instead of an arrow.
"""

from __future__ import annotations

import collections
import itertools
import re
from pathlib import Path
from typing import Any

from tests.linter import Project

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/architecture.md"
_MARK = "<!-- picture from {} -->"
_DIAGRAM = re.compile(f"{_MARK.format('(?P<first>[^\n]+)')}\n.*?<!-- end of the picture -->", re.DOTALL)

_SHAPES = {"Task": "[{}]", "Map": "[[{}]]", "Choice": "{{{{{}}}}}", "Succeed": "([{}])", "Fail": "([{}])"}
_OTHER_SHAPE, _FLAG = "({})", ">{}]"
_SPACING = '%%{init: {"flowchart": {"nodeSpacing": 30, "rankSpacing": 35}}}%%'
_ANY_ERROR = "States.ALL"
_ANY_CAUGHT = '    caught["any error of a state<br/>with a dashed red border"]'
_WIDE = 5
"""If a state has more outgoing arrows than this, the diagram is drawn from left to right, which is narrower."""

States = dict[str, dict[str, Any]]


def with_diagrams(page: str) -> str:
    """Return `page` with diagrams of the current definition between its marks."""
    states: States = Project.read().definition["States"]
    names = list(states)
    firsts = [mark["first"] for mark in _DIAGRAM.finditer(page)]
    if unknown := set(firsts) - set(names):
        raise ValueError(f"{PAGE.name}: the definition has no state {', '.join(sorted(unknown))}.")
    starts = [names.index(first) for first in firsts]
    if not starts or starts[0] != 0 or starts != sorted(starts):
        raise ValueError(f"{PAGE.name}: the marks must be in the order of the definition and begin with {names[0]}.")
    diagrams = iter([_diagram(states, names[a:b]) for a, b in itertools.pairwise([*starts, len(names)])])

    def block(match: re.Match[str]) -> str:
        mark = _MARK.format(match["first"])
        return f"{mark}\n```mermaid\n{next(diagrams)}\n```\n<!-- end of the picture -->"

    return _DIAGRAM.sub(block, page)


def _diagram(states: States, shown: list[str]) -> str:
    """Return a Mermaid flowchart of the states `shown`."""
    handler = _failure_handler(states)
    caught = [name for name in shown if (_ANY_ERROR, handler) in _catches(states[name]) and handler not in shown]
    solid = [(name, target) for name in shown for target in _next(states[name])]
    dashed = [
        (name, error, target)
        for name in shown
        for error, target in _catches(states[name])
        if name not in caught or target != handler
    ]
    targets = [target for _, target in solid] + [target for _, _, target in dashed] + [handler] * bool(caught)
    flags = [target for target in dict.fromkeys(targets) if target not in shown]
    ids = {name: f"s{number}" for number, name in enumerate([*shown, *flags])}
    failing = [name for name in shown if states[name]["Type"] == "Fail"]

    widest = max(len(_next(states[name])) for name in shown)
    lines = [_SPACING, f"flowchart {'LR' if widest > _WIDE else 'TD'}"]
    lines += [f"    {ids[name]}{_shape(name, states[name])}" for name in shown]
    lines += [f"    {ids[name]}{_FLAG.format(f'"{name}"')}" for name in flags]
    lines += [f"    {ids[name]} --> {ids[target]}" for name, target in solid]
    lines += [f"    {ids[name]} {_arrow(error)} {ids[target]}" for name, error, target in dashed]
    if caught:
        lines += [_ANY_CAUGHT, f"    caught -.-> {ids[handler]}"]
        lines += ["    classDef caught stroke:#c33,stroke-dasharray:4", f"    class {_list(ids, caught)},caught caught"]
    if red := len(dashed) + bool(caught):
        numbers = ",".join(str(number) for number in range(len(solid), len(solid) + red))
        lines.append(f"    linkStyle {numbers} stroke:#c33,stroke-width:2px")
    if failing:
        lines += ["    classDef failing stroke:#c33,stroke-width:2px", f"    class {_list(ids, failing)} failing"]
    return "\n".join(lines)


def _failure_handler(states: States) -> str:
    """Return the state that handles most errors."""
    targets = collections.Counter(target for state in states.values() for _, target in _catches(state))
    return targets.most_common(1)[0][0]


def _shape(name: str, state: dict[str, Any]) -> str:
    inner = "".join(f"<br/>for each: {inner}" for inner in state.get("ItemProcessor", {}).get("States", {}))
    return _SHAPES.get(state["Type"], _OTHER_SHAPE).format(f'"{name}{inner}"')


def _next(state: dict[str, Any]) -> list[str]:
    names = [choice["Next"] for choice in state.get("Choices", [])]
    return list(dict.fromkeys(names + [state[key] for key in ("Next", "Default") if key in state]))


def _catches(state: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error, catch["Next"]) for catch in state.get("Catch", []) for error in catch["ErrorEquals"]]


def _arrow(error: str) -> str:
    return "-.->" if error == _ANY_ERROR else f"-. {error.rsplit('.', 1)[-1]} .->"


def _list(ids: dict[str, str], names: list[str]) -> str:
    return ",".join(ids[name] for name in names)


if __name__ == "__main__":
    PAGE.write_text(with_diagrams(PAGE.read_text()))
