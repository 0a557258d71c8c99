"""Every hostile input is rejected or has no effect, and the trial detects one that is not."""

from collections import Counter

import pytest

from promotion import errors
from tests.hostile_inputs.catalog import every
from tests.hostile_inputs.trial import Hostile, Reader, tried

ALL = list(every())


@pytest.mark.parametrize("one", ALL, ids=lambda one: ascii(f"{one.door}, {one.what}")[1:-1][:100])
def test_a_hostile_input_is_rejected_or_stays_a_plain_string(one: Hostile) -> None:
    tried(one)


def test_no_hostile_input_is_listed_twice() -> None:
    twice = [one for one, count in Counter((one.door, one.what) for one in ALL).items() if count > 1]

    assert twice == []


def test_every_rejection_names_the_problem() -> None:
    assert [one.what for one in ALL if one.refusal and len(one.says) < 5] == []


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Hostile("door", "nothing refused", lambda: 1, "x"), "was accepted"),
        (Hostile("door", "another exception", lambda: int("x"), "x"), "ended in ValueError"),
        (Hostile("door", "refused wrongly", lambda: _refuse("no such thing here"), "field", None), "ended in Invalid"),
        (Hostile("door", "another field", lambda: _refuse("the other thing is wrong"), "field"), "says"),
        (Hostile("door", "two lines", lambda: _refuse("the field is\nnot one line"), "field"), "not one line"),
        (Hostile("door", "a screenful", lambda: _refuse("field" * 1000), "field"), "takes 5000 characters"),
        (Hostile("door", "a secret", lambda: _refuse("the field is hunter2, no"), "field", hides="hunter2"), "repeats"),
        (Hostile("door", "changed", lambda: "other", "as it is", None, lambda found: found == "text"), "became"),
        (Hostile("door", "a write", lambda: Reader().put_object(), "x"), "put_object would change something"),
    ],
    ids=lambda value: value.what if isinstance(value, Hostile) else "",
)
def test_the_trial_detects_a_wrong_outcome(one: Hostile, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        tried(one)


def _refuse(words: str) -> None:
    raise errors.InvalidRequestError(words)
