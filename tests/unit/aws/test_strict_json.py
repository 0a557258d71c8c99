import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.aws import strict_json

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(plain)
def test_valid_json_is_read_unchanged(value: Any) -> None:
    assert strict_json.read(json.dumps(value)) == value
    assert strict_json.read(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('{"a": NaN}', "NaN is not a number"),
        ("[Infinity, -Infinity]", "Infinity is not a number"),
        ("1e400", "the number 1e400 is too large"),
        ("-1e400", "the number -1e400 is too large"),
        ("9" * 401, "a number has 401 digits"),
        ("9" * 5000, "a number has 5000 digits"),
        ('"\\ud800"', "unpaired surrogate"),
        ('{"a": ["\\udfff"]}', "unpaired surrogate"),
        ('{"\\ud800": 1}', "unpaired surrogate"),
        (b"\xed\xa0\x80", "Expecting value"),
        (b'"\xed\xa0\x80"', "unpaired surrogate"),
        (b'"\xff"', "not valid UTF-8"),
        ("[" * 101 + "]" * 101, "more than 100 levels"),
        ('{"a":' * 1_000 + "1" + "}" * 1_000, "more than 100 levels"),
        ("[" * 100_000 + "]" * 100_000, "more than 100 levels"),
    ],
)
def test_invalid_json_is_refused_with_a_one_line_reason(text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as error:
        strict_json.read(text)

    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


def test_one_hundred_levels_are_accepted() -> None:
    assert strict_json.read("[" * 100 + "]" * 100)


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_a_value_that_was_read_can_be_serialized(text: str | bytes) -> None:
    try:
        value = strict_json.read(text)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - most generated texts are invalid
        return
    assert strict_json.read(json.dumps(value, allow_nan=False)) == value
