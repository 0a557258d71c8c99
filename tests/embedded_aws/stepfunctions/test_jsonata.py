"""JSONata with the additions and restrictions of Step Functions."""

import json
import threading
import uuid
from typing import Any

import pytest

from embedded_aws.services.stepfunctions.jsonata import QueryEvaluationError, evaluate

TRICKY = 'He said "no" \\ {% $x %}\n\t{"a": 1} ü 日本 \u2028 \' $states'


@pytest.mark.parametrize("value", [TRICKY, {"deep": [{"er": TRICKY}]}, [], {}, None, True, 0, 1.5, "", [None], [[1]]])
def test_a_variable_has_its_value(value: Any) -> None:
    assert evaluate("$x", {"x": value}) == value
    assert evaluate('{"member": $x}', {"x": value}) == {"member": value}


def test_a_value_is_never_evaluated_as_an_expression() -> None:
    assert evaluate("$x & '!'", {"x": '"; $y := 1; "'}) == '"; $y := 1; "!'


def test_a_result_is_a_copy() -> None:
    variable = {"list": [1]}

    evaluate("$x", {"x": variable})["list"].append(2)

    assert variable == {"list": [1]}


def test_a_filter_can_use_its_context() -> None:
    assert evaluate("$x[$.price > 3].name", {"x": [{"name": "a", "price": 5}, {"name": "b", "price": 1}]}) == "a"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("$x.nothing", "returned nothing (undefined)"),
        ("$unknown", "returned nothing (undefined)"),
        ("$", "returned nothing (undefined)"),
        ("$x.name + 1", "T2001"),
        ("1 +", "S0207"),
        ("1 / 0", "ZeroDivisionError"),
        ("$error('no')", "no"),
        ("$eval('1')", "T1006"),
        ("function($y) { $y }", "unsupported result type"),
        ("($f := function($n) { 1 + $f($n) }; $f(1))", "D1011"),
        ("$parse('{')", "JSONDecodeError"),
        ("$hash('a', 'CRC32')", "algorithm"),
        ("$partition([1], 0)", "positive"),
    ],
)
def test_an_expression_without_a_json_value_is_an_error(expression: str, reason: str) -> None:
    with pytest.raises(QueryEvaluationError) as error:
        evaluate(expression, {"x": {"name": "n"}})

    assert f"'{expression}'" in str(error.value)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$partition([1, 2, 3, 4, 5], 2)", [[1, 2], [3, 4], [5]]),
        ("$partition([1], 2)", [[1]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$hash('a', 'SHA-1')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("$hash('a', 'MD5')", "0cc175b9c0f1b6a831c399e269772661"),
        ("$random(7) = $random(7)", True),
        ("$random() < 1 and $random() >= 0", True),
        ("$uuid() != $uuid()", True),
        ("$parse($x).a[0]", "é"),
        ("$parse('null')", None),
        ("$parse('[null, {\"b\": null}]')[0]", None),
        ("$string($parse('{\"b\": null}'))", '{"b":null}'),
        ("$parse('{\"b\": null}').b = null", True),
        ("6 / 2", 3),
        ("{'k': $nothing, 'n': null}", {"n": None}),
        ("[1..3]", [1, 2, 3]),
    ],
)
def test_additional_functions(expression: str, value: Any) -> None:
    assert evaluate(expression, {"x": json.dumps({"a": ["é"]})}) == value


def test_uuid_returns_a_random_uuid() -> None:
    assert uuid.UUID(evaluate("$uuid()", {})).version == 4


def test_threads_are_independent() -> None:
    results: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        results[number] = [evaluate("$sum($x) + $n", {"x": [number, 1], "n": number}) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == {number: [2 * number + 1] * 20 for number in range(8)}
