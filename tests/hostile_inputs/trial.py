"""A hostile input: its entry point, its description, and the required outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from promotion.errors import InvalidRequestError

UPSTREAM, OWN, STRANGER, REGION = "111111111111", "222222222222", "999999999999", "eu-west-1"
LONGEST_MESSAGE = 3_000


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A hostile input, which `act` passes to the code.

    Either it is refused: `act` raises `refusal`, whose message contains `says` and `where` (the wrong field or name,
    and its place), but not `hides`. Or it is harmless (`refusal` is None), because it is copied as a string or omitted:
    then `holds` is true for the result, and `says` describes it.
    """

    entry: str
    what: str
    act: Callable[[], Any]
    says: str
    refusal: type[Exception] | None = InvalidRequestError
    holds: Callable[[Any], bool] = lambda _: True
    where: str = ""
    hides: str | None = None


def tried(one: Hostile) -> tuple[str, str]:
    """Return the name of the exception, if any, and a line of text; raise AssertionError for another outcome."""
    try:
        result = one.act()
    except Exception as error:
        if one.refusal is None or type(error) is not one.refusal:
            raise AssertionError(f"{one.entry}: {one.what} ended in {type(error).__name__}: {error}") from error
        said = str(error)
        for text in (one.says, one.where):
            assert text in said, f"{one.entry}: {one.what} says {said!a:.500}, not {text!a}"
        assert one.hides is None or one.hides not in said, f"{one.entry}: {one.what} repeats {one.hides}"
        assert said.isprintable(), f"{one.entry}: {one.what} is not one printable line: {said!a:.500}"
        assert 15 < len(said) <= LONGEST_MESSAGE, f"{one.entry}: {one.what} has a message of {len(said)} characters"
        return type(error).__name__, said
    assert one.refusal is None, f"{one.entry}: {one.what} was accepted: {result!a:.500}"
    assert one.holds(result), f"{one.entry}: {one.what} became {result!a:.500}"
    return "", one.says


class Reader:
    """A read-only AWS client with these responses by method."""

    def __init__(self, **responses: Any) -> None:
        self._responses = responses

    def __getattr__(self, method: str) -> Callable[..., Any]:
        assert method.startswith(("describe_", "get_", "list_", "head_")), f"{method} is not a read operation"

        def respond(**_: Any) -> Any:
            found = self._responses[method]
            if isinstance(found, Exception):
                raise found
            return found

        return respond

    def get_paginator(self, method: str) -> Any:
        return Paginator(getattr(self, method))


@dataclasses.dataclass(frozen=True)
class Paginator:
    read: Callable[..., Any]

    def paginate(self, **request: Any) -> list[Any]:
        return [self.read(**request)]
