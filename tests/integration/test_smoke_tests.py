"""Smoke tests that speak like the clients of a model, on the whole state machine."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.lambda_functions import create_role, zipped
from tests.support.settings import configure, register
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
VARIANTS: list[dict[str, Any]] = [
    {"VariantName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1} for name in ("Cpu", "Gpu")
]
SEVERAL = {"ProductionVariants": VARIANTS}
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


REPORTING = """
import json, os
import boto3
def handler(event, context):
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=event["endpoint"], TargetVariant=event["variant"], ContentType="application/json", Body=b"{}"
    )
    label = json.loads(answer["Body"].read())["label"]
    if label == "broken":
        raise ValueError("no labels at all")
    reason = f"{event['variant']} says {label} of {event['candidate']['source_name'][:4]}, {event['seconds'] > 60}"
    return {"passed": label == "good", "reason": reason}
"""


def test_a_function_of_the_team_decides(lab: Lab, qa: Stage, application: str) -> None:
    arn = function(qa, f"{application}-qa-smoke-test", REPORTING)
    register(qa, application, SmokeTestFunction=arn)

    good = qa.execution_of(lab.train(application, "good"))
    poor = qa.execution_of(lab.train(application, "poor"))
    broken = qa.execution_of(lab.train(application, "broken"))

    assert good.status == "SUCCEEDED", good.cause
    assert (poor.error, broken.error) == ("SmokeTestFailed", "SmokeTestFailed")
    name = f"{application}-qa-smoke-test"
    assert f"failed: The function {name} did not pass: AllTraffic says poor of " in (poor.cause or "")
    assert f"The function {name} did not pass: it raised ValueError: no labels at all." in (broken.cause or "")
    assert qa.answer(application) == {"label": "good"}


def test_a_function_of_another_name_is_refused_before_anything_is_created(
    lab: Lab, qa: Stage, application: str
) -> None:
    arn = f"arn:aws:lambda:eu-west-1:{qa.account}:function:{application}"
    register(qa, application, SmokeTestFunction=arn)

    execution = qa.execution_of(lab.train(application, "one"))

    assert execution.error == "InvalidRequestError"
    assert "whose names end with -qa-smoke-test. Rename the function." in (execution.cause or "")
    assert "Create model" not in execution.states


def test_the_stage_may_call_only_functions_with_the_name_of_a_smoke_test(qa: Stage, application: str) -> None:
    caller, arn = qa.trying_as("RunSmokeTestFunction", "lambda"), f"arn:aws:lambda:eu-west-1:{qa.account}:function"

    for name in (f"{application}-qa-smoke-tests", f"{application}-qa", f"{application}-production-smoke-test"):
        with pytest.raises(ClientError, match="lambda:InvokeFunction"):
            caller.invoke(FunctionName=f"{arn}:{name}", Payload=b"{}")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        caller.invoke(FunctionName=f"{arn}:{application}-qa-smoke-test:live", Payload=b"{}")


def function(stage: Stage, name: str, code: str) -> str:
    """Create a function in the account of a stage, and return its ARN."""
    role = create_role(name, stage.account)
    created = stage.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="code.handler",
        Code={"ZipFile": zipped({"code.py": code})},
        Timeout=30,
    )
    return str(created["FunctionArn"])


def test_a_variant_can_serve_another_model_of_the_account(lab: Lab, qa: Stage, application: str) -> None:
    register(qa, application)
    proven = qa.execution_of(lab.train(application, "proven")).output["model_name"]
    candidate, other = (each | {"InitialVariantWeight": weight} for each, weight in zip(VARIANTS, (1, 9), strict=True))
    variants = [candidate, other | {"ModelName": proven}]
    cases = [
        {"name": f"on {name}", "expect": f"label == '{label}'", "target_variant": name}
        for name, label in (("Cpu", "next"), ("Gpu", "proven"))
    ]
    scaling = {"MinCapacity": 1, "MaxCapacity": 3}
    configure(
        qa,
        application,
        EndpointConfig={"ProductionVariants": variants},
        SmokeTest=suite(*cases),
        Autoscaling=scaling,
    )

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    endpoint = qa.endpoint(application) or {}
    config = qa.client("sagemaker").describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    served = {each["VariantName"]: each["ModelName"] for each in config["ProductionVariants"]}
    assert served == {"Cpu": execution.output["model_name"], "Gpu": proven}
    assert {each["VariantName"]: each["CurrentWeight"] for each in endpoint["ProductionVariants"]} == {
        "Cpu": 1,
        "Gpu": 9,
    }
    targets = qa.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker",
        ResourceIds=[f"endpoint/{application}-qa/variant/{name}" for name in ("AllTraffic", "Cpu", "Gpu")],
    )["ScalableTargets"]
    assert sorted(each["ResourceId"].rpartition("/")[2] for each in targets) == ["Cpu", "Gpu"]
    assert {(each["MinCapacity"], each["MaxCapacity"]) for each in targets} == {(1, 3)}
    rolled_back = qa.promote({"rollback": f"{application}-qa"})
    assert rolled_back.status == "SUCCEEDED", rolled_back.cause
    assert qa.answer(application) == {"label": "proven"}


def test_a_model_that_does_not_exist_fails_the_promotion_before_anything_is_created(
    lab: Lab, qa: Stage, application: str
) -> None:
    variants = [VARIANTS[0], VARIANTS[1] | {"ModelName": f"{application}-missing"}]
    register(qa, application, EndpointConfig={"ProductionVariants": variants})

    execution = qa.execution_of(lab.train(application, "one"))

    assert execution.error == "InvalidRequestError"
    assert "ProductionVariants[1].ModelName is" in (execution.cause or "")
    assert "this account has no such model" in (execution.cause or "")
    assert "Create model" not in execution.states
