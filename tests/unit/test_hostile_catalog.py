"""The catalog of hostile inputs: each has the required outcome, and each is listed once."""

from collections import Counter

import pytest

from promotion import errors
from tests.hostile_inputs.catalog import every
from tests.hostile_inputs.trial import Hostile, Reader, tried

ALL = list(every())


@pytest.mark.parametrize("one", ALL, ids=lambda one: ascii(f"{one.entry}, {one.what}")[1:-1][:100])
def test_a_hostile_input_is_refused_or_preserved_as_a_string(one: Hostile) -> None:
    tried(one)


def test_each_hostile_input_is_listed_once() -> None:
    twice = [one for one, count in Counter((one.entry, one.what) for one in ALL).items() if count > 1]

    assert twice == []


def test_each_refusal_names_the_problem() -> None:
    assert [one.what for one in ALL if one.refusal and len(one.says) < 5] == []


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Hostile("entry", "nothing refused", lambda: 1, "x"), "was accepted"),
        (Hostile("entry", "another exception", lambda: int("x"), "x"), "ended in ValueError"),
        (Hostile("entry", "refused wrongly", lambda: _refuse("no such thing here"), "field", None), "ended in Invalid"),
        (Hostile("entry", "another field", lambda: _refuse("the other thing is wrong"), "field"), "says"),
        (
            Hostile("entry", "two lines", lambda: _refuse("the field is\nnot one printable line"), "field"),
            "not one printable line",
        ),
        (Hostile("entry", "a screenful", lambda: _refuse("field" * 1000), "field"), "message of 5000 characters"),
        (
            Hostile("entry", "a secret", lambda: _refuse("the field is hunter2, no"), "field", hides="hunter2"),
            "repeats",
        ),
        (Hostile("entry", "changed", lambda: "other", "as it is", None, lambda found: found == "text"), "became"),
        (Hostile("entry", "a write", lambda: Reader().put_object(), "x"), "put_object is not a read operation"),
    ],
    ids=lambda value: value.what if isinstance(value, Hostile) else "",
)
def test_a_wrong_outcome_of_a_hostile_input_is_detected(one: Hostile, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        tried(one)


def _refuse(words: str) -> None:
    raise errors.InvalidRequestError(words)
