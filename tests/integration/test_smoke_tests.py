"""Smoke tests that speak like the clients of a model, on the whole state machine."""

from __future__ import annotations

from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support.settings import register
from tests.support.world import Lab, Stage

# Answers in the format that the client accepts, with what it has sent.
SPEAKS = """
import json, os
def model_fn(model_dir):
    with open(os.path.join(model_dir, "label.txt")) as file:
        return file.read()
def transform_fn(label, data, content_type, accept, context):
    header = lambda name: context.get_request_header(0, f"X-Amzn-SageMaker-{name}")
    if accept == "text/csv":
        return "0.98,0.01", "text/csv; charset=utf-8"
    if accept == "application/jsonlines":
        return '{"label": "a"}\\n{"label": "b"}\\n', accept
    if accept == "text/event-stream":
        def events():
            for text in ("Par", "is"):
                yield "data: " + json.dumps({"choices": [{"delta": {"content": text}}]}) + "\\n\\n"
            yield "data: [DONE]\\n\\n"
        return events(), accept
    if accept == "text/html":
        return "<!doctype html><title>502 Bad Gateway</title>", accept
    return json.dumps({"attributes": header("Custom-Attributes"), "session": header("Session-Id")}), accept
"""
SEVERAL = {
    "ProductionVariants": [
        {"VariantName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1} for name in ("Cpu", "Gpu")
    ]
}
CASES: list[dict[str, Any]] = [
    {"name": "CSV", "accept": "text/csv", "expect": "[0][0] > `0.9`"},
    {"name": "JSON Lines", "accept": "application/jsonlines", "expect": "[1].label == 'b'"},
    {"name": "a stream", "accept": "text/event-stream", "stream": True, "expect": "text == 'Paris'"},
    {"name": "attributes", "custom_attributes": "tenant=one", "expect": "attributes == 'tenant=one'"},
    {"name": "a session", "session_id": "NEW_SESSION", "target_variant": "Gpu", "expect": "session == 'NEW_SESSION'"},
]


@pytest.fixture(autouse=True)
def pace(stacks: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks.pace, "endpoint_change", 0.3)


def suite(*cases: dict[str, Any]) -> dict[str, Any]:
    return {"cases": [{"body": {}, **case} for case in cases]}


def test_a_smoke_test_speaks_like_a_client_with_each_variant(lab: Lab, qa: Stage, application: str) -> None:
    register(qa, application, EndpointConfig=SEVERAL, SmokeTest=suite(*CASES))

    execution = qa.execution_of(lab.train(application, "one", script=SPEAKS))

    assert execution.status == "SUCCEEDED", execution.cause
    # Each of four cases on both variants, and one case on the variant that it names.
    assert execution.output["smoke_test_invocations"] == 9
    assert execution.output["smoke_test_errors"] == 0


def test_an_unusual_response_is_explained_in_the_cause(lab: Lab, qa: Stage, application: str) -> None:
    case = {"name": "answers", "accept": "text/html", "expect": "label == 'one'"}
    register(qa, application, EndpointConfig=SEVERAL, SmokeTest=suite(case))

    execution = qa.execution_of(lab.train(application, "one", script=SPEAKS))

    assert execution.error == "SmokeTestFailed"
    assert "cases[0] on the variant " in (execution.cause or "")
    assert "The response is an HTML page" in (execution.cause or "")
    assert "502" not in (execution.cause or "")
    assert qa.endpoint(application) is None


def test_a_case_that_the_endpoint_refuses_fails_the_promotion_before_anything_is_created(
    lab: Lab, qa: Stage, application: str
) -> None:
    register(qa, application, SmokeTest=suite({"name": "one", "expect": "label", "target_variant": "Cpu"}))

    execution = qa.execution_of(lab.train(application, "one"))

    assert execution.error == "InvalidRequestError"
    assert "the target_variant 'Cpu', but the endpoint has the production variants AllTraffic." in (
        execution.cause or ""
    )
    assert "Create model" not in execution.states
