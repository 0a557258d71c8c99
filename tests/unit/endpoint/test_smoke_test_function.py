import io
import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from promotion.endpoint import smoke_test_function
from promotion.endpoint.smoke_test_function import assert_permitted, validated
from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord
from promotion.stage import Stage
from tests.support.s3_faults import client_error

pytestmark = pytest.mark.usefixtures("clock")

ARN = "arn:aws:lambda:eu-west-1:222222222222:function:reviews-qa-smoke-test"
RECORD = PromotionRecord(
    application="reviews", stage="qa", endpoint="reviews-qa", model_name="m", digest="d", approved_by="a person"
)
STAGE = Stage("qa", "222222222222", "eu-west-1", "bucket", "111111111111")


class Function:
    """A function that gives these answers in order and repeats the last one."""

    def __init__(self, *answers: Any, is_error: bool = False) -> None:
        self.answers, self.is_error = list(answers), is_error
        self.calls: list[tuple[dict[str, Any], float]] = []

    def __call__(self, event: dict[str, Any], seconds: float) -> dict[str, Any]:
        self.calls.append((event, seconds))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return {"Payload": io.BytesIO(payload), **({"FunctionError": "Unhandled"} if self.is_error else {})}


def run(function: Function, *variants: str, seconds: float = 800) -> str | None:
    names = variants or ("AllTraffic",)
    description = {"ProductionVariants": [{"VariantName": name} for name in names]}
    return smoke_test_function.run(function, ARN, description, RECORD, 1000 + seconds)


def test_a_function_is_called_with_endpoint_variant_and_candidate() -> None:
    function = Function({"passed": True})

    assert run(function, "Cpu", "Gpu") is None

    candidate = {"application": "reviews", "stage": "qa", "model_name": "m", "digest": "d"}
    assert [event["variant"] for event, _ in function.calls] == ["Cpu", "Gpu"]
    event, seconds = function.calls[0]
    assert event == {
        "endpoint": "reviews-qa",
        "variant": "Cpu",
        "component": None,
        "candidate": candidate,
        "seconds": 800,
    }
    assert seconds == 800


def test_a_function_learns_the_inference_component() -> None:
    function = Function({"passed": True})
    component = {"InferenceComponentName": "reviews-qa", "ProductionVariants": [{"VariantName": "AllTraffic"}]}

    assert smoke_test_function.run(function, ARN, component, RECORD, 1800) is None

    assert function.calls[0][0]["component"] == "reviews-qa"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (Function({"passed": False, "reason": "too many\nmistakes."}), "did not pass: too many\\nmistakes."),
        (Function({"passed": False}), "did not pass: it returned no reason."),
        (Function({"passed": "yes"}), 'it returned {"passed": "yes"}. A smoke test function returns {"passed": true}'),
        (Function(None), "it returned null. A smoke test function returns"),
        (Function(b""), "it returned null. A smoke test function returns"),
        (Function(b"<html>"), "its answer is not valid JSON"),
        (Function([True]), "it returned [true]."),
        (
            Function({"errorType": "ValueError", "errorMessage": "label missing"}, is_error=True),
            "it raised ValueError: label missing. Its log has the details.",
        ),
        (Function({"errorMessage": "Task timed out after 3.00 seconds"}, is_error=True), "Task timed out after 3.00"),
        (Function("x" * 5000, is_error=True), "it raised it has no message"),
        (
            Function(client_error("ResourceNotFoundException", "Function not found", "Invoke")),
            "Lambda refused the call: ResourceNotFoundException: Function not found. Create the function",
        ),
        (Function(client_error("AccessDeniedException", "no", "Invoke")), "Deploy the stack of this stage again"),
        (Function(ReadTimeoutError(endpoint_url="x")), "did not answer within the 800 seconds"),
        (Function(EndpointConnectionError(endpoint_url="x")), "it could not be called"),
    ],
)
def test_anything_but_a_pass_is_a_reason_in_one_line(function: Function, says: str) -> None:
    reason = run(function)

    assert reason is not None
    assert reason.startswith("The function reviews-qa-smoke-test did not pass: ")
    assert says in reason
    assert reason.isprintable()
    assert len(reason) < 800


def test_the_reason_names_one_of_several_variants() -> None:
    reason = run(Function({"passed": True}, {"passed": False, "reason": "no"}), "Cpu", "Gpu")

    assert reason == "The function reviews-qa-smoke-test did not pass on the variant Gpu: no."


def test_a_throttled_call_is_repeated_for_a_minute(clock: list[float]) -> None:
    throttled = client_error("TooManyRequestsException", "Rate Exceeded.", "Invoke")

    assert run(Function(throttled, throttled, {"passed": True})) is None
    assert "TooManyRequestsException" in (run(Function(throttled)) or "")
    assert clock[0] < 1000 + 70


def test_a_function_without_time_is_not_called() -> None:
    function = Function({"passed": True})

    assert "within the 0 seconds that the smoke test had left" in (run(function, seconds=0.5) or "")
    assert function.calls == []


@pytest.mark.parametrize("arn", [ARN, f"{ARN}:live", f"{ARN}:7", f"{ARN}:$LATEST", None])
def test_a_function_of_the_stage_is_permitted(arn: str | None) -> None:
    assert_permitted(arn, STAGE)
    assert arn is None or validated(arn, "SmokeTestFunction") == arn


@pytest.mark.parametrize(
    "arn",
    [
        ARN.replace("222222222222", "111111111111"),
        ARN.replace("eu-west-1", "us-east-1"),
        ARN.replace("-qa-", "-production-"),
        f"{ARN}s",
        ARN.replace("reviews-qa-smoke-test", "model-promotion-qa-RunSmokeTest"),
    ],
)
def test_any_other_function_is_refused_with_the_rule(arn: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"whose names end with -qa-smoke-test\. Rename the function"):
        assert_permitted(validated(arn, "SmokeTestFunction"), STAGE)


@pytest.mark.parametrize(
    "value", [None, 7, "", "reviews-qa-smoke-test", ARN + "\n", f"{ARN}:a:b", "arn:aws:iam::222222222222:role/x", [ARN]]
)
def test_anything_but_an_arn_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"SmokeTestFunction is .* that is not the ARN of a Lambda function"):
        validated(value, "SmokeTestFunction")
