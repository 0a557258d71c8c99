"""A strict reader of external JSON: every value it returns can be serialized again and traversed safely."""

from __future__ import annotations

import json
import math
from typing import Any

MAXIMUM_DEPTH = 100
"""The number of nested lists and objects that are accepted."""

EDITOR_KEY = "$schema"
"""The key of a document that names its JSON Schema for editors. It has no meaning here."""

_MAXIMUM_DIGITS = 400


def read(text: str | bytes) -> Any:
    """Return the value of a JSON text; raise ValueError with a one-line reason if it is not strict JSON.

    In addition to JSON's own rules, reject NaN and Infinity, numbers too large for arithmetic, unpaired surrogates, and
    more levels than `MAXIMUM_DEPTH`.
    """
    try:
        value = json.loads(text, parse_constant=_reject_constant, parse_float=_number, parse_int=_integer)
        # An unpaired surrogate is a string only in Python.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it contains an unpaired surrogate") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not valid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if _is_too_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"it is nested more than {MAXIMUM_DEPTH} levels deep"


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [member for members in inner for member in members]
    return any(isinstance(one, dict | list) for one in level)


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


def _integer(digits: str) -> int:
    if len(digits) > _MAXIMUM_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, above the maximum of {_MAXIMUM_DIGITS}")
    return int(digits)


def is_number(value: Any) -> bool:
    """Return whether `value` is a finite number."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
