import json
from typing import Any

import pytest

from promotion.endpoint.smoke_test import Finding, Response, body_of, failure, validated, verdict, wrong_response
from promotion.errors import InvalidRequestError

CASE = {"name": "a good review", "body": {"text": "great"}, "expect": "label == 'positive'"}
WHERE = "The smoke test in s3://artifacts/suite.json"
RIGHT = json.dumps({"label": "positive"}).encode()
WRONG = json.dumps({"label": "negative"}).encode()


def suite(**changes: Any) -> dict[str, Any]:
    return validated({"cases": [CASE], **changes}, WHERE)


def case(**changes: Any) -> dict[str, Any]:
    return dict(validated({"cases": [CASE | changes]}, WHERE)["cases"][0])


def refusal(given: Any) -> str:
    with pytest.raises(InvalidRequestError) as error:
        validated(given, WHERE)
    assert str(error.value).startswith(f"{WHERE} is not valid: ")
    return str(error.value)


def judged(responses: list[Response], **changes: Any) -> dict[str, Any]:
    """Return the verdict on a suite with one case and these responses."""
    whole = suite(**changes)
    return verdict(whole, [(whole["cases"][0], response) for response in responses])


def responded(count: int, body: bytes = RIGHT, latency_ms: float = 100) -> list[Response]:
    return [Response(latency_ms, body)] * count


def failed(count: int) -> list[Response]:
    return [Response(50, error="ModelError", model_message="500")] * count


def test_a_suite_requires_only_one_case() -> None:
    assert suite() == {
        "cases": [
            {
                "name": "a good review",
                "body": {"text": "great"},
                "expect": "label == 'positive'",
                "content_type": "application/json",
                "accept": "application/json",
                "maximum_latency_ms": None,
                "target_model": None,
                "target_container_hostname": None,
            }
        ],
        "repeat": 1,
        "concurrency": 1,
        "maximum_error_rate": 0,
        "maximum_p95_latency_ms": None,
    }


def test_a_validated_suite_is_valid() -> None:
    whole = suite(repeat=3, maximum_error_rate=0.1)

    assert validated(json.loads(json.dumps(whole)), WHERE) == whole


@pytest.mark.parametrize(("key", "maximum"), [("repeat", 1000), ("concurrency", 100)])
@pytest.mark.parametrize("number", [1, 2.0, None])
def test_repeat_and_concurrency_become_integers(key: str, maximum: int, number: float | None) -> None:
    given = number or maximum

    kept = suite(**{key: given})[key]

    assert kept == given
    assert isinstance(kept, int)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "it is not a JSON object"),
        ([CASE], "it is not a JSON object"),
        ("skip it", "it is not a JSON object"),
        ({}, "cases must be a list of at least one case"),
        ({"cases": []}, "cases must be a list of at least one case"),
        ({"cases": CASE}, "cases must be a list of at least one case"),
        ({"cases": [CASE], "repeats": 2}, "it has the unknown key 'repeats' (did you mean \"repeat\"?)"),
        ({"cases": [CASE], "\x1b[31m": 2}, "it has the unknown key '\\x1b[31m'"),
        ({"cases": [CASE, "x"]}, "cases[1] is not an object"),
        ({"cases": [CASE | {"expects": "x"}]}, "cases[0] has the unknown key 'expects' (did you mean \"expect\"?)"),
        ({"cases": [CASE | {"name": ""}]}, "cases[0].name must be a string"),
        ({"cases": [CASE | {"name": 7}]}, "cases[0].name must be a string"),
        ({"cases": [{"name": "x", "body": 1}]}, "cases[0].expect must be a string"),
        ({"cases": [CASE | {"expect": True}]}, "cases[0].expect must be a string"),
        ({"cases": [CASE | {"expect": "label =="}]}, "cases[0].expect is not a valid JMESPath expression"),
        ({"cases": [CASE | {"expect": "label = 'x'"}]}, "cases[0].expect is not a valid JMESPath expression"),
        ({"cases": [CASE | {"expect": "size(@) == `1`"}]}, "cases[0].expect is not a valid JMESPath expression"),
        ({"cases": [CASE | {"target_model": ""}]}, "cases[0].target_model must be a string"),
        ({"cases": [CASE | {"target_container_hostname": 1}]}, "cases[0].target_container_hostname must be a string"),
        ({"cases": [CASE | {"inference_component_name": "x"}]}, "inference_component_name is not supported"),
        ({"cases": [CASE | {"content_type": None}]}, "cases[0].content_type must be a string"),
        ({"cases": [CASE | {"accept": ["x"]}]}, "cases[0].accept must be a string"),
        ({"cases": [{"name": "x", "expect": "a"}]}, "cases[0] must have either body or body_uri"),
        ({"cases": [CASE | {"body_uri": "s3://b/k"}]}, "cases[0] must have either body or body_uri"),
        (
            {"cases": [{"name": "x", "expect": "a", "body_uri": "https://x"}]},
            "cases[0].body_uri must be an s3:// URI",
        ),
        ({"cases": [{"name": "x", "expect": "a", "body_uri": 7}]}, "cases[0].body_uri must be an s3:// URI"),
        ({"cases": [CASE | {"body": "x" * 6_291_457}]}, "cases[0].body is larger than the 6291456 bytes"),
        ({"cases": [CASE | {"body": "ü" * 3_145_729}]}, "cases[0].body is larger than the 6291456 bytes"),
        ({"cases": [CASE | {"maximum_latency_ms": 0}]}, "cases[0].maximum_latency_ms must be a positive number"),
        ({"cases": [CASE | {"maximum_latency_ms": "1"}]}, "cases[0].maximum_latency_ms must be a positive number"),
        ({"cases": [CASE], "maximum_p95_latency_ms": -1}, "maximum_p95_latency_ms must be a positive number"),
        ({"cases": [CASE], "maximum_p95_latency_ms": True}, "maximum_p95_latency_ms must be a positive number"),
        ({"cases": [CASE] * 11, "repeat": 1000}, "it has more than 10000 invocations"),
    ],
)
def test_a_mistake_in_a_suite_is_refused_with_its_path(given: Any, problem: str) -> None:
    assert problem in refusal(given)


@pytest.mark.parametrize("number", [0, -1, 1.5, "1", True, None, [1], float("nan"), float("inf"), 1001])
def test_repeat_is_an_integer_from_1_to_1000(number: Any) -> None:
    assert "repeat must be an integer from 1 to 1000" in refusal({"cases": [CASE], "repeat": number})


@pytest.mark.parametrize("number", [0, 101, 1.5, "1", False])
def test_concurrency_is_an_integer_from_1_to_100(number: Any) -> None:
    assert "concurrency must be an integer from 1 to 100" in refusal({"cases": [CASE], "concurrency": number})


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, "0", None, True, float("nan"), float("inf")])
def test_an_error_rate_is_at_least_0_and_less_than_1(rate: Any) -> None:
    message = refusal({"cases": [CASE], "maximum_error_rate": rate})

    assert "maximum_error_rate must be at least 0 and less than 1" in message


def test_a_suite_can_have_ten_thousand_invocations() -> None:
    assert suite(cases=[CASE] * 10, repeat=1000)["repeat"] == 1000


def test_a_body_can_be_as_large_as_an_endpoint_accepts() -> None:
    assert len(body_of(case(body="x" * 6_291_456))) == 6_291_456


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("1,2,3", b"1,2,3"),
        ("größe", "größe".encode()),
        ("", b""),
        ({"a": [1, 2]}, b'{"a": [1, 2]}'),
        ([], b"[]"),
        (0, b"0"),
        (None, b"null"),
        ("{% $x %}", b"{% $x %}"),
    ],
)
def test_a_string_is_sent_unchanged_and_any_other_value_as_json(body: Any, sent: bytes) -> None:
    assert body_of(case(body=body)) == sent


@pytest.mark.parametrize(
    ("expect", "body"),
    [
        ("label == 'positive'", b'{"label": "positive"}'),
        ("score > `0.5` && score <= `1`", b'{"score": 0.9}'),
        ("@ == 'positive'", b"positive"),
        ("contains(@, 'pos')", b"a positive text\n"),
        ("length(@) == `2`", b"[1, 2]"),
        ("@ == `7`", b"7"),
        ("@ == ''", b""),
        ("contains(@, 'gr')", "größe".encode("latin-1")),
        ("length(@) > `0`", b"\x89PNG\r\n"),
    ],
)
def test_a_response_is_right_if_the_expression_is_true_for_its_json_or_its_text(expect: str, body: bytes) -> None:
    assert wrong_response(case(expect=expect), Response(1, body)) is None


@pytest.mark.parametrize(
    ("expect", "body", "problem", "result"),
    [
        ("label == 'positive'", b'{"label": "negative"}', "returned false, not true", "false"),
        (
            "label",
            b'{"label": "positive"}',
            "a string, not true or false. Compare it: label == 'positive'",
            '"positive"',
        ),
        ("ok", b'{"ok": 1}', "a number, not true or false. Compare it: ok > `0.5`", "1"),
        ("labels[0]", b'{"labels": ["a"]}', "a string, not true or false. Compare it: labels[0] == 'positive'", '"a"'),
        ("missing", b"{}", "returned null, not true. The response may not have this value", "null"),
        ("[]", b"[true]", "a list, not true or false. Compare it: length([]) > `0`", "[true]"),
        ("a || b", b'{"b": {}}', "an object, not true or false. Compare it with a value", "{}"),
        ("label == 'positive'", b"<html>oops</html>", "returned false, not true", "false"),
        ("label == 'positive'", b"", "returned false, not true", "false"),
        ("length(score) == `1`", b'{"score": 5}', "cannot be evaluated", "length(), invalid type for value: 5"),
        ("&label", b"{}", "returned an expression, not true or false", ""),
    ],
)
def test_a_response_is_wrong_if_the_expression_is_not_true(expect: str, body: bytes, problem: str, result: str) -> None:
    wrong = wrong_response(case(expect=expect), Response(1, body))

    assert wrong is not None
    assert wrong.problem.startswith(f"the case 'a good review': {expect} ")
    assert problem in wrong.problem
    assert result in (wrong.response or "")


def test_a_wrong_response_is_shortened_and_escaped() -> None:
    wrong = wrong_response(case(), Response(1, b"\x1b[31m\r\n<script>" + b"x" * 10_000))

    assert wrong is not None
    assert wrong.response is not None
    assert wrong.response.isprintable()
    assert "\\x1b[31m\\r\\n<script>" in wrong.response
    assert len(wrong.response) < 500


def test_a_response_with_too_many_levels_is_wrong() -> None:
    assert wrong_response(case(), Response(1, b"[" * 100_000)) is not None


def test_an_error_is_not_a_wrong_response() -> None:
    assert wrong_response(case(), Response(1, error="ModelError", model_message="500")) is None


def test_an_error_is_a_failure_apart_from_the_message_of_the_model() -> None:
    assert failure(case(), Response(1, error="ModelError", model_message="a customer's\n")) == Finding(
        "the case 'a good review': ModelError", '"a customer\'s\\n"'
    )
    assert failure(case(), Response(1, error="ReadTimeout")) == Finding("the case 'a good review': ReadTimeout")


@pytest.mark.parametrize(("latency", "slow"), [(100, False), (2000, False), (2000.1, True), (9999, True)])
def test_a_response_above_the_maximum_latency_is_a_failure(latency: float, slow: bool) -> None:
    found = failure(case(maximum_latency_ms=2000), Response(latency, RIGHT))

    assert found == (
        Finding(f"the case 'a good review': it took {latency:.0f} ms; its maximum_latency_ms is 2000") if slow else None
    )


def test_without_a_maximum_latency_no_response_is_too_slow() -> None:
    assert failure(case(), Response(59_000, RIGHT)) is None


def test_right_responses_in_time_pass() -> None:
    assert judged(responded(10)) == {
        "passed": True,
        "reason": None,
        "response": None,
        "invocations": 10,
        "errors": 0,
        "p95_latency_ms": 100,
    }


@pytest.mark.parametrize("rate", [0, 0.5, 0.99])
def test_a_wrong_response_always_fails(rate: float) -> None:
    found = judged([*responded(99), *responded(1, WRONG)], maximum_error_rate=rate)

    assert not found["passed"]
    assert found["reason"].startswith("1 of 100 responses were wrong. The first is the case 'a good review': ")


def test_a_single_error_fails_a_suite_that_allows_none() -> None:
    found = judged([*responded(99), *failed(1)])

    assert not found["passed"]
    assert found["reason"].startswith(
        "1 of 100 invocations failed. The first is the case 'a good review': ModelError. "
    )
    assert found["response"] == "'500'"
    assert found["errors"] == 1


@pytest.mark.parametrize(("errors", "passes"), [(0, True), (9, True), (10, True), (11, False), (100, False)])
def test_errors_within_the_maximum_rate_pass(errors: int, passes: bool) -> None:
    found = judged([*responded(100 - errors), *failed(errors)], maximum_error_rate=0.1)

    assert found["passed"] is passes
    assert found["errors"] == errors


def test_slow_responses_count_as_errors() -> None:
    whole = validated({"cases": [CASE | {"maximum_latency_ms": 200}], "maximum_error_rate": 0.1}, WHERE)
    slow = [(whole["cases"][0], response) for response in [*responded(8), *responded(2, latency_ms=201)]]

    found = verdict(whole, slow)

    assert found["reason"] == (
        "2 of 10 invocations failed. The first is the case 'a good review': it took 201 ms; its maximum_latency_ms is "
        "200."
    )


@pytest.mark.parametrize(
    ("slow", "count", "p95", "passes"),
    [(5, 100, 100, True), (6, 100, 900, False), (1, 20, 100, True), (2, 20, 900, False), (1, 1, 900, False)],
)
def test_five_percent_of_the_responses_can_be_slower_than_the_p95(
    slow: int, count: int, p95: int, passes: bool
) -> None:
    found = judged([*responded(count - slow), *responded(slow, latency_ms=900)], maximum_p95_latency_ms=500)

    assert found["p95_latency_ms"] == p95
    assert found["passed"] is passes
    if not passes:
        assert found["reason"] == "The p95 latency is 900 ms; maximum_p95_latency_ms is 500."


def test_wrong_responses_are_reported_before_errors() -> None:
    found = judged([*responded(1, WRONG), *failed(1)])

    assert "responses were wrong" in found["reason"]
    assert found["errors"] == 1


def test_each_case_is_judged_by_its_own_expectation() -> None:
    whole = validated({"cases": [CASE, CASE | {"name": "a bad one", "expect": "label == 'negative'"}]}, WHERE)
    good, bad = whole["cases"]

    assert verdict(whole, [(good, Response(1, RIGHT)), (bad, Response(1, WRONG))])["passed"]
    assert "'a bad one'" in verdict(whole, [(good, Response(1, RIGHT)), (bad, Response(1, RIGHT))])["reason"]


@pytest.mark.parametrize(
    "responses",
    [
        responded(3, b'{"label": "a-secret"}'),
        responded(1, b"a-secret"),
        [Response(1, error="ModelError", model_message="a-secret")],
    ],
)
@pytest.mark.parametrize("expect", ["label == 'positive'", "label", "length(label) == `1`", "nothing(label)"])
def test_only_the_member_response_contains_the_response(responses: list[Response], expect: str) -> None:
    suite = validated({"cases": [CASE]}, WHERE)
    # validated refuses an unknown function, but the verdict on it is the same as on a wrong type.
    found = verdict(suite, [(suite["cases"][0] | {"expect": expect}, response) for response in responses])

    assert "a-secret" in found["response"]
    assert "a-secret" not in json.dumps(found | {"response": ""})
    assert "in the output of Run smoke test" in found["reason"]


def test_a_verdict_is_json() -> None:
    json.dumps(judged([*responded(3), *failed(1)]), allow_nan=False)
