"""One hostile input: the door that it comes to, what it is, and how it has to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from promotion.errors import InvalidRequestError

UPSTREAM, OWN, STRANGER, REGION = "111111111111", "222222222222", "999999999999", "eu-west-1"
LONGEST_MESSAGE = 3_000


@dataclasses.dataclass(frozen=True)
class Hostile:
    """`act` is the call of the code that takes it in.

    It ends in the exception `refusal`, whose message has `says` and `where` in it: the field or the name that is wrong,
    and what it is in. `hides` is what no message may repeat. Or there is nothing to refuse (`refusal` is None), because
    it is a mere text or is left out: then `holds` is true of what comes of it, and `says` tells what that is.
    """

    door: str
    what: str
    act: Callable[[], Any]
    says: str
    refusal: type[Exception] | None = InvalidRequestError
    holds: Callable[[Any], bool] = lambda _: True
    where: str = ""
    hides: str | None = None


def tried(one: Hostile) -> tuple[str, str]:
    """The name of the exception that it ended in, if any, and one line; AssertionError where it should not."""
    try:
        result = one.act()
    except Exception as error:
        if one.refusal is None or type(error) is not one.refusal:
            raise AssertionError(f"{one.door}: {one.what} ended in {type(error).__name__}: {error}") from error
        said = str(error)
        for words in (one.says, one.where):
            assert words in said, f"{one.door}: {one.what} says {said!a:.500}, not {words!a}"
        assert one.hides is None or one.hides not in said, f"{one.door}: {one.what} repeats {one.hides}"
        assert said.isprintable(), f"{one.door}: {one.what} is not one line that can be shown: {said!a:.500}"
        assert 15 < len(said) <= LONGEST_MESSAGE, f"{one.door}: {one.what} takes {len(said)} characters to say so"
        return type(error).__name__, said
    assert one.refusal is None, f"{one.door}: {one.what} was accepted: {result!a:.500}"
    assert one.holds(result), f"{one.door}: {one.what} became {result!a:.500}"
    return "", one.says


class Reader:
    """A client of AWS that gives these answers, by the methods that are asked, and can do nothing but read."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, method: str) -> Callable[..., Any]:
        assert method.startswith(("describe_", "get_", "list_", "head_")), f"{method} would change something"

        def answer(**_: Any) -> Any:
            found = self._answers[method]
            if isinstance(found, Exception):
                raise found
            return found

        return answer

    def get_paginator(self, method: str) -> Any:
        return Paginator(getattr(self, method))


@dataclasses.dataclass(frozen=True)
class Paginator:
    read: Callable[..., Any]

    def paginate(self, **request: Any) -> list[Any]:
        return [self.read(**request)]
