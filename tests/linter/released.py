"""The calls of the released definition, which running promotions still make after an update of the stack.

An execution keeps the definition that it was started with, for up to a day, and calls the updated functions. So each
function must accept the payload of the released definition and return what that definition reads. After a release, and
only then, record its calls: `python -m tests.linter.released`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.linter.calls import called_modules, fields_read, names_written
from tests.linter.project import Project, objects, payload_of, texts

RECORD = Path(__file__).with_suffix(".json")
_RESULT = re.compile(r"\$states\.result\.Payload\.(\w+)")


def calls(project: Project) -> dict[str, dict[str, Any]]:
    """Return the function, the fields of the payload and the fields that are read of the result, of each state."""
    return {
        name: {
            "function": project.function_of(state),
            "payload": sorted(payload_of(state)),
            "result": sorted(_read(project, state)),
        }
        for name, state, _ in called_modules(project)
    }


def _read(project: Project, state: dict[str, Any]) -> set[str]:
    """Return the fields that are read of a function's result, also by later states from a variable with all of it."""
    assigned = [place.get("Assign", {}) for place in objects(state)]
    whole = {name for values in assigned for name, value in values.items() if value == "{% $states.result.Payload %}"}
    later = rf"\$(?:{'|'.join(whole)})\.(\w+)" if whole else r"(?!)"
    found = {field for text in texts(state) for field in _RESULT.findall(text)}
    return found | {
        field for _, other in project.states() for text in texts(other) for field in re.findall(later, text)
    }


def incompatible_calls(project: Project, released: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield each released call that the functions of the project would no longer serve."""
    modules = {project.function_of(state): module for _, state, module in called_modules(project)}
    for name, call in released.items():
        module = modules.get(call["function"])
        if module is None:
            yield f"{name}: {call['function']} no longer exists."
            continue
        for field in sorted(fields_read(project.texts[module]) - set(call["payload"])):
            yield f"{name}: {module} requires event[{field!r}]. Read it with event.get({field!r})."
        for field in sorted(set(call["result"]) - names_written(project, module)):
            yield f"{name}: {module} does not return {field}."


def main() -> None:
    """Record the calls of the definition."""
    RECORD.write_text(json.dumps(calls(Project.read()), indent=1) + "\n")


if __name__ == "__main__":
    main()
