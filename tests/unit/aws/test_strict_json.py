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
def test_what_is_json_is_read_as_it_is(value: Any) -> None:
    assert strict_json.read(json.dumps(value)) == value
    assert strict_json.read(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('{"a": NaN}', "NaN is no number"),
        ("[Infinity, -Infinity]", "Infinity is no number"),
        ("1e400", "1e400 is too large a number"),
        ("-1e400", "-1e400 is too large a number"),
        ("9" * 401, "a number has 401 digits"),
        ("9" * 5000, "a number has 5000 digits"),
        ('"\\ud800"', "half of a character"),
        ('{"a": ["\\udfff"]}', "half of a character"),
        ('{"\\ud800": 1}', "half of a character"),
        (b"\xed\xa0\x80", "Expecting value"),
        (b'"\xed\xa0\x80"', "half of a character"),
        (b'"\xff"', "no UTF-8"),
        ("[" * 101 + "]" * 101, "more than 100 levels"),
        ('{"a":' * 1_000 + "1" + "}" * 1_000, "more than 100 levels"),
        ("[" * 100_000 + "]" * 100_000, "more than 100 levels"),
    ],
)
def test_what_is_no_strict_json_is_refused_in_one_line(text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as error:
        strict_json.read(text)

    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


def test_a_hundred_levels_are_read() -> None:
    assert strict_json.read("[" * 100 + "]" * 100)


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_whatever_is_read_can_be_written_again(text: str | bytes) -> None:
    try:
        value = strict_json.read(text)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - for most of what is tried there is nothing else to see
        return
    assert strict_json.read(json.dumps(value, allow_nan=False)) == value
