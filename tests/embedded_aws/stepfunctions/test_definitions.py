"""Definitions of state machines as templates hold them."""

import json
from typing import Any

import pytest
from moto.stepfunctions.parser.api import InvalidDefinition

from embedded_aws.services.stepfunctions.definitions import from_template


def read(definition: str, **substitutions: Any) -> Any:
    return json.loads(from_template(definition, substitutions))


def test_a_substitution_is_text_in_the_place_of_text() -> None:
    definition = "Seconds: ${Seconds}\nText: ${Text}\nBoth: ${Text}-${Seconds}\nFlag: ${Flag}\nOther: ${Other}\n"

    assert read(definition, Seconds=30, Text="${Seconds}", Flag=True) == {
        "Seconds": 30,
        "Text": "${Seconds}",
        "Both": "${Seconds}-30",
        "Flag": True,
        "Other": "${Other}",
    }


def test_json_and_yaml_say_the_same() -> None:
    assert read('{"a": ["{% $x[$.b > 1] %}", 1]}') == read("# why\na:\n  - '{% $x[$.b > 1] %}'\n  - 1\n")


@pytest.mark.parametrize("definition", ["a: &x 1\nb: *x\n", "a: [", "a: 2024-01-01\n"])
def test_what_cloudformation_cannot_read_is_refused(definition: str) -> None:
    with pytest.raises(InvalidDefinition):
        read(definition)
