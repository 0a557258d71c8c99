"""State machine definitions in templates."""

import json
from typing import Any

import pytest
from moto.stepfunctions.parser.api import InvalidDefinition

from embedded_aws.services.stepfunctions.definitions import from_template


def read(definition: str, **substitutions: Any) -> Any:
    return json.loads(from_template(definition, substitutions))


def test_a_substitution_replaces_text() -> None:
    definition = "Seconds: ${Seconds}\nText: ${Text}\nBoth: ${Text}-${Seconds}\nFlag: ${Flag}\nOther: ${Other}\n"

    assert read(definition, Seconds=30, Text="a", Flag=True) == {
        "Seconds": 30,
        "Text": "a",
        "Both": "a-30",
        "Flag": True,
        "Other": "${Other}",
    }


def test_names_in_a_substituted_value_are_replaced_too() -> None:
    rule = '{"ErrorEquals": ${Errors}, ${Delay}, "Comment": "${Unknown}"}'
    supplied = {"Rule": rule, "Errors": '["A", "B"]', "Delay": '"IntervalSeconds": ${Seconds}', "Seconds": 30}

    assert read("Retry:\n  - ${Rule}\n", **supplied) == {
        "Retry": [{"ErrorEquals": ["A", "B"], "IntervalSeconds": 30, "Comment": "${Unknown}"}]
    }


@pytest.mark.parametrize("supplied", [{"A": "${A}"}, {"A": "-${A}"}, {"A": "${B}", "B": "${A}"}])
def test_a_circular_substitution_is_refused(supplied: dict[str, str]) -> None:
    assert read("a: 1\n", **supplied) == {"a": 1}
    with pytest.raises(InvalidDefinition, match="output of one loop is the input of another"):
        read("a: ${A}\n", **supplied)


def test_json_and_yaml_are_equivalent() -> None:
    assert read('{"a": ["{% $x[$.b > 1] %}", 1]}') == read("# why\na:\n  - '{% $x[$.b > 1] %}'\n  - 1\n")


@pytest.mark.parametrize("definition", ["a: &x 1\nb: *x\n", "a: [", "a: 2024-01-01\n"])
def test_an_invalid_document_is_refused(definition: str) -> None:
    with pytest.raises(InvalidDefinition):
        read(definition)
