import json
from typing import Any

import pytest

from promotion.endpoint.smoke_test import Answer, Finding, body_of, trouble, validated, verdict, wrong_answer
from promotion.errors import InvalidRequestError

CASE = {"name": "a good review", "body": {"text": "great"}, "expect": "label == 'positive'"}
WHERE = "s3://artifacts/suite.json"
RIGHT = json.dumps({"label": "positive"}).encode()
WRONG = json.dumps({"label": "negative"}).encode()


def suite(**changes: Any) -> dict[str, Any]:
    return validated({"cases": [CASE], **changes}, WHERE)


def case(**changes: Any) -> dict[str, Any]:
    return dict(validated({"cases": [CASE | changes]}, WHERE)["cases"][0])


def refusal(given: Any) -> str:
    with pytest.raises(InvalidRequestError) as error:
        validated(given, WHERE)
    assert str(error.value).startswith(f"The smoke test in {WHERE} is wrong: ")
    return str(error.value)


def judged(answers: list[Answer], **changes: Any) -> dict[str, Any]:
    """The verdict on a suite of one case that was answered so."""
    whole = suite(**changes)
    return verdict(whole, [(whole["cases"][0], answer) for answer in answers])


def answered(count: int, body: bytes = RIGHT, latency_ms: float = 100) -> list[Answer]:
    return [Answer(latency_ms, body)] * count


def failed(count: int) -> list[Answer]:
    return [Answer(50, error="ModelError", words="500")] * count


def test_a_suite_needs_no_more_than_a_case() -> None:
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


def test_a_suite_that_was_validated_is_valid() -> None:
    whole = suite(repeat=3, maximum_error_rate=0.1)

    assert validated(json.loads(json.dumps(whole)), WHERE) == whole


@pytest.mark.parametrize(("key", "most"), [("repeat", 1000), ("concurrency", 100)])
@pytest.mark.parametrize("number", [1, 2.0, None])
def test_a_number_of_times_is_a_whole_one(key: str, most: int, number: float | None) -> None:
    given = number or most

    kept = suite(**{key: given})[key]

    assert kept == given
    assert isinstance(kept, int)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (None, "it is not a JSON object"),
        ([CASE], "it is not a JSON object"),
        ("skip it", "it is not a JSON object"),
        ({}, "cases has to be a list of at least one case"),
        ({"cases": []}, "cases has to be a list of at least one case"),
        ({"cases": CASE}, "cases has to be a list of at least one case"),
        ({"cases": [CASE], "repeats": 2}, "it has the unknown key 'repeats'"),
        ({"cases": [CASE], "\x1b[31m": 2}, "it has the unknown key '\\x1b[31m'"),
        ({"cases": [CASE, "x"]}, "cases[1] is not an object"),
        ({"cases": [CASE | {"expects": "x"}]}, "cases[0] has the unknown key 'expects'"),
        ({"cases": [CASE | {"name": ""}]}, "cases[0].name has to be a text"),
        ({"cases": [CASE | {"name": 7}]}, "cases[0].name has to be a text"),
        ({"cases": [{"name": "x", "body": 1}]}, "cases[0].expect has to be a text"),
        ({"cases": [CASE | {"expect": True}]}, "cases[0].expect has to be a text"),
        ({"cases": [CASE | {"expect": "label =="}]}, "cases[0].expect is no JMESPath expression"),
        ({"cases": [CASE | {"expect": "label = 'x'"}]}, "cases[0].expect is no JMESPath expression"),
        ({"cases": [CASE | {"expect": "size(@) == `1`"}]}, "cases[0].expect is no JMESPath expression"),
        ({"cases": [CASE | {"target_model": ""}]}, "cases[0].target_model has to be a text"),
        ({"cases": [CASE | {"target_container_hostname": 1}]}, "cases[0].target_container_hostname has to be a text"),
        ({"cases": [CASE | {"inference_component_name": "x"}]}, "asks an inference component, but a promotion makes"),
        ({"cases": [CASE | {"content_type": None}]}, "cases[0].content_type has to be a text"),
        ({"cases": [CASE | {"accept": ["x"]}]}, "cases[0].accept has to be a text"),
        ({"cases": [{"name": "x", "expect": "a"}]}, "cases[0] needs either body or body_uri"),
        ({"cases": [CASE | {"body_uri": "s3://b/k"}]}, "cases[0] needs either body or body_uri"),
        (
            {"cases": [{"name": "x", "expect": "a", "body_uri": "https://x"}]},
            "cases[0].body_uri has to be an s3:// address",
        ),
        ({"cases": [{"name": "x", "expect": "a", "body_uri": 7}]}, "cases[0].body_uri has to be an s3:// address"),
        ({"cases": [CASE | {"body": "x" * 6_291_457}]}, "cases[0].body is larger than the 6291456 bytes"),
        ({"cases": [CASE | {"body": "ü" * 3_145_729}]}, "cases[0].body is larger than the 6291456 bytes"),
        ({"cases": [CASE | {"maximum_latency_ms": 0}]}, "cases[0].maximum_latency_ms has to be a number of millisec"),
        ({"cases": [CASE | {"maximum_latency_ms": "1"}]}, "cases[0].maximum_latency_ms has to be a number of millis"),
        ({"cases": [CASE], "maximum_p95_latency_ms": -1}, "maximum_p95_latency_ms has to be a number of milliseconds"),
        ({"cases": [CASE], "maximum_p95_latency_ms": True}, "maximum_p95_latency_ms has to be a number of millisecond"),
        ({"cases": [CASE] * 11, "repeat": 1000}, "it has more than 10000 invocations"),
    ],
)
def test_a_mistake_in_a_suite_is_refused_with_where_it_is(given: Any, what: str) -> None:
    assert what in refusal(given)


@pytest.mark.parametrize("number", [0, -1, 1.5, "1", True, None, [1], float("nan"), float("inf"), 1001])
def test_repeat_is_a_whole_number_from_1_to_1000(number: Any) -> None:
    assert "repeat has to be a whole number from 1 to 1000" in refusal({"cases": [CASE], "repeat": number})


@pytest.mark.parametrize("number", [0, 101, 1.5, "1", False])
def test_concurrency_is_a_whole_number_from_1_to_100(number: Any) -> None:
    assert "concurrency has to be a whole number from 1 to 100" in refusal({"cases": [CASE], "concurrency": number})


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, "0", None, True, float("nan"), float("inf")])
def test_an_error_rate_is_at_least_0_and_less_than_1(rate: Any) -> None:
    message = refusal({"cases": [CASE], "maximum_error_rate": rate})

    assert "maximum_error_rate has to be a number from 0 to less than 1" in message


def test_a_suite_may_have_ten_thousand_invocations() -> None:
    assert suite(cases=[CASE] * 10, repeat=1000)["repeat"] == 1000


def test_a_body_may_be_as_large_as_an_endpoint_takes() -> None:
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
def test_a_text_is_sent_as_it_is_and_anything_else_as_json(body: Any, sent: bytes) -> None:
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
def test_an_answer_is_right_when_the_expression_is_true_of_its_json_or_its_text(expect: str, body: bytes) -> None:
    assert wrong_answer(case(expect=expect), Answer(1, body)) is None


@pytest.mark.parametrize(
    ("expect", "body", "result"),
    [
        ("label == 'positive'", b'{"label": "negative"}', "false"),
        ("label", b'{"label": "positive"}', '"positive"'),
        ("ok", b'{"ok": 1}', "1"),
        ("ok", b'{"ok": "true"}', '"true"'),
        ("missing", b"{}", "null"),
        ("[]", b"[true]", "[true]"),
        ("label == 'positive'", b"<html>oops</html>", "false"),
        ("label == 'positive'", b"", "false"),
        ("length(score) == `1`", b'{"score": 5}', "In function length(), invalid type for value: 5"),
        ("&label", b"{}", ""),
    ],
)
def test_an_answer_is_wrong_when_the_expression_is_anything_but_true(expect: str, body: bytes, result: str) -> None:
    wrong = wrong_answer(case(expect=expect), Answer(1, body))

    assert wrong is not None
    assert wrong.what == f"'a good review' expected {expect} to be true"
    assert result in (wrong.answered or "")


def test_a_wrong_answer_is_shown_short_and_escaped() -> None:
    wrong = wrong_answer(case(), Answer(1, b"\x1b[31m\r\n<script>" + b"x" * 10_000))

    assert wrong is not None
    assert wrong.answered is not None
    assert wrong.answered.isprintable()
    assert "\\x1b[31m\\r\\n<script>" in wrong.answered
    assert len(wrong.answered) < 500


def test_an_answer_nested_too_deep_to_read_is_wrong() -> None:
    assert wrong_answer(case(), Answer(1, b"[" * 100_000)) is not None


def test_an_error_has_no_content_to_judge() -> None:
    assert wrong_answer(case(), Answer(1, error="ModelError", words="500")) is None


def test_an_error_is_trouble_and_the_models_words_are_told_apart_from_it() -> None:
    assert trouble(case(), Answer(1, error="ModelError", words="a customer's\n")) == Finding(
        "'a good review': ModelError", '"a customer\'s\\n"'
    )
    assert trouble(case(), Answer(1, error="ReadTimeout")) == Finding("'a good review': ReadTimeout")


@pytest.mark.parametrize(("latency", "slow"), [(100, False), (2000, False), (2000.1, True), (9999, True)])
def test_an_answer_that_came_too_late_is_trouble(latency: float, slow: bool) -> None:
    found = trouble(case(maximum_latency_ms=2000), Answer(latency, RIGHT))

    assert found == (Finding(f"'a good review' took {latency:.0f} ms, more than 2000 ms") if slow else None)


def test_without_a_limit_no_answer_is_too_late() -> None:
    assert trouble(case(), Answer(59_000, RIGHT)) is None


def test_right_answers_in_time_pass() -> None:
    assert judged(answered(10)) == {
        "passed": True,
        "reason": None,
        "answered": None,
        "invocations": 10,
        "errors": 0,
        "p95_latency_ms": 100,
    }


@pytest.mark.parametrize("rate", [0, 0.5, 0.99])
def test_a_wrong_answer_always_fails(rate: float) -> None:
    found = judged([*answered(99), *answered(1, WRONG)], maximum_error_rate=rate)

    assert not found["passed"]
    assert found["reason"].startswith("1 of 100 answers were wrong; the first: 'a good review' expected ")


def test_a_single_error_fails_a_suite_that_allows_none() -> None:
    found = judged([*answered(99), *failed(1)])

    assert not found["passed"]
    assert found["reason"].startswith("1 of 100 invocations failed; the first: 'a good review': ModelError. ")
    assert found["answered"] == "'500'"
    assert found["errors"] == 1


@pytest.mark.parametrize(("errors", "passes"), [(0, True), (9, True), (10, True), (11, False), (100, False)])
def test_errors_within_the_maximum_rate_pass(errors: int, passes: bool) -> None:
    found = judged([*answered(100 - errors), *failed(errors)], maximum_error_rate=0.1)

    assert found["passed"] is passes
    assert found["errors"] == errors


def test_late_answers_count_as_errors() -> None:
    whole = validated({"cases": [CASE | {"maximum_latency_ms": 200}], "maximum_error_rate": 0.1}, WHERE)
    slow = [(whole["cases"][0], answer) for answer in [*answered(8), *answered(2, latency_ms=201)]]

    found = verdict(whole, slow)

    assert found["reason"] == "2 of 10 invocations failed; the first: 'a good review' took 201 ms, more than 200 ms"


@pytest.mark.parametrize(
    ("slow", "count", "p95", "passes"),
    [(5, 100, 100, True), (6, 100, 900, False), (1, 20, 100, True), (2, 20, 900, False), (1, 1, 900, False)],
)
def test_five_percent_of_the_answers_may_be_slower_than_the_p95(slow: int, count: int, p95: int, passes: bool) -> None:
    found = judged([*answered(count - slow), *answered(slow, latency_ms=900)], maximum_p95_latency_ms=500)

    assert found["p95_latency_ms"] == p95
    assert found["passed"] is passes
    if not passes:
        assert found["reason"] == "95 % of the answers took up to 900 ms, more than 500 ms"


def test_the_verdict_on_wrong_answers_goes_before_that_on_errors() -> None:
    found = judged([*answered(1, WRONG), *failed(1)])

    assert "answers were wrong" in found["reason"]
    assert found["errors"] == 1


def test_each_case_is_judged_by_its_own_expectation() -> None:
    whole = validated({"cases": [CASE, CASE | {"name": "a bad one", "expect": "label == 'negative'"}]}, WHERE)
    good, bad = whole["cases"]

    assert verdict(whole, [(good, Answer(1, RIGHT)), (bad, Answer(1, WRONG))])["passed"]
    assert "'a bad one'" in verdict(whole, [(good, Answer(1, RIGHT)), (bad, Answer(1, RIGHT))])["reason"]


@pytest.mark.parametrize(
    "answers",
    [
        answered(3, b'{"label": "a-secret"}'),
        answered(1, b"a-secret"),
        [Answer(1, error="ModelError", words="a-secret")],
    ],
)
@pytest.mark.parametrize("expect", ["label == 'positive'", "label", "length(label) == `1`", "nothing(label)"])
def test_what_a_model_answered_is_told_in_its_place_alone(answers: list[Answer], expect: str) -> None:
    suite = validated({"cases": [CASE]}, WHERE)
    # A function that does not exist is refused before, but shows in the same way as one that does not fit.
    found = verdict(suite, [(suite["cases"][0] | {"expect": expect}, answer) for answer in answers])

    assert "a-secret" in found["answered"]
    assert "a-secret" not in json.dumps(found | {"answered": ""})
    assert "in the output of Run smoke test" in found["reason"]


def test_a_verdict_is_json() -> None:
    json.dumps(judged([*answered(3), *failed(1)]), allow_nan=False)
