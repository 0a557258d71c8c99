"""The substitutions of a definition, without the libraries that its validation requires."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def substitute(definition: str, substitutions: Mapping[str, Any]) -> str:
    """Return a state machine's definition with its `${name}`s replaced, repeatedly until none is left to replace.

    A value may contain other `${name}`s; a name without a value stays as it is. Raise ValueError if a value contains
    its own name, directly or through others. Source: `transformDefinition` in DefinitionProcessor.java of
    https://github.com/aws-cloudformation/aws-cloudformation-resource-providers-stepfunctions, which calls
    `StringUtils.replaceEachRepeatedly` of Apache Commons Lang; the message is the one of that library.
    """
    values = {f"${{{name}}}": _text(value) for name, value in substitutions.items()}
    names = re.compile("|".join(map(re.escape, values)) or "(?!)")
    for _ in range(len(values) + 1):
        definition, replaced = names.subn(lambda found: values[found[0]], definition)
        if not replaced:
            return definition
    raise ValueError("Aborting to protect against StackOverflowError - output of one loop is the input of another")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
