import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EventStreamError

from promotion.endpoint import invocation
from promotion.endpoint.smoke_test import validated
from tests.support.s3_faults import client_error

pytestmark = pytest.mark.usefixtures("clock")

OUT, FAILED = "s3://stage/answers/1.out", "s3://stage/failures/1-error.out"


def case(**members: Any) -> dict[str, Any]:
    given = {"name": "one", "body": {}, "expect": "`true`", **members}
    return dict(validated({"cases": [given]}, "a test")["cases"][0])


class Runtime:
    """An endpoint that returns these responses in order and repeats the last one."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.requests: list[dict[str, Any]] = []

    def _next(self, request: dict[str, Any]) -> Any:
        self.requests.append(request)
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Exception):
            raise response
        return response

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._next(request))}

    def invoke_endpoint_with_response_stream(self, **request: Any) -> dict[str, Any]:
        return {"Body": self._next(request), "ContentType": "text/event-stream"}

    def invoke_endpoint_async(self, **request: Any) -> dict[str, Any]:
        return dict(self._next(request))


class S3:
    """Objects, each of which appears at a given time."""

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
def test_an_endpoint_that_is_not_ready_is_called_again(code: str) -> None:
    runtime = Runtime(not_ready(code), not_ready(code), b'"yes"')

    response = invocation.invoke(runtime, "reviews-qa", case(), b"{}")

    assert (response.body, response.error) == (b'"yes"', None)
    assert response.latency_ms == 0  # of the last call alone


def test_an_endpoint_that_stays_not_ready_fails_after_a_minute(clock: list[float]) -> None:
    response = invocation.invoke(Runtime(not_ready()), "reviews-qa", case(), b"{}")

    assert response.error == "ModelNotReadyException: wait"
    assert 60 < clock[0] - 1000 < 70


def test_a_model_error_is_not_retried() -> None:
    runtime = Runtime(client_error("ModelError", "Received server error (500)", "InvokeEndpoint"))

    response = invocation.invoke(runtime, "reviews-qa", case(), b"{}")

    assert (response.error, response.model_message) == ("ModelError", "Received server error (500)")
    assert len(runtime.requests) == 1


@pytest.mark.parametrize(
    ("given", "members"),
    [
        ({}, {}),
        ({"target_model": "en.tar.gz"}, {"TargetModel": "en.tar.gz"}),
        ({"target_container_hostname": "second"}, {"TargetContainerHostname": "second"}),
        ({"target_variant": "Gpu"}, {"TargetVariant": "Gpu"}),
        ({"custom_attributes": "tenant=one"}, {"CustomAttributes": "tenant=one"}),
        ({"session_id": "NEW_SESSION"}, {"SessionId": "NEW_SESSION"}),
        ({"enable_explanations": "`true`"}, {"EnableExplanations": "`true`"}),
        ({"inference_component_name": "reviews"}, {"InferenceComponentName": "reviews"}),
        ({"prefix_aware_id": "reviews"}, {"PrefixAwareId": "reviews"}),
    ],
)
def test_a_case_can_set_the_members_of_the_request(given: dict[str, str], members: dict[str, str]) -> None:
    runtime = Runtime(b"{}")

    invocation.invoke(runtime, "reviews-qa", case(**given), b"{}")

    (request,) = runtime.requests
    always = {"EndpointName", "Body", "InferenceId", "ContentType", "Accept"}
    assert {key: value for key, value in request.items() if key not in always} == members


def parts(*contents: bytes) -> Any:
    return [{"PayloadPart": {"Bytes": content}} for content in contents]


def test_the_parts_of_a_stream_are_joined() -> None:
    runtime = Runtime(parts(b'data: {"choi', b'ces": []}\n\n'))

    response = invocation.invoke(runtime, "reviews-qa", case(stream=True, custom_attributes="a"), b"{}")

    assert (response.body, response.error) == (b'data: {"choices": []}\n\n', None)
    assert response.content_type == "text/event-stream"
    assert runtime.requests[0]["CustomAttributes"] == "a"


def test_a_stream_is_read_up_to_the_maximum() -> None:
    def endless() -> Any:
        for _ in range(100):
            yield from parts(b"x" * 1024**2)
        raise AssertionError("It would be read to its end.")

    response = invocation.invoke(Runtime(endless()), "reviews-qa", case(stream=True), b"{}")

    assert response.error == "the response is larger than 6291456 bytes"


def test_a_stream_that_breaks_off_is_an_error_of_the_model() -> None:
    def broken() -> Any:
        yield from parts(b"one")
        message = "Your model primary did not complete sending the inference response in the allotted time."
        raise EventStreamError(
            {"Error": {"Code": "ModelStreamError", "Message": message}}, "InvokeEndpointWithResponseStream"
        )

    response = invocation.invoke(Runtime(broken()), "reviews-qa", case(stream=True), b"{}")

    assert response.error == "ModelStreamError. A response stream must end within 8 minutes"
    assert "allotted time" in response.model_message


def test_a_case_without_target_keys_is_supported() -> None:
    old = {key: value for key, value in case().items() if not key.startswith("target")}

    assert invocation.invoke(Runtime(b"{}"), "reviews-qa", old, b"{}").error is None


InvokeAsync = Callable[..., Any]


@pytest.fixture
def invoke_async(clock: list[float]) -> InvokeAsync:
    """Invoke an asynchronous endpoint whose responses appear in S3 after the given number of seconds."""

    def invoke(objects: dict[str, tuple[float, Any]], ends: float = 60, limit: int | None = None) -> Any:
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

    return invoke


def test_an_asynchronous_response_is_read_from_its_output_location(invoke_async: InvokeAsync) -> None:
    response = invoke_async({OUT: (7.2, b'"yes"')})

    assert (response.body, response.error) == (b'"yes"', None)
    assert 7200 <= response.latency_ms <= 7700


def test_an_asynchronous_failure_is_an_error_with_the_message_of_the_model(invoke_async: InvokeAsync) -> None:
    response = invoke_async({FAILED: (3, b"the model broke")})

    assert (response.error, response.model_message) == (f"SageMaker wrote {FAILED}", "the model broke")


@pytest.mark.parametrize(("ends", "limit", "waited"), [(60, None, 60), (60, 5000, 5), (60, 100_000, 60)])
def test_waiting_for_an_asynchronous_response_ends_at_the_maximum_latency(
    invoke_async: InvokeAsync, clock: list[float], ends: float, limit: int | None, waited: float
) -> None:
    response = invoke_async({}, ends, limit)

    assert f"no response in {OUT} within" in response.error
    assert waited < clock[0] - 1000 <= waited + 1


def test_a_response_that_cannot_be_read_is_an_error_at_once(invoke_async: InvokeAsync, clock: list[float]) -> None:
    response = invoke_async({OUT: (0, client_error("AccessDenied", "no s3:GetObject", "GetObject"))})

    assert response.error == f"{OUT} could not be read: AccessDenied: no s3:GetObject"
    assert clock[0] == 1000


BODY = "s3://stage/body"
OWNER = "222222222222"


class Echo:
    """An endpoint that returns the request body or its location."""

    def __init__(self) -> None:
        self.bodies: list[bytes | str] = []
        self.variants: list[str | None] = []

    def invoke_endpoint(self, Body: bytes, **request: Any) -> dict[str, Any]:  # noqa: N803
        self.bodies.append(Body)
        self.variants.append(request.get("TargetVariant"))
        return {"Body": io.BytesIO(Body)}

    def invoke_endpoint_async(self, InputLocation: str, **_: Any) -> dict[str, str]:  # noqa: N803
        self.bodies.append(InputLocation)
        return {"OutputLocation": InputLocation}


class Bucket(S3):
    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: str) -> None:  # noqa: N803
        self.objects[f"s3://{Bucket}/{Key}"] = (0, Body)


def suite(*cases: dict[str, Any], **members: Any) -> dict[str, Any]:
    whole = [{"name": "one", **each} for each in cases]
    return validated({"cases": whole, "concurrency": 3, **members}, "a test")


TWO = suite({"body": "a", "expect": "@ == 'a'"}, {"body_uri": BODY, "expect": "@ == 'b'"}, repeat=2)


def run(
    endpoint: Any, s3: Any, whole: dict[str, Any], folder: str | None = None, seconds: float = 840, *variants: str
) -> Any:
    return invocation.run(
        endpoint, s3, "reviews-qa", whole, folder=folder, owner=OWNER, seconds=seconds, variants=variants
    )


@pytest.mark.parametrize("folder", [None, "s3://stage/smoke-test/reviews/"])
def test_every_case_is_sent_as_often_as_the_suite_repeats_it(clock: list[float], folder: str | None) -> None:
    endpoint = Echo()

    verdict = run(endpoint, Bucket({BODY: (0, b"b")}, clock), TWO, folder)

    assert verdict["passed"], verdict
    assert verdict["invocations"] == 4
    assert [endpoint.bodies.count(body) for body in set(endpoint.bodies)] == [2, 2]


@pytest.mark.parametrize("folder", [None, "s3://stage/smoke-test/reviews/"])
def test_a_wrong_response_ends_the_test(clock: list[float], folder: str | None) -> None:
    endpoint = Echo()

    verdict = run(endpoint, Bucket({}, clock), suite({"body": "a", "expect": "@ == 'b'"}, repeat=1000), folder)

    assert verdict["reason"].startswith("1 of 1 responses were wrong. ")
    assert len(endpoint.bodies) < 1000


def test_each_variant_is_called_with_each_case_unless_the_case_names_one(clock: list[float]) -> None:
    endpoint = Echo()
    cases = suite({"body": "a", "expect": "@ == 'a'"}, {"body": "b", "expect": "@ == 'b'", "target_variant": "Gpu"})

    verdict = run(endpoint, Bucket({}, clock), cases, None, 840, "Cpu", "Gpu")

    assert verdict["passed"], verdict
    assert verdict["invocations"] == 3
    assert sorted(zip(endpoint.bodies, endpoint.variants, strict=True)) == [
        (b"a", "Cpu"),
        (b"a", "Gpu"),
        (b"b", "Gpu"),
    ]


def test_a_wrong_response_names_the_variant(clock: list[float]) -> None:
    class OneIsWrong(Echo):
        def invoke_endpoint(self, Body: bytes, **request: Any) -> dict[str, Any]:  # noqa: N803
            return {"Body": io.BytesIO(b"wrong" if request["TargetVariant"] == "Gpu" else Body)}

    verdict = run(OneIsWrong(), None, suite({"body": "a", "expect": "@ == 'a'"}), None, 840, "Cpu", "Gpu")

    assert "The first was to cases[0] on the variant Gpu: expect returned false" in verdict["reason"]


@pytest.mark.parametrize("variants", [(), ("AllTraffic",)])
def test_the_only_variant_is_not_named_in_requests(clock: list[float], variants: tuple[str, ...]) -> None:
    endpoint = Echo()

    run(endpoint, None, suite({"body": "a", "expect": "@ == 'a'"}), None, 840, *variants)

    assert endpoint.variants == [None]


def test_an_asynchronous_endpoint_chooses_the_variant_itself(clock: list[float]) -> None:
    endpoint = Echo()
    folder = "s3://stage/smoke-test/reviews/"

    verdict = run(endpoint, Bucket({}, clock), suite({"body": "a", "expect": "@ == 'a'"}), folder, 840, "Cpu", "Gpu")

    assert verdict["passed"], verdict
    assert verdict["invocations"] == 1


def test_a_request_body_that_cannot_be_read_fails_the_test(clock: list[float]) -> None:
    s3 = Bucket({BODY: (0, client_error("AccessDenied", "no s3:GetObject", "GetObject"))}, clock)

    verdict = run(Echo(), s3, TWO)

    assert "cases[1]: its request body is not available: AccessDenied: no s3:GetObject" in verdict["reason"]


class Hanging:
    """An endpoint that responds when it is told to."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def invoke_endpoint(self, **_: Any) -> dict[str, Any]:
        self.released.wait(60)
        return {"Body": io.BytesIO(b"a")}


def test_a_test_ends_at_its_deadline_without_waiting_for_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the clock must advance
    endpoint = Hanging()

    verdict = run(endpoint, None, suite({"body": "a", "expect": "`true`"}), seconds=0.1)

    endpoint.released.set()
    assert verdict["reason"].startswith("It did not finish within ")
    assert "0 of 1 responses arrived" in verdict["reason"]
