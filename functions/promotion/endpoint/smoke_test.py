"""The smoke test: a suite of requests to a live endpoint, with expected responses, latencies and error rates.

A suite is a JSON object:

    {"cases": [{"name": "...", "body": ..., "content_type": "application/json", "accept": "application/json",
                "expect": "<JMESPath>", "maximum_latency_ms": 2000}],
     "repeat": 1, "concurrency": 1, "maximum_error_rate": 0, "maximum_p95_latency_ms": 1500}

`body` is JSON, or a string that is sent unchanged; `body_uri` is the S3 URI of a body. `expect` is a JMESPath
expression that must be true for the response, which is parsed as JSON if possible and is a string otherwise.
`target_model` selects a model of a multi-model endpoint, `target_container_hostname` a container in Direct mode. Each
case is sent `repeat` times, `concurrency` at a time. A wrong response always fails the test; errors and slow responses
fail it if their share exceeds `maximum_error_rate` (0 to 1).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

from promotion.aws import strict_json
from promotion.aws.input_checks import did_you_mean
from promotion.aws.s3_uri import bucket_and_key
from promotion.aws.strict_json import is_number
from promotion.endpoint import expectation
from promotion.errors import InvalidRequestError, PromotionRefusedError

SKIP = "skip"
"""The value of SmokeTest for promotions without a smoke test."""

MAXIMUM_BODY_BYTES = 6_291_456
"""The maximum size of a request and a response of InvokeEndpoint (botocore's sagemaker-runtime model)."""

_MAXIMUM_INVOCATIONS = 10_000
_MAXIMUM_NAME_CHARACTERS = 200
_SHOWN_CHARACTERS = 300

# Headers of an InvokeEndpoint request (shapes Header, TargetModelHeader and TargetContainerHostnameHeader of botocore's
# sagemaker-runtime model).
_HEADERS = {
    "content_type": (re.compile(r"[ -~]{1,1024}"), "a string of up to 1,024 printable ASCII characters"),
    "accept": (re.compile(r"[ -~]{1,1024}"), "a string of up to 1,024 printable ASCII characters"),
    "target_model": (re.compile(r"[!-~][ -~]{0,1023}"), "a string of up to 1,024 printable ASCII characters"),
    "target_container_hostname": (
        re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*"),
        "a string of up to 63 letters, digits and hyphens",
    ),
}

# The kind of a result that is not true or false, and a comparison for the message about it.
_COMPARISONS = {
    str: ("a string", "{} == 'positive'"),
    int: ("a number", "{} > `0.5`"),
    float: ("a number", "{} > `0.5`"),
    list: ("a list", "length({}) > `0`"),
    dict: ("an object", "length({}) > `0`"),
}
_PATH = re.compile(r"[\w.\[\]]{1,100}")

_SUITE_DEFAULTS: dict[str, Any] = {
    "repeat": 1,
    "concurrency": 1,
    "maximum_error_rate": 0,
    "maximum_p95_latency_ms": None,
}
_CASE_DEFAULTS: dict[str, Any] = {
    "content_type": "application/json",
    "accept": "application/json",
    "maximum_latency_ms": None,
    "target_model": None,
    "target_container_hostname": None,
}


@dataclasses.dataclass(frozen=True)
class Response:
    """The response to one invocation and its latency: a body, or an error with the message of the model."""

    latency_ms: float
    body: bytes = b""
    error: str | None = None
    model_message: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The problem of one invocation, and the model's response, which may contain customer data."""

    problem: str
    response: str | None = None


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
    known = {"cases", *_SUITE_DEFAULTS}
    for key in suite:
        if key not in known:
            raise invalid(f"it has the unknown key {key!a:.100}{did_you_mean(key, known)}")
    whole = _SUITE_DEFAULTS | suite
    cases = whole.get("cases")
    if not isinstance(cases, list) or not cases:
        raise invalid("cases must be a list of at least one case")
    whole["cases"] = [_validated_case(case, f"cases[{index}]", invalid) for index, case in enumerate(cases)]
    for key, maximum in (("repeat", 1000), ("concurrency", 100)):
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
    known = {"name", "body", "body_uri", "expect", *_CASE_DEFAULTS}
    for key in case:
        if key == "inference_component_name":
            raise invalid(
                f"{path}.{key} is not supported, because a promotion creates no inference components. Remove it"
            )
        if key not in known:
            raise invalid(f"{path} has the unknown key {key!a:.100}{did_you_mean(key, known)}")
    whole = _CASE_DEFAULTS | case
    for key in ("name", "expect"):
        if not isinstance(whole.get(key), str) or not whole[key]:
            raise invalid(f"{path}.{key} must be a string that is not empty")
    if len(whole["name"]) > _MAXIMUM_NAME_CHARACTERS:
        raise invalid(f"{path}.name has {len(whole['name'])} characters; the maximum is {_MAXIMUM_NAME_CHARACTERS}")
    for key, (pattern, meaning) in _HEADERS.items():
        # A key without a default is optional.
        if whole[key] is None and _CASE_DEFAULTS[key] is None:
            continue
        if not isinstance(whole[key], str) or not pattern.fullmatch(whole[key]):
            raise invalid(f"{path}.{key} must be {meaning}")
    _check_body(case, path, invalid)
    try:
        expectation.check(whole["expect"])
    except ValueError as error:
        raise invalid(f"{path}.expect is not a valid JMESPath expression: {error}") from error
    _check_latency(whole, "maximum_latency_ms", f"{path}.", invalid)
    return whole


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


def wrong_response(case: dict[str, Any], response: Response) -> Finding | None:
    """Return the problem with the body of `response`, or None if it is as expected or there is no body."""
    if response.error is not None:
        return None
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        data = response.body.decode(errors="replace")
    try:
        result = expectation.evaluate(case["expect"], data)
    except ValueError as error:
        result, problem = str(error), f"{_shown(case['expect'])} cannot be evaluated for the response"
    else:
        problem = _not_true(_shown(case["expect"]), result)
    if result is True:
        return None
    body = response.body[:200].decode(errors="replace")
    return Finding(f"the case {case['name']!a}: {problem}", f"{_as_json(result)}: {body!a}")


def _not_true(expression: str, result: Any) -> str:
    """Return the problem of an expectation that is not true, without the content of the response."""
    if result is None:
        return f"{expression} returned null, not true. The response may not have this value"
    if isinstance(result, bool):
        return f"{expression} returned false, not true"
    kind, comparison = _COMPARISONS.get(type(result), ("an expression", "{}"))
    problem = f"{expression} returned {kind}, not true or false. Compare it"
    return f"{problem}: {comparison.format(expression)}" if _PATH.fullmatch(expression) else f"{problem} with a value"


def _shown(text: str) -> str:
    """Return an untrusted string as one short line."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)[:100]
    except RecursionError:
        return "nested too deeply to be shown"


def failure(case: dict[str, Any], response: Response) -> Finding | None:
    """Return why an invocation failed: an error or a latency above the maximum; None if it did not fail."""
    if response.error is not None:
        message = f"{response.model_message[:500]!a}" if response.model_message else None
        return Finding(f"the case {case['name']!a}: {response.error}", message)
    maximum = case["maximum_latency_ms"]
    if maximum is not None and response.latency_ms > maximum:
        return Finding(
            f"the case {case['name']!a}: it took {response.latency_ms:.0f} ms; its maximum_latency_ms is {maximum:g}"
        )
    return None


def verdict(suite: dict[str, Any], responses: list[tuple[dict[str, Any], Response]]) -> dict[str, Any]:
    """Return the result of the test: {"passed", "reason", "response", "invocations", "errors", "p95_latency_ms"}.

    `responses` pairs the case of each invocation with its response; `reason` is None if the test passed. Only
    `response` has content of the model's response, because records and emails contain the reason.
    """
    wrong = [finding for case, response in responses if (finding := wrong_response(case, response))]
    failed = [finding for case, response in responses if (finding := failure(case, response))]
    p95 = _percentile([response.latency_ms for _, response in responses], 95)
    reason, shown = None, None
    if wrong:
        reason = f"{len(wrong)} of {len(responses)} responses were wrong. The first is {wrong[0].problem}."
        shown = wrong[0].response
    elif len(failed) > suite["maximum_error_rate"] * len(responses):
        reason = f"{len(failed)} of {len(responses)} invocations failed. The first is {failed[0].problem}."
        shown = failed[0].response
    elif suite["maximum_p95_latency_ms"] is not None and p95 > suite["maximum_p95_latency_ms"]:
        reason = f"The p95 latency is {p95:.0f} ms; maximum_p95_latency_ms is {suite['maximum_p95_latency_ms']:g}."
    if shown:
        reason = f"{reason} The response is in the execution history, in the output of Run smoke test."
    return {
        "passed": reason is None,
        "reason": reason,
        "response": shown,
        "invocations": len(responses),
        "errors": len(failed),
        "p95_latency_ms": round(p95),
    }


def _percentile(values: list[float], percent: int) -> float:
    """Return the nearest-rank percentile of a list that is not empty."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
