"""Checks of an input's or an event's members, and the parts of the messages about wrong ones."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

from promotion.errors import InvalidRequestError


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "rollback"?)` for an unknown `value` that resembles a `known` one, or an empty string."""
    by_folded = {name.casefold(): name for name in known}
    similar = difflib.get_close_matches(value.casefold(), by_folded, n=1)
    return f' (did you mean "{by_folded[similar[0]]}"?)' if similar else ""


def string_member(detail: dict[str, Any], key: str) -> str:
    """Return a non-empty string of an event's detail; raise InvalidRequestError if `key` has another value or none."""
    value = detail.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"The member {key} of the event's detail is {kind_of(value)}, not a string.")
    return value


def optional(pattern: re.Pattern[str], given: dict[str, Any], key: str, meaning: str) -> str | None:
    """Return a key of the input, checked as by `matching`, or None if the input does not have it."""
    return matching(pattern, given[key], f'The input\'s "{key}"', meaning) if key in given else None


def matching(pattern: re.Pattern[str], text: str, where: str, meaning: str) -> str:
    """Return `text` if it matches; raise InvalidRequestError, naming its place and the expected `meaning`, if not."""
    if not pattern.fullmatch(text):
        raise InvalidRequestError(f"{where} is {quoted(text)}, which is not {meaning}.")
    return text


def quoted(value: Any) -> str:
    """Return any `value` as one line of up to 100 printable ASCII characters."""
    text = kind_of(value) if isinstance(value, dict | list) else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def kind_of(value: Any) -> str:
    """Return the JSON type of `value` for a message."""
    names = {type(None): "null", str: "a string", list: "a list", dict: "an object", bool: "true or false"}
    return "an empty string" if value == "" else names.get(type(value), "a number")
