import io
import json
import urllib.request
from typing import Any

import boto3
import pytest

from promotion.endpoint.smoke_test import SKIP, validated
from promotion.errors import PromotionRefusedError
from steps import run_smoke_test
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, make_endpoint


@pytest.fixture(autouse=True)
def runtime(moto: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_smoke_test, "runtime", boto3.client("sagemaker-runtime"))


def respond_with(moto_url: str, *bodies: str) -> None:
    """Make the endpoint respond with `bodies`, one after the other."""
    results = [{"Body": body, "ContentType": "application/json"} for body in bodies]
    content = json.dumps({"region": "eu-west-1", "results": results}).encode()
    request = urllib.request.Request(f"{moto_url}/moto-api/static/sagemaker/endpoint-results", content)  # noqa: S310
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310


ARN = "arn:aws:lambda:eu-west-1:123456789012:function:reviews-qa-smoke-test"
SETTINGS = json.dumps({"SmokeTestFunction": ARN})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The variants with which the function of the settings is called; it does not pass."""
    called: list[str] = []

    def invoke(function: str, payload: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert function == ARN
        assert 0 < seconds <= 840
        called.append(payload["variant"])
        return {"Payload": io.BytesIO(b'{"passed": false, "reason": "no"}')}

    monkeypatch.setattr(run_smoke_test, "_invoke", invoke)
    return called


def run(*cases: dict[str, Any], config: str = "new", **event: str) -> dict[str, Any]:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="stage", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    suite = validated({"cases": [{"name": "answers", "body": {}, **case} for case in cases]}, "a test")
    s3.put_object(Bucket="stage", Key="suite.json", Body=json.dumps(suite).encode())
    promotion = {"smoke_test": "s3://stage/suite.json", "endpoint": ENDPOINT, "endpoint_config_name": config}
    whole = {"promotion": promotion, "account": "123456789012", "bucket": "stage", **event}
    return run_smoke_test.handler(whole, CONTEXT)


def test_the_function_of_the_settings_is_called_after_the_suite_has_passed(moto_url: str, calls: list[str]) -> None:
    make_endpoint("new")
    respond_with(moto_url, '{"label": "good"}', '{"label": "bad"}')

    verdict = run({"expect": "label == 'good'"}, settings=SETTINGS)

    assert (verdict["passed"], verdict["invocations"]) == (False, 1)
    assert verdict["reason"] == "The function reviews-qa-smoke-test did not pass: no."
    assert len(calls) == 1


def test_the_function_is_not_called_after_a_wrong_response(moto_url: str, calls: list[str]) -> None:
    make_endpoint("new")
    respond_with(moto_url, '{"label": "bad"}')

    verdict = run({"expect": "label == 'good'"}, settings=SETTINGS)

    assert "cases[0]" in verdict["reason"]
    assert calls == []


def test_a_skipped_suite_does_not_skip_the_function(calls: list[str]) -> None:
    make_endpoint("new")
    promotion = {"smoke_test": SKIP, "endpoint": ENDPOINT, "endpoint_config_name": "new"}

    verdict = run_smoke_test.handler(
        {"promotion": promotion, "account": "123456789012", "bucket": "stage", "settings": SETTINGS}, CONTEXT
    )

    assert (verdict["passed"], verdict["invocations"]) == (False, 0)
    assert len(calls) == 1


def test_expected_responses_pass(moto_url: str) -> None:
    make_endpoint("new")
    respond_with(moto_url, '{"label": "good"}')

    verdict = run({"expect": "label == 'good'"})

    assert verdict["passed"], verdict
    assert (verdict["invocations"], verdict["errors"]) == (1, 0)


def test_an_unexpected_response_fails_the_smoke_test(moto_url: str) -> None:
    make_endpoint("new")
    respond_with(moto_url, '{"label": "bad"}')

    verdict = run({"expect": "label == 'good'"})

    assert not verdict["passed"]
    assert "cases[0]" in verdict["reason"]
    assert "in the output of Run smoke test" in verdict["reason"]
    assert "label == 'good'" in verdict["response"]


def test_a_skipped_smoke_test_sends_no_requests() -> None:
    verdict = run_smoke_test.handler(
        {
            "promotion": {"smoke_test": SKIP, "endpoint": ENDPOINT, "endpoint_config_name": "new"},
            "account": "123456789012",
            "bucket": "stage",
        },
        CONTEXT,
    )

    assert verdict["passed"]
    assert verdict["invocations"] == 0


@pytest.mark.parametrize("found", [("by-hand", "new"), ("new", "by-hand")])
def test_the_endpoint_is_compared_before_and_after_the_smoke_test(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, found: tuple[str, str]
) -> None:
    make_endpoint("new")
    respond_with(moto_url, '{"label": "good"}')
    configs = iter(found)
    monkeypatch.setattr(run_smoke_test, "describe_target", lambda *_: {"EndpointConfigName": next(configs)})

    with pytest.raises(PromotionRefusedError, match="changed it to by-hand"):
        run({"expect": "label == 'good'"})


def test_a_smoke_test_of_another_config_than_the_promoted_one_does_not_count(moto_url: str) -> None:
    make_endpoint("by-hand")
    respond_with(moto_url, '{"label": "good"}')

    with pytest.raises(PromotionRefusedError, match="changed it to by-hand"):
        run({"expect": "label == 'good'"})
