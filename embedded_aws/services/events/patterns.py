"""EventBridge event patterns.

Sources: "Creating event patterns" and "Comparison operators" in the user guide (eb-event-patterns,
eb-create-pattern-operators). moto treats an unknown operator as a match, and ignores arrays of objects.
"""

from __future__ import annotations

import ipaddress
import json
import operator
import re
from collections.abc import Callable
from typing import Any

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_STRING_OPERATORS = ("prefix", "suffix", "equals-ignore-case", "wildcard")


class InvalidPatternError(Exception):
    """PutRule and TestEventPattern refuse the pattern; the message is EventBridge's reason."""


def parse(text: str) -> dict[str, Any]:
    """Return the pattern in `text`; raise InvalidPatternError."""
    try:
        pattern = json.loads(text)
    except ValueError:
        raise InvalidPatternError("Invalid JSON") from None
    if not isinstance(pattern, dict):
        raise InvalidPatternError("Filter is not an object")
    _check_object(pattern)
    return pattern


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Return whether an event, or an object within it, matches `pattern`."""
    return all(
        any(matches(alternative, event) for alternative in expected)
        if key == "$or"
        else _field_matches(expected, event.get(key), key in event)
        for key, expected in pattern.items()
    )


def _field_matches(expected: Any, value: Any, present: bool) -> bool:
    if isinstance(expected, dict):
        elements = value if isinstance(value, list) else [value]
        objects = [element for element in elements if isinstance(element, dict)]
        return any(matches(expected, element) for element in objects or [{}])
    leaves = list(_leaves(value)) if present else []
    return any(_test_passes(test, leaves) for test in expected)


def _leaves(value: Any) -> list[Any]:
    """Return the value of a field, or the values of its array; objects are not leaves and are omitted."""
    if isinstance(value, list):
        return [leaf for element in value for leaf in _leaves(element)]
    return [] if isinstance(value, dict) else [value]


def _test_passes(test: Any, leaves: list[Any]) -> bool:
    if isinstance(test, dict) and "exists" in test:
        return bool(test["exists"]) == bool(leaves)
    return any(_leaf_passes(test, leaf) for leaf in leaves)


def _leaf_passes(test: Any, leaf: Any) -> bool:
    if not isinstance(test, dict):
        return _equal(test, leaf)
    ((name, operand),) = test.items()
    if name == "anything-but":
        if isinstance(operand, dict):
            return not _leaf_passes(operand, leaf)
        return not any(_equal(unwanted, leaf) for unwanted in _list(operand))
    if name == "numeric":
        return _is_number(leaf) and all(
            _COMPARISONS[comparison](leaf, bound) for comparison, bound in zip(operand[::2], operand[1::2], strict=True)
        )
    if not isinstance(leaf, str):
        return False
    if name == "cidr":
        try:
            return ipaddress.ip_address(leaf) in ipaddress.ip_network(operand)
        except ValueError:
            return False
    return any(_string_passes(name, text, leaf) for text in _list(operand))


def _string_passes(name: str, operand: Any, leaf: str) -> bool:
    if isinstance(operand, dict):
        operand, leaf = operand["equals-ignore-case"].casefold(), leaf.casefold()
    match name:
        case "prefix":
            return leaf.startswith(operand)
        case "suffix":
            return leaf.endswith(operand)
        case "equals-ignore-case":
            return leaf.casefold() == str(operand).casefold()
        case _:
            return re.fullmatch(_wildcard(operand), leaf, re.DOTALL) is not None


def _wildcard(text: str) -> str:
    pieces = re.findall(r"\\[*\\]|.", text, re.DOTALL)
    return "".join(".*" if piece == "*" else re.escape(piece[-1]) for piece in pieces)


def _equal(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; true is not equal to 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_object(pattern: dict[str, Any]) -> None:
    if not pattern:
        raise InvalidPatternError("Filter is empty")
    for key, expected in pattern.items():
        if key == "$or":
            if (
                not isinstance(expected, list)
                or len(expected) < 2
                or not all(isinstance(part, dict) for part in expected)
            ):
                raise InvalidPatternError("$or must be an array of at least two objects")
            for alternative in expected:
                _check_object(alternative)
        elif isinstance(expected, dict):
            _check_object(expected)
        elif not isinstance(expected, list):
            raise InvalidPatternError(f'"{key}" must be an object or an array')
        elif not expected:
            raise InvalidPatternError("Empty arrays are not allowed")
        else:
            for test in expected:
                _check_test(test)


def _check_test(test: Any) -> None:
    if isinstance(test, list):
        raise InvalidPatternError("Match value must be String, number, true, false, or null")
    if not isinstance(test, dict):
        return
    if len(test) != 1:
        raise InvalidPatternError("Only one key allowed in match expression")
    ((name, operand),) = test.items()
    match name:
        case "exists":
            if not isinstance(operand, bool):
                raise InvalidPatternError("exists match pattern must be either true or false.")
        case "numeric":
            _check_numeric(operand)
        case "anything-but":
            _check_anything_but(operand)
        case "cidr":
            try:
                ipaddress.ip_network(operand)
            except ValueError:
                raise InvalidPatternError("Malformed CIDR, one '/' required") from None
        case "prefix" | "suffix" | "equals-ignore-case" | "wildcard":
            _check_string(name, operand)
        case _:
            raise InvalidPatternError(f"Unrecognized match type {name}")


def _check_numeric(operand: Any) -> None:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        raise InvalidPatternError("Value of numeric must be an array.")
    for comparison, bound in zip(operand[::2], operand[1::2], strict=True):
        if comparison not in _COMPARISONS:
            raise InvalidPatternError(f"Unrecognized numeric range operator: {comparison}")
        if not _is_number(bound):
            raise InvalidPatternError("Value of numeric range operator must be numeric")
    # A range consists of a lower and an upper bound, in this order: [">", 0, "<=", 5].
    if len(operand) == 4 and not (operand[0] in (">", ">=") and operand[2] in ("<", "<=")):
        raise InvalidPatternError(f"Bad numeric range operator: {operand[2]}")


def _check_anything_but(operand: Any) -> None:
    if isinstance(operand, dict):
        if len(operand) != 1 or not set(operand) <= set(_STRING_OPERATORS):
            raise InvalidPatternError("Unsupported anything-but pattern")
        ((name, nested),) = operand.items()
        for text in _list(nested):
            _check_string(name, text)
    elif any(isinstance(unwanted, dict | list) for unwanted in _list(operand)) or operand == []:
        raise InvalidPatternError("Value of anything-but must be an array or single string/number value.")


def _check_string(name: str, operand: Any) -> None:
    if name in ("prefix", "suffix") and isinstance(operand, dict) and list(operand) == ["equals-ignore-case"]:
        operand = operand["equals-ignore-case"]
    if not isinstance(operand, str):
        raise InvalidPatternError(f"{name} match pattern must be a string")
    if name == "wildcard" and "**" in operand:
        raise InvalidPatternError("Consecutive wildcard characters at pos 0")
