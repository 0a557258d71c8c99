"""The judgment of a smoke test, response by response, so that it ends as soon as it is decided.

Records and emails contain the reason for a failure. It therefore names a case by its position in the suite, and has no
text of the suite or of the model, whose authors may be in another account.
"""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from typing import Any

from promotion.endpoint import answer, expectation

_SHOWN_CHARACTERS = 300

# The kind of a result that is not true or false, and a comparison for the message about it.
_COMPARISONS = {
    str: ("a string", "{} == 'positive'"),
    int: ("a number", "{} > `0.5`"),
    float: ("a number", "{} > `0.5`"),
    list: ("a list", "length({}) > `0`"),
    dict: ("an object", "length({}) > `0`"),
}


@dataclasses.dataclass(frozen=True)
class Response:
    """The response to one invocation and its latency: a body and its content type, or an error with its explanation.

    `model_message` is the message of the model.
    """

    latency_ms: float
    body: bytes = b""
    error: str | None = None
    model_message: str = ""
    content_type: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The problem of one invocation, and its details, which may contain customer data."""

    problem: str
    details: str | None = None


class Judgment:
    """The judgment of a smoke test of `invocations` requests so far; several threads can add responses."""

    def __init__(self, suite: dict[str, Any], invocations: int) -> None:
        self._suite, self._invocations = suite, invocations
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._wrong: list[str] = []
        self._failed: list[str] = []
        # Of the first problem.
        self._details: str | None = None

    def add(self, index: int, response: Response, variant: str | None = None) -> None:
        """Judge the response to the case `index` of the suite; one response at a time, since a body can be large.

        `variant` is the variant that was called, if the endpoint has several.
        """
        case = self._suite["cases"][index]
        with self._lock:
            if self.is_decided:
                return
            wrong, failed = wrong_response(case, response), failure(case, response)
            self._latencies.append(response.latency_ms)
            for finding, findings in ((failed, self._failed), (wrong, self._wrong)):
                if finding:
                    if not findings:
                        self._details = f"The case {case['name']!a}: {finding.details}" if finding.details else None
                    called = f" on the variant {variant}" if variant else ""
                    findings.append(f"cases[{index}]{called}: {finding.problem}")

    @property
    def is_decided(self) -> bool:
        """Whether no further response can change the result: all are judged, or the test has failed."""
        return len(self._latencies) == self._invocations or self._has_failed

    @property
    def _has_failed(self) -> bool:
        return bool(self._wrong) or len(self._failed) > self._suite["maximum_error_rate"] * self._invocations

    def verdict(self, seconds: float) -> dict[str, Any]:
        """Return {"passed", "reason", "response", "invocations", "errors", "p95_latency_ms"} after `seconds`.

        `reason` is None if the test passed. Only `response` has text of the suite and the model's response.
        """
        count, p95 = len(self._latencies), _percentile(self._latencies, 95)
        maximum = self._suite["maximum_p95_latency_ms"]
        reason = None
        if self._wrong:
            reason = f"{len(self._wrong)} of {count} responses were wrong. The first was to {self._wrong[0]}."
        elif self._has_failed:
            reason = f"{len(self._failed)} of {count} invocations failed. The first was {self._failed[0]}."
        elif not self.is_decided:
            arrived = f"{count} of {self._invocations} responses arrived"
            reason = f"It did not finish within {seconds:.0f} seconds: {arrived}."
        elif maximum is not None and p95 > maximum:
            reason = f"The p95 latency is {p95:.0f} ms; maximum_p95_latency_ms is {maximum:g}."
        details = self._details if self._has_failed else None
        return {
            "passed": reason is None,
            "reason": reason,
            "response": details,
            "invocations": count,
            "errors": len(self._failed),
            "p95_latency_ms": round(p95),
        }


def wrong_response(case: dict[str, Any], response: Response) -> Finding | None:
    """Return the problem with the body of `response`, or None if it is as expected or there is no body."""
    if response.error is not None:
        return None
    data = answer.parsed(response.body, response.content_type)
    expression, body = _shown(case["expect"]), f"{response.body[:200].decode(errors='replace')!a}"
    if response.content_type:
        body += f" with the content type {_shown(response.content_type)!a}"
    unusual = answer.unusual(response.body, response.content_type, case["accept"])
    try:
        result = expectation.evaluate(case["expect"], data)
    except ValueError as error:
        return Finding(
            _sentences("expect cannot be evaluated for the response", unusual),
            f"{expression} cannot be evaluated for the response {body}: {error}.",
        )
    if result is True:
        return None
    details = f"{expression} returned {_as_json(result)} for the response {body}."
    if result is None:
        missing = unusual or "The response may not have this value"
        return Finding(_sentences("expect returned null, not true", missing), details)
    if isinstance(result, bool):
        return Finding(_sentences("expect returned false, not true", unusual), details)
    kind, comparison = _COMPARISONS.get(type(result), ("an expression", "{}"))
    return Finding(
        f"expect returned {kind}, not true or false. Compare it with a value",
        f"{details} Compare it: {comparison.format(expression)}.",
    )


def failure(case: dict[str, Any], response: Response) -> Finding | None:
    """Return why an invocation failed: an error or a latency above the maximum; None if it did not fail."""
    if response.error is not None:
        return Finding(response.error, f"{response.model_message[:500]!a}" if response.model_message else None)
    maximum = case["maximum_latency_ms"]
    if maximum is not None and response.latency_ms > maximum:
        return Finding(f"it took {response.latency_ms:.0f} ms; its maximum_latency_ms is {maximum:g}")
    return None


def _sentences(first: str, second: str) -> str:
    """Return sentences without the last period."""
    return f"{first}. {second.removesuffix('.')}" if second else first


def _shown(text: str) -> str:
    """Return an untrusted string as one short line."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)[:100]
    except RecursionError:
        return "a value that is nested too deeply to be shown"


def _percentile(values: list[float], percent: int) -> float:
    """Return the nearest-rank percentile of a list, or 0 if it is empty."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1] if values else 0
