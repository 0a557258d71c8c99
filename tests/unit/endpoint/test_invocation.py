import io
import time
from collections.abc import Callable
from typing import Any

import pytest

from promotion.endpoint import invocation
from promotion.endpoint.smoke_test import validated
from tests.support.s3_faults import client_error

OUT, FAILED = "s3://stage/answers/1.out", "s3://stage/failures/1-error.out"


def case(**members: Any) -> dict[str, Any]:
    given = {"name": "one", "body": {}, "expect": "`true`", **members}
    return dict(validated({"cases": [given]}, "a test")["cases"][0])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes only while somebody sleeps."""
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return now


class Runtime:
    """An endpoint that gives these answers, one after the other; the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def _next(self, request: dict[str, Any]) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._next(request))}

    def invoke_endpoint_async(self, **request: Any) -> dict[str, Any]:
        return dict(self._next(request))


class S3:
    """Objects that appear at a time."""

    def __init__(self, objects: dict[str, tuple[float, Any]], clock: list[float]) -> None:
        self.objects, self.clock = objects, clock

    def get_object(self, Bucket: str, Key: str, ExpectedBucketOwner: str) -> dict[str, Any]:  # noqa: N803
        at, body = self.objects.get(f"s3://{Bucket}/{Key}", (float("inf"), b""))
        if isinstance(body, Exception):
            raise body
        if self.clock[0] < at:
            raise client_error("NoSuchKey", "The specified key does not exist.", "GetObject")
        return {"Body": io.BytesIO(body)}


def not_ready(code: str = "ModelNotReadyException") -> Any:
    return client_error(code, "wait", "InvokeEndpoint")


@pytest.mark.parametrize("code", ["ModelNotReadyException", "ServiceUnavailable", "ThrottlingException"])
def test_an_endpoint_that_is_still_cold_is_asked_again(code: str) -> None:
    runtime = Runtime(not_ready(code), not_ready(code), b'"yes"')

    answer = invocation.invoke(runtime, "reviews-qa", case(), b"{}")

    assert (answer.body, answer.error) == (b'"yes"', None)
    assert answer.latency_ms == 0  # its own, not that of those before


def test_an_endpoint_that_stays_cold_is_given_up(clock: list[float]) -> None:
    answer = invocation.invoke(Runtime(not_ready()), "reviews-qa", case(), b"{}")

    assert answer.error == "ModelNotReadyException: wait"
    assert 60 < clock[0] - 1000 < 70


def test_a_model_that_fails_is_not_asked_again() -> None:
    runtime = Runtime(client_error("ModelError", "Received server error (500)", "InvokeEndpoint"))

    answer = invocation.invoke(runtime, "reviews-qa", case(), b"{}")

    assert (answer.error, answer.words) == ("ModelError", "Received server error (500)")
    assert len(runtime.requests) == 1


@pytest.mark.parametrize(
    ("given", "members"),
    [
        ({}, {}),
        ({"target_model": "en.tar.gz"}, {"TargetModel": "en.tar.gz"}),
        ({"target_container_hostname": "second"}, {"TargetContainerHostname": "second"}),
    ],
)
def test_a_case_may_name_the_model_or_the_container(given: dict[str, str], members: dict[str, str]) -> None:
    runtime = Runtime(b"{}")

    invocation.invoke(runtime, "reviews-qa", case(**given), b"{}")

    (request,) = runtime.requests
    assert {key: value for key, value in request.items() if key.startswith("Target")} == members


def test_a_suite_that_was_written_before_there_were_targets_is_asked_as_it_was() -> None:
    old = {key: value for key, value in case().items() if not key.startswith("target")}

    assert invocation.invoke(Runtime(b"{}"), "reviews-qa", old, b"{}").error is None


Asked = Callable[..., Any]


@pytest.fixture
def asked(clock: list[float]) -> Asked:
    """Ask an asynchronous endpoint whose answers appear in S3 so many seconds after the start."""

    def ask(objects: dict[str, tuple[float, Any]], ends: float = 60, limit: int | None = None) -> Any:
        given = {key: (1000 + at, body) for key, (at, body) in objects.items()}
        return invocation.invoke_async(
            Runtime({"OutputLocation": OUT, "FailureLocation": FAILED}),
            S3(given, clock),
            "reviews-qa",
            case(**({"maximum_latency_ms": limit} if limit else {})),
            "s3://stage/in",
            "222222222222",
            1000 + ends,
        )

    return ask


def test_an_asynchronous_answer_is_read_where_it_was_announced(asked: Asked) -> None:
    answer = asked({OUT: (7.2, b'"yes"')})

    assert (answer.body, answer.error) == (b'"yes"', None)
    assert 7200 <= answer.latency_ms <= 7700


def test_an_asynchronous_failure_is_an_error_with_what_was_said(asked: Asked) -> None:
    answer = asked({FAILED: (3, b"the model broke")})

    assert (answer.error, answer.words) == (f"SageMaker wrote {FAILED}", "the model broke")


@pytest.mark.parametrize(("ends", "limit", "waited"), [(60, None, 60), (60, 5000, 5), (60, 100_000, 60)])
def test_an_asynchronous_answer_is_waited_for_as_long_as_its_case_allows(
    asked: Asked, clock: list[float], ends: float, limit: int | None, waited: float
) -> None:
    answer = asked({}, ends, limit)

    assert f"no answer at {OUT} within" in answer.error
    assert waited < clock[0] - 1000 <= waited + 1


def test_an_answer_that_may_not_be_read_is_not_waited_for(asked: Asked, clock: list[float]) -> None:
    answer = asked({OUT: (0, client_error("AccessDenied", "no s3:GetObject", "GetObject"))})

    assert answer.error == f"{OUT} could not be read: AccessDenied: no s3:GetObject"
    assert clock[0] == 1000


BODY = "s3://stage/body"
SUITE: dict[str, Any] = {
    "cases": [{**case(), "body": "a"}, {**case(), "body_uri": BODY}],
    "repeat": 2,
    "concurrency": 3,
}


class Echo:
    """Answers with what it is sent, or with where it is."""

    def invoke_endpoint(self, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(Body)}

    def invoke_endpoint_async(self, InputLocation: str, **_: Any) -> dict[str, str]:  # noqa: N803
        return {"OutputLocation": InputLocation}


class Bucket(S3):
    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: str) -> None:  # noqa: N803
        assert f"s3://{Bucket}/{Key}" not in self.objects
        self.objects[f"s3://{Bucket}/{Key}"] = (0, Body)


@pytest.mark.parametrize("is_async", [False, True])
def test_every_case_of_a_suite_is_sent_as_often_as_it_says(clock: list[float], is_async: bool) -> None:
    s3, owner = Bucket({BODY: (0, b"b")}, clock), "222222222222"

    if is_async:
        answers = invocation.invoke_all_async(Echo(), s3, "reviews-qa", SUITE, "stage", owner, 2000)
    else:
        answers = invocation.invoke_all(Echo(), s3, "reviews-qa", SUITE, owner)

    assert [(given, answer.body) for given, answer in answers] == [
        (given, body) for _ in range(2) for given, body in zip(SUITE["cases"], (b"a", b"b"), strict=True)
    ]
