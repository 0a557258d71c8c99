"""The smoke test: a suite of requests to a live endpoint, with expected responses, latencies and error rates.

A suite is a JSON object:

    {"cases": [{"name": "...", "body": ..., "content_type": "application/json", "accept": "application/json",
                "expect": "<JMESPath>", "maximum_latency_ms": 2000, "stream": false}],
     "repeat": 1, "concurrency": 1, "maximum_error_rate": 0, "maximum_p95_latency_ms": 1500}

`body` is JSON, or a string that is sent unchanged; `body_uri` is the S3 URI of a body. `expect` is a JMESPath
expression that must be true for the response, whose value `answer.parsed` returns. `stream` invokes the endpoint with a
response stream. The other members of the request are in `request_members`. Each case is sent `repeat` times to each
variant, or only to its `target_variant`, `concurrency` requests at a time. A wrong response always fails the test;
errors and slow responses fail it if their share exceeds `maximum_error_rate` (0 to 1).
"""

from __future__ import annotations

import json
from typing import Any

from promotion.aws import strict_json
from promotion.aws.input_checks import did_you_mean
from promotion.aws.s3_uri import bucket_and_key
from promotion.aws.strict_json import is_number
from promotion.endpoint import expectation, request_members
from promotion.endpoint.request_members import MEMBERS
from promotion.errors import InvalidRequestError, PromotionRefusedError

SKIP = "skip"
"""The value of SmokeTest for promotions without a smoke test."""

MAXIMUM_BODY_BYTES = 6_291_456
"""The maximum size of a request and a response of InvokeEndpoint (botocore's sagemaker-runtime model)."""

MAXIMA = {"repeat": 1000, "concurrency": 100}
"""The maximum values of the integers in a suite."""

_MAXIMUM_INVOCATIONS = 10_000
_MAXIMUM_NAME_CHARACTERS = 200

_SUITE_DEFAULTS: dict[str, Any] = {
    "repeat": 1,
    "concurrency": 1,
    "maximum_error_rate": 0,
    "maximum_p95_latency_ms": None,
}
_CASE_DEFAULTS: dict[str, Any] = {
    "content_type": MEMBERS["content_type"].default,
    "accept": MEMBERS["accept"].default,
    "maximum_latency_ms": None,
    "target_model": None,
    "target_container_hostname": None,
}
CASE_KEYS = ("name", "body", "body_uri", "expect", *dict.fromkeys((*_CASE_DEFAULTS, *MEMBERS, "stream")))
"""The keys of a case. Those without a default stay absent, so that the digest of an older suite stays the same."""


def read(text: str | bytes, where: str) -> dict[str, Any]:
    """Return the suite in the JSON document `text`. Raises the same errors as `validated`."""
    try:
        suite = strict_json.read(text)
    except ValueError as error:
        raise InvalidRequestError(f"The smoke test in {where} is not valid JSON: {error}.") from error
    return validated(suite, f"The smoke test in {where}")


def validated(suite: Any, where: str) -> dict[str, Any]:
    """Return `suite` with its defaults filled in.

    Raises InvalidRequestError, with the path of the problem, if it is not valid; `where` names the suite.
    """

    def invalid(problem: str) -> InvalidRequestError:
        return InvalidRequestError(f"{where} is not valid: {problem}.")

    if not isinstance(suite, dict):
        raise invalid("it is not a JSON object")
    suite = {key: value for key, value in suite.items() if key != strict_json.EDITOR_KEY}
    known = {"cases", *_SUITE_DEFAULTS}
    for key in suite:
        if key not in known:
            raise invalid(f"it has the unknown key {key!a:.100}{did_you_mean(key, known)}")
    whole: dict[str, Any] = _SUITE_DEFAULTS | suite
    cases = whole.get("cases")
    if not isinstance(cases, list) or not cases:
        raise invalid("cases must be a list of at least one case")
    whole["cases"] = [_validated_case(case, f"cases[{index}]", invalid) for index, case in enumerate(cases)]
    for key, maximum in MAXIMA.items():
        if not is_number(whole[key]) or int(whole[key]) != whole[key] or not 1 <= whole[key] <= maximum:
            raise invalid(f"{key} must be an integer from 1 to {maximum}")
        whole[key] = int(whole[key])
    if whole["repeat"] * len(cases) > _MAXIMUM_INVOCATIONS:
        raise invalid(f"it has more than {_MAXIMUM_INVOCATIONS} invocations (cases times repeat)")
    if not is_number(whole["maximum_error_rate"]) or not 0 <= whole["maximum_error_rate"] < 1:
        raise invalid("maximum_error_rate must be at least 0 and less than 1")
    _check_latency(whole, "maximum_p95_latency_ms", "", invalid)
    return whole


def _validated_case(case: Any, path: str, invalid: Any) -> dict[str, Any]:
    if not isinstance(case, dict):
        raise invalid(f"{path} is not an object")
    for key in case:
        if key not in CASE_KEYS:
            raise invalid(f"{path} has the unknown key {key!a:.100}{did_you_mean(key, CASE_KEYS)}")
    whole = _CASE_DEFAULTS | case
    for key in ("name", "expect"):
        if not isinstance(whole.get(key), str) or not whole[key]:
            raise invalid(f"{path}.{key} must be a string that is not empty")
    if len(whole["name"]) > _MAXIMUM_NAME_CHARACTERS:
        raise invalid(f"{path}.name has {len(whole['name'])} characters; the maximum is {_MAXIMUM_NAME_CHARACTERS}")
    for key, member in MEMBERS.items():
        # A key without a default is optional.
        if whole.get(key) is None and member.default is None:
            continue
        if not isinstance(whole[key], str) or not member.pattern.fullmatch(whole[key]):
            raise invalid(f"{path}.{key} must be {member.meaning}")
    _check_stream(whole, path, invalid)
    _check_body(case, path, invalid)
    try:
        expectation.check(whole["expect"])
    except ValueError as error:
        raise invalid(f"{path}.expect is not a valid JMESPath expression: {error}") from error
    _check_latency(whole, "maximum_latency_ms", f"{path}.", invalid)
    return whole


def _check_stream(case: dict[str, Any], path: str, invalid: Any) -> None:
    if not isinstance(case.get("stream", False), bool):
        raise invalid(f"{path}.stream must be true or false")
    if not case.get("stream"):
        return
    for key, member in request_members.lacking(case, request_members.STREAM).items():
        raise invalid(
            f"{path} has both stream and {key}, but {request_members.STREAM} has no {member}. Remove one of them"
        )
    if case.get("session_id") == request_members.NEW_SESSION:
        raise invalid(
            f"{path} has both stream and a session_id of {request_members.NEW_SESSION}, but a response stream cannot "
            "create a session. Use the ID of a session"
        )


def _check_body(case: dict[str, Any], path: str, invalid: Any) -> None:
    if ("body" in case) == ("body_uri" in case):
        raise invalid(f"{path} must have either body or body_uri")
    if "body" in case and len(body_of(case)) > MAXIMUM_BODY_BYTES:
        raise invalid(f"{path}.body is larger than the {MAXIMUM_BODY_BYTES} bytes that an endpoint accepts")
    if "body_uri" in case:
        try:
            bucket_and_key(str(case["body_uri"]))
        except PromotionRefusedError as error:
            raise invalid(f"{path}.body_uri must be an s3:// URI: {str(error).rstrip('.')}") from error


def _check_latency(whole: dict[str, Any], key: str, path: str, invalid: Any) -> None:
    if whole[key] is not None and (not is_number(whole[key]) or whole[key] <= 0):
        raise invalid(f"{path}{key} must be a positive number of milliseconds")


def body_of(case: dict[str, Any]) -> bytes:
    """Return the request body of a case: a string unchanged, any other value as JSON."""
    body = case["body"]
    return (body if isinstance(body, str) else json.dumps(body)).encode()
