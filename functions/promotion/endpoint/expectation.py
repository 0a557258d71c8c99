"""The expectation of a smoke test: a JMESPath expression, evaluated on untrusted data from a model.

JMESPath has no regular expressions and no loops, but an expression can multiply its data, and the library raises
built-in exceptions of Python. This module limits the growth and turns every exception into a ValueError.
"""

from __future__ import annotations

import math
from typing import Any

import jmespath
import jmespath.exceptions

MAXIMUM_CHARACTERS = 10_000
"""The maximum length of an expression."""

MAXIMUM_GROWTH = 100
"""The maximum size of an intermediate result, as a multiple of the size of the response."""

# The library raises built-in exceptions for a slice with step 0, a number out of range, values that cannot be compared,
# and deeply nested parentheses.
_ERRORS = (jmespath.exceptions.JMESPathError, ArithmeticError, MemoryError, RecursionError, TypeError, ValueError)

# Each part of these nodes is evaluated on the result of the part before.
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
    """Raise ValueError, with the reason, if the expression is not valid or too large."""
    if len(expression) > MAXIMUM_CHARACTERS:
        raise ValueError(f"it has {len(expression)} characters; the maximum is {MAXIMUM_CHARACTERS}")
    try:
        growth = _growth(jmespath.compile(expression).parsed)
    except _ERRORS as error:
        raise ValueError(_reason(error)) from error
    if growth > MAXIMUM_GROWTH:
        raise ValueError(
            f"its result could be {growth} times as large as the response; the maximum is {MAXIMUM_GROWTH}"
        )
    try:
        # The library reports an unknown function only when it evaluates the expression.
        jmespath.search(expression, None)
    except (jmespath.exceptions.JMESPathTypeError, ArithmeticError, TypeError):
        return  # a value has the wrong type here, but may have the right type in a response
    except _ERRORS as error:
        raise ValueError(_reason(error)) from error


def evaluate(expression: str, data: Any) -> Any:
    """Return the value of the expression for `data`. Raises ValueError, with the reason, if there is none."""
    try:
        return jmespath.search(expression, data)
    except _ERRORS as error:
        raise ValueError(_reason(error)) from error


def _growth(node: dict[str, Any]) -> int:
    """Return the maximum size of a node's result, as a multiple of the size of its data."""
    children = [_growth(child) for child in node.get("children", []) if isinstance(child, dict)] or [1]
    if node["type"] in _BRANCHES:
        return sum(children)
    if node["type"] in _CHAINS:
        # A string inside a string has every quotation mark escaped once more.
        return math.prod(children) * (2 if node.get("value") == "to_string" else 1)
    return max(children)


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    lines = str(error).splitlines() or [type(error).__name__]
    return ascii(lines[0][:200])[1:-1]
