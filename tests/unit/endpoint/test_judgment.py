import json
from typing import Any

import pytest

from promotion.endpoint.judgment import Finding, Judgment, Response, failure, wrong_response
from promotion.endpoint.smoke_test import validated

CASE = {"name": "a good review", "body": {"text": "great"}, "expect": "label == 'positive'"}
WHERE = "a test"
RIGHT = json.dumps({"label": "positive"}).encode()
WRONG = json.dumps({"label": "negative"}).encode()


def suite(**changes: Any) -> dict[str, Any]:
    return validated({"cases": [CASE], **changes}, WHERE)


def case(**changes: Any) -> dict[str, Any]:
    return dict(validated({"cases": [CASE | changes]}, WHERE)["cases"][0])


def judged(responses: list[Response], **changes: Any) -> dict[str, Any]:
    """Return the verdict on a suite with one case and these responses."""
    return verdict(suite(**changes), [(0, response) for response in responses])


def verdict(given: dict[str, Any], responses: list[tuple[int, Response]]) -> dict[str, Any]:
    """Return the verdict on responses to the cases with these indices."""
    judgment = Judgment(given, len(responses))
    for index, response in responses:
        judgment.add(index, response)
    return judgment.verdict(840)


def responded(count: int, body: bytes = RIGHT, latency_ms: float = 100) -> list[Response]:
    return [Response(latency_ms, body)] * count


def failed(count: int) -> list[Response]:
    return [Response(50, error="ModelError", model_message="500")] * count


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
            "Compare it: label == 'positive'",
            '"positive"',
        ),
        ("ok", b'{"ok": 1}', "Compare it: ok > `0.5`", "1"),
        ("labels[0]", b'{"labels": ["a"]}', "Compare it: labels[0] == 'positive'", '"a"'),
        ("missing", b"{}", "returned null, not true. The response may not have this value", "null"),
        ("[]", b"[true]", "Compare it: length([]) > `0`", "[true]"),
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
    assert expect not in wrong.problem
    assert expect in (wrong.details or "")
    assert problem in f"{wrong.problem}. {wrong.details}"
    assert result in (wrong.details or "")


@pytest.mark.parametrize(
    ("expect", "body", "content_type"),
    [
        ("[0][0] > `0.9`", b"0.98,0.01", "text/csv"),
        ("[1].label == 'b'", b'{"label": "a"}\n{"label": "b"}', "application/jsonlines"),
        ("text == 'Hi'", b'data: {"token": {"text": "Hi"}}\n\n', "text/event-stream"),
    ],
)
def test_a_response_is_right_if_the_expression_is_true_for_its_content_type(
    expect: str, body: bytes, content_type: str
) -> None:
    assert wrong_response(case(expect=expect), Response(1, body, content_type=content_type)) is None


def test_an_unusual_response_is_explained_without_its_text() -> None:
    page = Response(1, b"<html>a-secret", content_type="text/html; name=a-secret")

    wrong = wrong_response(case(), page)

    assert wrong is not None
    assert wrong.problem == (
        "expect returned false, not true. The response is an HTML page, such as the error page of a web server in the "
        "container"
    )
    assert "with the content type 'text/html; name=a-secret'" in (wrong.details or "")


def test_the_explanation_of_an_error_follows_it() -> None:
    error = Response(1, error="ModelError. The container has too many requests", model_message="a-secret")

    found = judged([error])

    assert found["reason"] == (
        "1 of 1 invocations failed. The first was cases[0]: ModelError. The container has too many requests."
    )


def test_a_wrong_response_is_shortened_and_escaped() -> None:
    wrong = wrong_response(case(), Response(1, b"\x1b[31m\r\n<script>" + b"x" * 10_000))

    assert wrong is not None
    assert wrong.details is not None
    assert wrong.details.isprintable()
    assert "\\x1b[31m\\r\\n<script>" in wrong.details
    assert len(wrong.details) < 500


def test_a_response_with_too_many_levels_is_wrong() -> None:
    assert wrong_response(case(), Response(1, b"[" * 100_000)) is not None


def test_an_error_is_not_a_wrong_response() -> None:
    assert wrong_response(case(), Response(1, error="ModelError", model_message="500")) is None


def test_an_error_is_a_failure_apart_from_the_message_of_the_model() -> None:
    assert failure(case(), Response(1, error="ModelError", model_message="a customer's\n")) == Finding(
        "ModelError", '"a customer\'s\\n"'
    )
    assert failure(case(), Response(1, error="ReadTimeout")) == Finding("ReadTimeout")


@pytest.mark.parametrize(("latency", "slow"), [(100, False), (2000, False), (2000.1, True), (9999, True)])
def test_a_response_above_the_maximum_latency_is_a_failure(latency: float, slow: bool) -> None:
    found = failure(case(maximum_latency_ms=2000), Response(latency, RIGHT))

    assert found == (Finding(f"it took {latency:.0f} ms; its maximum_latency_ms is 2000") if slow else None)


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
    assert found["reason"].startswith("1 of 100 responses were wrong. The first was to cases[0]: expect returned false")


def test_a_single_error_fails_a_suite_that_allows_none() -> None:
    found = judged([*responded(99), *failed(1)])

    assert not found["passed"]
    assert found["reason"].startswith("1 of 100 invocations failed. The first was cases[0]: ModelError.")
    assert found["response"] == "The case 'a good review': '500'"
    assert found["errors"] == 1


@pytest.mark.parametrize(
    ("errors", "passes", "judged_errors"),
    [(0, True, 0), (9, True, 9), (10, True, 10), (11, False, 11), (100, False, 11)],
)
def test_errors_within_the_maximum_rate_pass(errors: int, passes: bool, judged_errors: int) -> None:
    found = judged([*responded(100 - errors), *failed(errors)], maximum_error_rate=0.1)

    assert found["passed"] is passes
    assert found["errors"] == judged_errors


def test_slow_responses_count_as_errors() -> None:
    whole = validated({"cases": [CASE | {"maximum_latency_ms": 200}], "maximum_error_rate": 0.1}, WHERE)

    found = verdict(whole, [(0, response) for response in [*responded(8), *responded(2, latency_ms=201)]])

    assert found["reason"] == (
        "2 of 10 invocations failed. The first was cases[0]: it took 201 ms; its maximum_latency_ms is 200."
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
    found = judged([*failed(1), *responded(1, WRONG)], maximum_error_rate=0.5)

    assert "responses were wrong" in found["reason"]
    assert found["errors"] == 1


def test_the_first_wrong_response_decides_the_test() -> None:
    judgment = Judgment(suite(), 10_000)

    judgment.add(0, Response(100, RIGHT))
    assert not judgment.is_decided
    judgment.add(0, Response(100, WRONG))
    judgment.add(0, Response(100, WRONG))

    assert judgment.is_decided
    assert judgment.verdict(840)["reason"].startswith("1 of 2 responses were wrong. ")


@pytest.mark.parametrize("answered", [0, 7])
def test_a_test_that_does_not_finish_in_time_has_failed(answered: int) -> None:
    judgment = Judgment(suite(), 10)
    for response in responded(answered):
        judgment.add(0, response)

    found = judgment.verdict(840)

    assert not found["passed"]
    assert found["reason"] == f"It did not finish within 840 seconds: {answered} of 10 responses arrived."


def test_each_case_is_judged_by_its_own_expectation() -> None:
    whole = validated({"cases": [CASE, CASE | {"name": "a bad one", "expect": "label == 'negative'"}]}, WHERE)

    assert verdict(whole, [(0, Response(1, RIGHT)), (1, Response(1, WRONG))])["passed"]
    failed_test = verdict(whole, [(0, Response(1, RIGHT)), (1, Response(1, RIGHT))])
    assert "cases[1]" in failed_test["reason"]
    assert "'a bad one'" in failed_test["response"]


@pytest.mark.parametrize(
    "responses",
    [
        responded(3, b'{"label": "a-secret"}'),
        responded(1, b"a-secret"),
        [Response(1, error="ModelError", model_message="a-secret")],
    ],
)
@pytest.mark.parametrize("expect", ["label == 'positive'", "label", "length(label) == `1`", "nothing(label)"])
def test_only_the_member_response_has_text_of_the_suite_and_the_model(responses: list[Response], expect: str) -> None:
    whole = validated({"cases": [CASE | {"name": "See https://example.com"}]}, WHERE)
    # validated refuses an unknown function, but the verdict on it is the same as on a wrong type.
    whole["cases"][0] |= {"expect": expect}

    found = verdict(whole, [(0, response) for response in responses])

    assert "a-secret" in found["response"]
    assert "See https://example.com" in found["response"]
    rest = json.dumps(found | {"response": ""})
    assert not any(text in rest for text in ("a-secret", "example.com", "label"))


def test_a_verdict_is_json() -> None:
    json.dumps(judged([*responded(3), *failed(1)]), allow_nan=False)
