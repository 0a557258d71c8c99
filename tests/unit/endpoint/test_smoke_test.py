import json
from typing import Any

import pytest

from promotion.endpoint.smoke_test import body_of, validated
from promotion.errors import InvalidRequestError

CASE = {"name": "a good review", "body": {"text": "great"}, "expect": "label == 'positive'"}
WHERE = "The smoke test in s3://artifacts/suite.json"


def suite(**changes: Any) -> dict[str, Any]:
    return validated({"cases": [CASE], **changes}, WHERE)


def case(**changes: Any) -> dict[str, Any]:
    return dict(validated({"cases": [CASE | changes]}, WHERE)["cases"][0])


def refusal(given: Any) -> str:
    with pytest.raises(InvalidRequestError) as error:
        validated(given, WHERE)
    assert str(error.value).startswith(f"{WHERE} is not valid: ")
    return str(error.value)


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


def test_a_case_can_set_every_member_of_the_request() -> None:
    members = {
        "custom_attributes": "tenant=one",
        "target_variant": "Gpu",
        "session_id": "NEW_SESSION",
        "enable_explanations": "`true`",
        "prefix_aware_id": "reviews",
        "inference_component_name": "reviews-qa",
    }

    assert case(**members) == case() | members
    assert case(stream=True) == case() | {"stream": True}


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
        ({"cases": [CASE | {"inference_component_name": "a b"}]}, "inference_component_name must be a string"),
        ({"cases": [CASE | {"TargetVariant": "x"}]}, "'TargetVariant' (did you mean \"target_variant\"?)"),
        ({"cases": [CASE | {"custom_atributes": "x"}]}, '(did you mean "custom_attributes"?)'),
        ({"cases": [CASE | {"streaming": True}]}, '(did you mean "stream"?)'),
        ({"cases": [CASE | {"custom_attributes": ""}]}, "custom_attributes must be a string of up to 1,024"),
        ({"cases": [CASE | {"session_id": "a b"}]}, "session_id must be NEW_SESSION or the ID of a session"),
        ({"cases": [CASE | {"enable_explanations": "x" * 65}]}, "enable_explanations must be a JMESPath expression"),
        ({"cases": [CASE | {"stream": "yes"}]}, "cases[0].stream must be true or false"),
        (
            {"cases": [CASE | {"stream": True, "target_model": "a"}]},
            "cases[0] has both stream and target_model, but InvokeEndpointWithResponseStream has no TargetModel",
        ),
        (
            {"cases": [CASE | {"stream": True, "session_id": "NEW_SESSION"}]},
            "a response stream cannot create a session",
        ),
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
