from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion.endpoint import expectation


@pytest.mark.parametrize(
    "expression",
    [
        "labels[0] == 'positive'",
        "@ == 'ok'",
        "length(predictions) == `3` && predictions[0].score > `0.5`",
        " && ".join(f"scores[{number}] > `{number}`" for number in range(300)),
        "{a: x, b: y, c: [x, y]} == `{}`",
        "starts_with(@, 'a')",
        "scores[::0] == `[]`",
        "[@,@][] | [@,@][] | [@,@][] | [@,@][] | [@,@][] | [@,@][] | length(@) == `64`",
    ],
)
def test_an_expression_that_can_be_true_is_valid(expression: str) -> None:
    expectation.check(expression)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("a ==", "Invalid jmespath expression"),
        ("a[", "Incomplete expression"),
        ("nosuch(@)", "Unknown function: nosuch"),
        ("\x1b[31m", "Unknown token"),
        ("x" * 10_001, "it has 10001 characters; the maximum is 10000"),
        ("!" * 9_000 + "a", "nested too deeply"),
        ("(" * 9_000 + "a", "nested too deeply"),
        (f"a[{'9' * 5_000}]", "4300 digits"),
        (" | ".join(["[@,@][]"] * 7), "its result could be 128 times as large"),
        (" | ".join(["[@,@,@,@,@,@,@,@,@,@][]"] * 30), "times as large"),
        (" | ".join(["to_string([@])"] * 7), "its result could be 128 times as large"),
        ("map(&[@,@,@,@,@,@,@,@,@,@,@], [@,@,@,@,@,@,@,@,@,@,@][])", "121 times as large"),
    ],
)
def test_an_invalid_or_growing_expression_is_refused_in_one_line(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        expectation.check(expression)

    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("expression", "data"),
    [
        ("a[::0]", {"a": [1]}),
        ("floor(@)", float("inf")),
        ("ceil(@)", float("nan")),
        ("max(@)", ["a", 1]),
        ("sort_by(@, &a)", [{"a": 1}, {"a": "b"}]),
        ("contains(@, `1`)", "text"),
        ("length(@)", 1),
    ],
)
def test_a_built_in_exception_becomes_a_value_error(expression: str, data: Any) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        expectation.evaluate(expression, data)

    assert str(error.value).isprintable()


FUNCTIONS = [
    "abs",
    "avg",
    "contains",
    "floor",
    "join",
    "keys",
    "length",
    "map",
    "max",
    "merge",
    "sort",
    "sum",
    "to_string",
]
VALUES = ["@", "a", "`1`", "'9'", "`[]`", "`{}`", "`null`", "`1e400`", '`[1,"a"]`', "&a", '`[{"a":1},{"a":"b"}]`']


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = st.builds("{}({})".format, st.sampled_from(FUNCTIONS), inner)
    two = st.builds("{}({}, {})".format, st.sampled_from(FUNCTIONS), inner, inner)
    compared = st.builds("{} {} {}".format, inner, st.sampled_from(["==", "<", ">", "&&", "||", "|"]), inner)
    chosen = st.builds("{}{}".format, inner, st.sampled_from(["[*]", "[]", "[0]", ".*", "[?a>`1`]", "[::2]", "[::0]"]))
    return one | two | compared | chosen | st.builds("[{}, {}]".format, inner, inner)


@given(
    st.recursive(st.sampled_from(VALUES), _larger, max_leaves=8) | st.text(max_size=20),
    st.sampled_from(
        [None, 1, "x", [], {}, [1, "a"], {"a": float("inf")}, [{"a": [1]}, {"a": {}}], float("nan"), 10**400]
    ),
)
@settings(max_examples=400)
def test_every_expression_results_in_a_value_or_a_reason(expression: str, data: Any) -> None:
    for act in (lambda: expectation.check(expression), lambda: expectation.evaluate(expression, data)):
        try:
            act()
        except ValueError as error:
            assert str(error).isprintable()  # noqa: PT017 - most expressions have a value
