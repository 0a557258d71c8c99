"""JSON that somebody else wrote, read strictly: whatever is read can be written again as JSON, and walked through."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 100
"""So many levels of lists and objects are read."""

_MOST_DIGITS = 400


def read(text: str | bytes) -> Any:
    """The value that `text` is; raises ValueError, saying why in one line.

    Beyond what JSON itself forbids there are no NaN and Infinity, no number too large to calculate with, no half of a
    character, and no more levels than `DEEPEST`.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_number, parse_int=_whole_number)
        # Half of a surrogate pair is a text in Python alone.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it has half of a character, an unpaired surrogate") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"its byte {error.start} is no UTF-8") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if _is_too_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [member for members in inner for member in members]
    return any(isinstance(one, dict | list) for one in level)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def is_number(value: Any) -> bool:
    """Whether it is a number that can be compared with others."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
