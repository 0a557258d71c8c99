"""The JSON paths that EventBridge and Automation know: dot notation, array indices and `[*]`."""

from __future__ import annotations

import re
from typing import Any

ABSENT = object()


def find(path: str, document: Any) -> Any:
    """What is at `$.items[0].name` or, as a list, at `$.items[*].name`; ABSENT if nothing is."""
    if not re.fullmatch(r"\$(\.[^.\[\]]+|\[(\d+|\*)\])*", path):
        return ABSENT
    found = [document]
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+|\*)\]", path):
        if name:
            found = [value[name] for value in found if isinstance(value, dict) and name in value]
        elif index == "*":
            found = [element for value in found if isinstance(value, list) for element in value]
        else:
            found = [value[int(index)] for value in found if isinstance(value, list) and int(index) < len(value)]
    if "[*]" in path:
        return found
    return found[0] if found else ABSENT
