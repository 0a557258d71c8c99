"""What an answer is expected to be: a JMESPath expression that one person wrote, over data that a model wrote.

JMESPath has no regular expressions and no loops, but an expression can multiply its data, and the library lets errors
of Python's own through. Both end here.
"""

from __future__ import annotations

import math
from typing import Any

import jmespath
import jmespath.exceptions

LONGEST = 10_000
"""Of an expression, in characters."""

MOST_GROWTH = 100
"""How many times as large as the answer an expression may make it on its way."""

# What the library raises beside its own errors: for a slice of step 0, a number out of range, values that cannot be
# compared, and parentheses without end.
_TROUBLES = (jmespath.exceptions.JMESPathError, ArithmeticError, MemoryError, RecursionError, TypeError, ValueError)

# The result of these is made of what each part makes of the one before.
_CHAINS = {
    "filter_projection",
    "flatten",
    "function_expression",
    "index_expression",
    "pipe",
    "projection",
    "subexpression",
    "value_projection",
}
_BRANCHES = {"multi_select_dict", "multi_select_list"}


def check(expression: str) -> None:
    """Raises ValueError, saying why, for an expression that can never be used."""
    if len(expression) > LONGEST:
        raise ValueError(f"it has {len(expression)} characters, and the most is {LONGEST}")
    try:
        growth = _growth(jmespath.compile(expression).parsed)
    except _TROUBLES as error:
        raise ValueError(_said(error)) from error
    if growth > MOST_GROWTH:
        raise ValueError(f"it could make an answer {growth} times as large, and the most is {MOST_GROWTH}")
    try:
        # A function that does not exist shows only in a search.
        jmespath.search(expression, None)
    except (jmespath.exceptions.JMESPathTypeError, ArithmeticError, TypeError):
        return  # what is of a wrong type here need not be in an answer
    except _TROUBLES as error:
        raise ValueError(_said(error)) from error


def result(expression: str, data: Any) -> Any:
    """What the expression makes of `data`; raises ValueError, saying why, where that is nothing."""
    try:
        return jmespath.search(expression, data)
    except _TROUBLES as error:
        raise ValueError(_said(error)) from error


def _growth(node: dict[str, Any]) -> int:
    """How many times as large as its data the result of a node can be."""
    children = [_growth(child) for child in node.get("children", []) if isinstance(child, dict)] or [1]
    if node["type"] in _BRANCHES:
        return sum(children)
    if node["type"] in _CHAINS:
        # What is written as a text inside of a text has every quote escaped once more.
        return math.prod(children) * (2 if node.get("value") == "to_string" else 1)
    return max(children)


def _said(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    lines = str(error).splitlines() or [type(error).__name__]
    return ascii(lines[0][:200])[1:-1]
