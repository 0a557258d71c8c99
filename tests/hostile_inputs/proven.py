"""Smoke tests: the suites, and the responses of a model."""

from __future__ import annotations

import functools
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

from promotion.endpoint import invocation, smoke_test
from promotion.endpoint.judgment import Judgment, Response
from promotion.endpoint.smoke_test import MAXIMUM_BODY_BYTES
from promotion.errors import InvalidRequestError
from promotion.plan import compatibility
from promotion.plan.deployment import Deployment
from tests.hostile_inputs.configured import VARIANT
from tests.hostile_inputs.trial import Hostile, Reader

WHERE = "s3://artifacts/suite.json"


def read(suite: Any) -> dict[str, Any]:
    text = suite if isinstance(suite, bytes) else json.dumps(suite).encode()
    return smoke_test.read(text, WHERE)


def suite(**members: Any) -> dict[str, Any]:
    return {"cases": [case()], **members}


def case(**members: Any) -> dict[str, Any]:
    whole = {"name": "one", "body": {"text": "x"}, "expect": "`true`", **members}
    return {key: value for key, value in whole.items() if value is not None}


def cases(**members: Any) -> dict[str, Any]:
    return {"cases": [case(**members)]}


def suites() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "smoke test")
    doubling = "[@,@,@,@,@,@,@,@,@,@][]"
    for what, given, says in (
        ("not JSON", b"cases: []", " JSON"),
        ("not text", b"\xff\xfe", " JSON"),
        ("nested 1,000 levels deep", b'{"cases":' * 1_000 + b"1" + b"}" * 1_000, "more than 100 levels deep"),
        ("nested 100,000 levels deep", b"[" * 100_000, "more than 100 levels deep"),
        ("null", None, "it is not a JSON object"),
        ("a list", [], "it is not a JSON object"),
        ("without cases", {}, "cases"),
        ("with cases that are an object", {"cases": {"a": 1}}, "cases"),
        ("with a case that is a string", {"cases": ["x"]}, "cases[0] is not an object"),
        ("with an unknown key", suite(webhook="http://10.0.0.1/"), "unknown key 'webhook'"),
        ("with a case's unknown key of escape codes", cases(**{"\x1b[31m": 1}), r"cases[0] has the unknown key '\x1b"),
        ("without a name", cases(name=None), "cases[0].name"),
        ("with a name that is a number", cases(name=7), "cases[0].name"),
        ("with a name of 1 MB", cases(name="x" * 10**6), "cases[0].name has 1000000 characters"),
        ("without a body", cases(body=None), "cases[0] must have either body or body_uri"),
        ("with two bodies", cases(body_uri="s3://b/k"), "cases[0] must have either body or body_uri"),
        ("with a body of NaN", cases(body=float("nan")), "NaN is not a number"),
        ("with a body of 1e400", json.dumps(cases(body=7)).replace("7", "1e400").encode(), "1e400 is too large"),
        ("with an unpaired surrogate in its body", cases(body="\ud800"), "unpaired surrogate"),
        ("with a body of 6,291,457 bytes", cases(body="x" * (MAXIMUM_BODY_BYTES + 1)), "cases[0].body is larger"),
        (
            "with the body of a web page",
            cases(body=None, body_uri="http://169.254.169.254/"),
            "cases[0].body_uri",
        ),
        ("with the body of a file", cases(body=None, body_uri="file:///etc/passwd"), "cases[0].body_uri"),
        ("with a body with ..", cases(body=None, body_uri="s3://bucket/../x"), "cases[0].body_uri"),
        (
            "with a body that is a list of addresses",
            cases(body=None, body_uri=["s3://b/k"]),
            "cases[0].body_uri",
        ),
        ("with a kind of content of two lines", cases(content_type="a/b\r\nX-Evil: 1"), "cases[0].content_type"),
        ("with a kind of content that is a number", cases(content_type=7), "cases[0].content_type"),
        ("with a kind of content of 1,025 characters", cases(accept="x" * 1_025), "cases[0].accept"),
        ("with a kind of content in other letters", cases(accept="größe"), "cases[0].accept"),
        ("with a model of two lines", cases(target_model="a\nb"), "cases[0].target_model"),
        ("with a model of a space", cases(target_model=" "), "cases[0].target_model"),
        ("with a container ../x", cases(target_container_hostname="../x"), "target_container_hostname"),
        ("with attributes of two lines", cases(custom_attributes="a\r\nX-Evil: 1"), "cases[0].custom_attributes"),
        ("with a variant ../x", cases(target_variant="../x"), "cases[0].target_variant"),
        ("with a session of a space", cases(session_id=" "), "cases[0].session_id"),
        ("with an explanation of two lines", cases(enable_explanations="a\nb"), "cases[0].enable_explanations"),
        ("with an inference component of 64 letters", cases(inference_component_name="x" * 64), "inference_component"),
        ("with a routing hint of two lines", cases(prefix_aware_id="a\nb"), "cases[0].prefix_aware_id"),
        ("with a stream of a string", cases(stream="true"), "cases[0].stream"),
        ("without an expectation", cases(expect=None), "cases[0].expect"),
        ("with an expectation that is true", cases(expect=True), "cases[0].expect"),
        ("with an invalid expectation", cases(expect="label =="), "cases[0].expect is not a valid JMESPath"),
        ("with a function that does not exist", cases(expect="exec('x')"), "Unknown function: exec()"),
        ("with an expectation of 1 MB", cases(expect="a" * 10**6), "cases[0].expect is not a valid JMESPath"),
        ("with 9,000 parentheses", cases(expect="(" * 9_000 + "a"), "it is nested too deeply"),
        ("with a regular expression", cases(expect="matches(@, '(a+)+$')"), "Unknown function: matches()"),
        ("that makes data ten times as large, 30 times", cases(expect=" | ".join([doubling] * 30)), "times as large"),
        ("repeated 0 times", suite(repeat=0), "repeat"),
        ("repeated 1.5 times", suite(repeat=1.5), "repeat"),
        ('repeated "1" times', suite(repeat="1"), "repeat"),
        ("repeated true times", suite(repeat=True), "repeat"),
        ("repeated 10^399 times", suite(repeat=10**399), "repeat"),
        ("of 10,001 invocations", suite(cases=[case()] * 101, repeat=100), "more than 10000 invocations"),
        ("by 10^6 at once", suite(concurrency=10**6), "concurrency"),
        ("with an error rate of 1", suite(maximum_error_rate=1), "maximum_error_rate"),
        ("with an error rate of NaN", suite(maximum_error_rate=float("nan")), "NaN is not a number"),
        ("with an error rate of -1", suite(maximum_error_rate=-1), "maximum_error_rate"),
        ("with a latency of 0", cases(maximum_latency_ms=0), "cases[0].maximum_latency_ms"),
        ("with a latency of 10^399", cases(maximum_latency_ms=10**399), "cases[0].maximum_latency_ms"),
        ("with a latency of true", suite(maximum_p95_latency_ms=True), "maximum_p95_latency_ms"),
    ):
        yield hostile(what, functools.partial(read, given), says, where=f"The smoke test in {WHERE} is ")

    def large_object() -> None:
        endpoint_config = {"EndpointConfig": {"ProductionVariants": [VARIANT]}}
        given = read(cases(body=None, body_uri="s3://bucket/large"))
        deployment = Deployment(endpoint_config, [], "", False, given, [5 * 1024**4], "reviews-qa", None, set())
        raise InvalidRequestError(" ".join(compatibility.refusals(deployment)))

    yield hostile(
        "with a body of 5 TB in S3", large_object, "The case 'one' of the smoke test has a body of 5497558138880 bytes"
    )


class Endless(io.RawIOBase):
    """A response that never ends."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= MAXIMUM_BODY_BYTES + 1, "It would be read for ever."
        self.given += size
        return b"x" * size


class Endpoint(Reader):
    def __init__(self, answer: Any, content_type: str = "") -> None:
        super().__init__()
        self.answer, self.content_type = answer, content_type

    def invoke_endpoint(self, **_: Any) -> Any:
        return {"Body": self.answer, "ContentType": self.content_type}

    def invoke_endpoint_with_response_stream(self, **_: Any) -> Any:
        return {"Body": self.answer, "ContentType": self.content_type}


def verdict(answer: bytes, expect: str = "label == 'a'", content_type: str = "") -> dict[str, Any]:
    given = read(cases(expect=expect))
    asked = invocation.invoke(Endpoint(io.BytesIO(answer), content_type), "reviews-qa", given["cases"][0], b"{}")
    judgment = Judgment(given, 1)
    judgment.add(0, asked)
    return judgment.verdict(840)


def fails(found: dict[str, Any]) -> bool:
    reason = found["reason"]
    return not found["passed"] and reason.isprintable() and len(reason) < 1_500


def answers() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "answer of the endpoint", refusal=None, holds=fails)
    how = "the test fails, and its reason is one short line"
    for what, answer in (
        ("nothing", b""),
        ("not JSON", b"<html>"),
        ("not text", b"\xff\xfe\x00"),
        ("nested 5,000 levels deep", b"[" * 5_000 + b"]" * 5_000),
        ("nested 100,000 levels deep", b"[" * 100_000 + b"]" * 100_000),
        ("of 10 MB", b"x" * 10 * 1024**2),
        ("of escape codes and line breaks", b'"\\u001b[31m\\r\\n{\\"level\\":\\"ERROR\\"}"'),
        ("markup", b'"<script>alert(1)</script>"'),
        ("U+202E", '{"label": "\u202e"}'.encode()),
        ("a number of 5,000 digits", b"9" * 5_000),
        ("NaN", b'{"label": NaN}'),
        ("Infinity", b'{"label": 1e400}'),
    ):
        yield hostile(what, functools.partial(verdict, answer), how)
    for what, answer, expect in (
        ("Infinity, to be rounded", b"1e400", "floor(@) == `1`"),
        ("a number where a string is expected", b"7", "starts_with(@, 'a')"),
        ("texts among numbers, to be sorted", b'[1, "a"]', "sort(@)[0] == `1`"),
        ("what a step of 0 is taken of", b"[1]", "@[::0] == `[]`"),
    ):
        yield hostile(what, functools.partial(verdict, answer, expect), how)

    for what, answer, content_type in (
        ("a content type of two lines", b"{}", "application/json\r\nX-Evil: 1"),
        ("CSV of an open quotation mark", b'"1,2', "text/csv"),
        ("CSV of a cell of 1 MB", b"9" * 1024**2, "text/csv"),
        ("CSV of a zero byte", b"1,\x00", "text/csv"),
        ("JSON Lines nested 100,000 levels deep", b"[" * 100_000, "application/jsonlines"),
        ("events without data", b"event: x\n\n" * 1_000, "text/event-stream"),
        ("events nested 100,000 levels deep", b"data: " + b"[" * 100_000, "text/event-stream"),
        ("events that generate objects", b'data: {"choices": [{"text": {"a": 1}}]}', "text/event-stream"),
    ):
        yield hostile(what, functools.partial(verdict, answer, content_type=content_type), how)

    def endless_stream() -> Response:
        given = read(cases(stream=True))
        parts = ({"PayloadPart": {"Bytes": b"x" * 1024**2}} for _ in itertools.count())
        return invocation.invoke(Endpoint(parts), "reviews-qa", given["cases"][0], b"{}")

    def endless() -> Response:
        given = read(cases())
        return invocation.invoke(Endpoint(Endless()), "reviews-qa", given["cases"][0], b"{}")

    def is_cut(found: Response) -> bool:
        return found.error == f"the response is larger than {MAXIMUM_BODY_BYTES} bytes" and not found.body

    yield Hostile("answer of the endpoint", "without end", endless, "an error after 6 MB", None, is_cut)
    yield Hostile("answer of the endpoint", "a stream without end", endless_stream, "an error after 6 MB", None, is_cut)


def every() -> Iterator[Hostile]:
    yield from suites()
    yield from answers()
