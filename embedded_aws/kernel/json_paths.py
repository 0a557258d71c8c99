"""The JSON paths of EventBridge and Automation: dot notation, array indices and `[*]`."""

from __future__ import annotations

import re
from typing import Any

ABSENT = object()


def find(path: str, document: Any) -> Any:
    """Return the value at a path such as `$.items[0].name`, a list for `$.items[*].name`, or ABSENT."""
    if not re.fullmatch(r"\$(\.[^.\[\]]+|\[(\d+|\*)\])*", path):
        return ABSENT
    values = [document]
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+|\*)\]", path):
        if name:
            values = [value[name] for value in values if isinstance(value, dict) and name in value]
        elif index == "*":
            values = [element for value in values if isinstance(value, list) for element in value]
        else:
            values = [value[int(index)] for value in values if isinstance(value, list) and int(index) < len(value)]
    if "[*]" in path:
        return values
    return values[0] if values else ABSENT
