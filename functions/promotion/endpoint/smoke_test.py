"""The smoke test: a suite of cases that a live endpoint has to answer rightly, quickly and steadily.

A suite is a JSON object:

    {"cases": [{"name": "...", "body": ..., "content_type": "application/json", "accept": "application/json",
                "expect": "<JMESPath>", "maximum_latency_ms": 2000}],
     "repeat": 1, "concurrency": 1, "maximum_error_rate": 0, "maximum_p95_latency_ms": 1500}

`body` is JSON or a text, sent as it is; `body_uri` names an object in S3 instead. `expect` is a JMESPath expression
over the answer, parsed if it is JSON and a text otherwise, that has to be true. `target_model` says which model of a
multi-model endpoint is asked, `target_container_hostname` which container of one in Direct mode. Each case is sent
`repeat` times, `concurrency` at once. A wrong answer always fails the test; errors and slow answers fail it above
`maximum_error_rate` (0 to 1).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

from promotion.aws import strict_json
from promotion.aws.s3_uri import bucket_and_key
from promotion.aws.strict_json import is_number
from promotion.endpoint import expectation
from promotion.errors import InvalidRequestError, PromotionRefusedError

MAXIMUM_BODY_BYTES = 6_291_456
"""What InvokeEndpoint takes, and gives (botocore's sagemaker-runtime model)."""

_MAXIMUM_INVOCATIONS = 10_000
_LONGEST_NAME = 200
_LONGEST_SHOWN = 300

# What stands in a header of InvokeEndpoint's request (botocore's sagemaker-runtime model: Header, TargetModelHeader,
# TargetContainerHostnameHeader).
_HEADERS = {
    "content_type": (re.compile(r"[ -~]{1,1024}"), "a text of up to 1,024 printable characters of ASCII"),
    "accept": (re.compile(r"[ -~]{1,1024}"), "a text of up to 1,024 printable characters of ASCII"),
    "target_model": (re.compile(r"[!-~][ -~]{0,1023}"), "a text of up to 1,024 printable characters of ASCII"),
    "target_container_hostname": (
        re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*"),
        "a text of up to 63 letters, digits and hyphens",
    ),
}

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
class Answer:
    """What one invocation came to: a body, or an error and the model's `words` with it; and how long it took."""

    latency_ms: float
    body: bytes = b""
    error: str | None = None
    words: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is wrong with one invocation, and what the model `answered`, which may be a customer's."""

    what: str
    answered: str | None = None


def read(text: str | bytes, where: str) -> dict[str, Any]:
    """The suite of a file; raises what `validated` raises."""
    try:
        suite = strict_json.read(text)
    except ValueError as error:
        raise InvalidRequestError(f"The smoke test in {where} is no JSON: {error}.") from error
    return validated(suite, where)


def validated(suite: Any, where: str) -> dict[str, Any]:
    """`suite` with its defaults filled in. Raises InvalidRequestError naming `where` it is from and what is wrong."""

    def wrong(what: str) -> InvalidRequestError:
        return InvalidRequestError(f"The smoke test in {where} is wrong: {what}.")

    if not isinstance(suite, dict):
        raise wrong("it is not a JSON object")
    for key in suite:
        if key not in {"cases", *_SUITE_DEFAULTS}:
            raise wrong(f"it has the unknown key {key!a:.100}")
    whole = _SUITE_DEFAULTS | suite
    cases = whole.get("cases")
    if not isinstance(cases, list) or not cases:
        raise wrong("cases has to be a list of at least one case")
    whole["cases"] = [_validated_case(case, f"cases[{index}]", wrong) for index, case in enumerate(cases)]
    for key, most in (("repeat", 1000), ("concurrency", 100)):
        if not is_number(whole[key]) or int(whole[key]) != whole[key] or not 1 <= whole[key] <= most:
            raise wrong(f"{key} has to be a whole number from 1 to {most}")
        whole[key] = int(whole[key])
    if whole["repeat"] * len(cases) > _MAXIMUM_INVOCATIONS:
        raise wrong(f"it has more than {_MAXIMUM_INVOCATIONS} invocations")
    if not is_number(whole["maximum_error_rate"]) or not 0 <= whole["maximum_error_rate"] < 1:
        raise wrong("maximum_error_rate has to be a number from 0 to less than 1")
    _check_latency(whole, "maximum_p95_latency_ms", "", wrong)
    return whole


def _validated_case(case: Any, path: str, wrong: Any) -> dict[str, Any]:
    if not isinstance(case, dict):
        raise wrong(f"{path} is not an object")
    for key in case:
        if key == "inference_component_name":
            raise wrong(f"{path}.{key} asks an inference component, but a promotion makes endpoints without them")
        if key not in {"name", "body", "body_uri", "expect", *_CASE_DEFAULTS}:
            raise wrong(f"{path} has the unknown key {key!a:.100}")
    whole = _CASE_DEFAULTS | case
    for key in ("name", "expect"):
        if not isinstance(whole.get(key), str) or not whole[key]:
            raise wrong(f"{path}.{key} has to be a text")
    if len(whole["name"]) > _LONGEST_NAME:
        raise wrong(f"{path}.name has {len(whole['name'])} characters, and the most is {_LONGEST_NAME}")
    for key, (pattern, meaning) in _HEADERS.items():
        # Without a default it may be left out.
        if whole[key] is None and _CASE_DEFAULTS[key] is None:
            continue
        if not isinstance(whole[key], str) or not pattern.fullmatch(whole[key]):
            raise wrong(f"{path}.{key} has to be {meaning}")
    _check_body(case, path, wrong)
    try:
        expectation.check(whole["expect"])
    except ValueError as error:
        raise wrong(f"{path}.expect is no JMESPath expression that can be used: {error}") from error
    _check_latency(whole, "maximum_latency_ms", f"{path}.", wrong)
    return whole


def _check_body(case: dict[str, Any], path: str, wrong: Any) -> None:
    if ("body" in case) == ("body_uri" in case):
        raise wrong(f"{path} needs either body or body_uri")
    if "body" in case and len(body_of(case)) > MAXIMUM_BODY_BYTES:
        raise wrong(f"{path}.body is larger than the {MAXIMUM_BODY_BYTES} bytes that an endpoint takes")
    if "body_uri" in case:
        try:
            bucket_and_key(str(case["body_uri"]))
        except PromotionRefusedError as error:
            raise wrong(f"{path}.body_uri has to be an s3:// address: {str(error).rstrip('.')}") from error


def _check_latency(whole: dict[str, Any], key: str, path: str, wrong: Any) -> None:
    if whole[key] is not None and (not is_number(whole[key]) or whole[key] <= 0):
        raise wrong(f"{path}{key} has to be a number of milliseconds")


def body_of(case: dict[str, Any]) -> bytes:
    """What an inline case sends: a text as it is, anything else as JSON."""
    body = case["body"]
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def wrong_answer(case: dict[str, Any], answer: Answer) -> Finding | None:
    """What is wrong with the content of `answer`, or None when it is as expected (or there is none to judge)."""
    if answer.error is not None:
        return None
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        data = answer.body.decode(errors="replace")
    try:
        result = expectation.result(case["expect"], data)
    except ValueError as error:
        result = str(error)
    if result is True:
        return None
    answered = answer.body[:200].decode(errors="replace")
    what = f"{case['name']!a} expected {_shown(case['expect'])} to be true"
    return Finding(what, f"{_as_json(result)}: {answered!a}")


def _shown(text: str) -> str:
    """A text that somebody else wrote, in one short line."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)[:100]
    except RecursionError:
        return "nested too deeply to be shown"


def trouble(case: dict[str, Any], answer: Answer) -> Finding | None:
    """What went wrong with an invocation whatever its content: an error, or an answer that came too late."""
    if answer.error is not None:
        return Finding(f"{case['name']!a}: {answer.error}", f"{answer.words[:500]!a}" if answer.words else None)
    limit = case["maximum_latency_ms"]
    if limit is not None and answer.latency_ms > limit:
        return Finding(f"{case['name']!a} took {answer.latency_ms:.0f} ms, more than {limit:g} ms")
    return None


def verdict(suite: dict[str, Any], answers: list[tuple[dict[str, Any], Answer]]) -> dict[str, Any]:
    """What the test came to: {"passed", "reason", "answered", "invocations", "errors", "p95_latency_ms"}.

    `answers` pairs each invocation's case with its answer; `reason` is None for a test that passed. What the model
    answered stands in `answered` alone: the reason goes into records and mails.
    """
    wrong = [found for case, answer in answers if (found := wrong_answer(case, answer))]
    troubled = [found for case, answer in answers if (found := trouble(case, answer))]
    p95 = _percentile([answer.latency_ms for _, answer in answers], 95)
    reason, answered = None, None
    if wrong:
        reason = f"{len(wrong)} of {len(answers)} answers were wrong; the first: {wrong[0].what}"
        answered = wrong[0].answered
    elif len(troubled) > suite["maximum_error_rate"] * len(answers):
        reason = f"{len(troubled)} of {len(answers)} invocations failed; the first: {troubled[0].what}"
        answered = troubled[0].answered
    elif suite["maximum_p95_latency_ms"] is not None and p95 > suite["maximum_p95_latency_ms"]:
        reason = f"95 % of the answers took up to {p95:.0f} ms, more than {suite['maximum_p95_latency_ms']:g} ms"
    if answered:
        reason = f"{reason}. What was answered is in the execution's history, in the output of Run smoke test."
    return {
        "passed": reason is None,
        "reason": reason,
        "answered": answered,
        "invocations": len(answers),
        "errors": len(troubled),
        "p95_latency_ms": round(p95),
    }


def _percentile(values: list[float], percent: int) -> float:
    """The nearest-rank percentile of a list that is not empty."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


SKIP = "skip"
