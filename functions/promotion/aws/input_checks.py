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


def text_of(detail: dict[str, Any], key: str) -> str:
    value = detail.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"The event's detail has {kind_of(value)} as {key}, not a text.")
    return value


def optional(pattern: re.Pattern[str], given: dict[str, Any], key: str, meaning: str) -> str | None:
    return matching(pattern, given[key], f'"{key}"', meaning) if key in given else None


def matching(pattern: re.Pattern[str], text: str, what: str, meaning: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidRequestError(f"{what} is {quoted(text)}, which is not {meaning}.")
    return text


def quoted(value: Any) -> str:
    """`value` as one short line of printable ASCII, whoever wrote it."""
    text = kind_of(value) if isinstance(value, dict | list) else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def kind_of(value: Any) -> str:
    names = {type(None): "nothing", str: "text", list: "a list", dict: "an object", bool: "true or false"}
    return "an empty text" if value == "" else names.get(type(value), "a number")
