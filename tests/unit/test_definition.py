"""The state machine's definition, as far as it can be judged without running it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonata import Jsonata

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "statemachine/promotion.asl.yaml").read_text()

# Step Functions developer guide, "Service quotas".
MAXIMUM_EVENTS = 25_000
MAXIMUM_BYTES = 1024**2


class _Parameters(yaml.SafeLoader):
    """CloudFormation's YAML, of which only what has no intrinsic function is needed."""


_Parameters.add_multi_constructor("!", lambda loader, suffix, node: None)  # type: ignore[no-untyped-call]
PARAMETERS = yaml.load((ROOT / "template.yaml").read_text(), _Parameters)["Parameters"]  # noqa: S506 - a SafeLoader


def substituted() -> str:
    """The definition with the defaults of the template's numbers, and with a text for everything else."""
    return re.sub(
        r"\$\{(\w+)\}", lambda match: str(PARAMETERS.get(match[1], {}).get("Default") or f"the-{match[1]}"), TEXT
    )


DEFINITION = yaml.safe_load(substituted())


def all_states(machine: dict[str, Any] = DEFINITION) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from all_states(state["ItemProcessor"])


def machines() -> list[dict[str, Any]]:
    return [DEFINITION, *(state["ItemProcessor"] for _, state in all_states() if "ItemProcessor" in state)]


def followers(state: dict[str, Any]) -> set[str]:
    rules = [*state.get("Choices", []), *state.get("Catch", [])]
    return {place["Next"] for place in [state, *rules] if "Next" in place} | {state["Default"]} - {None} if (
        "Default" in state
    ) else {place["Next"] for place in [state, *rules] if "Next" in place}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from texts(member)


def expressions() -> list[Any]:
    found = []
    for name, state in all_states():
        own = {field: value for field, value in state.items() if field != "ItemProcessor"}
        found += [pytest.param(text, id=name) for text in texts(own) if "{%" in text]
    return found


def test_statelint_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "promotion.asl.yaml"
    path.write_text(substituted())

    found = subprocess.run(  # noqa: S603 - our own file
        [sys.executable, "-m", "statelint", "--yaml", str(path)], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
