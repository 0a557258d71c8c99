"""The members of an invocation, and responses that are streamed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from tests.embedded_aws.support.sagemaker_account import IMAGE, Account, archive, greeter, refused

HEADERS = """
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept, context):
    seen = {
        name: context.get_request_header(0, f"X-Amzn-SageMaker-{name}") for name in ("Custom-Attributes", "Session-Id")
    }
    if seen["Custom-Attributes"]:
        context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", seen["Custom-Attributes"].upper())
    if seen["Session-Id"] == "NEW_SESSION":
        context.set_response_header(0, "X-Amzn-SageMaker-New-Session-Id", "s1; Expires=2026-12-01T00:00:00Z")
    import json
    return json.dumps(seen | {"accept": accept}), "application/json"
"""
STREAM = """
import time
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    def parts():
        for word in data.split():
            if word == "broken": raise ValueError("the model broke")
            if word == "slow": time.sleep(600)
            yield word + " "
    if data == "wrong": raise ValueError("not this")
    return parts(), accept
"""


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("qa", name)


def serve(account: Account, script: str, **request: Any) -> None:
    account.endpoint(account.config(account.model("a", archive({"code/inference.py": script})), **request))


def stream(account: Account, body: str, **request: Any) -> Any:
    return account.runtime.invoke_endpoint_with_response_stream(
        EndpointName=account.name, ContentType="text/plain", Accept="text/plain", Body=body.encode(), **request
    )


def parts_of(response: Any) -> list[bytes]:
    return [event["PayloadPart"]["Bytes"] for event in response["Body"]]


def test_custom_attributes_and_sessions_reach_the_container_and_return(qa: Account) -> None:
    serve(qa, HEADERS)

    response = qa.runtime.invoke_endpoint(
        EndpointName=qa.name, Body=b"x", Accept="text/csv", CustomAttributes="tenant=one", SessionId="NEW_SESSION"
    )

    assert json.loads(response["Body"].read()) == {
        "Custom-Attributes": "tenant=one",
        "Session-Id": "NEW_SESSION",
        "accept": "text/csv",
    }
    assert response["CustomAttributes"] == "TENANT=ONE"
    assert response["NewSessionId"] == "s1; Expires=2026-12-01T00:00:00Z"
    assert "CustomAttributes" not in qa.runtime.invoke_endpoint(EndpointName=qa.name, Body=b"x")


def test_a_response_is_streamed_in_parts(qa: Account) -> None:
    serve(qa, STREAM)

    response = stream(qa, "one two three")

    assert response["ContentType"] == "text/plain"
    assert response["InvokedProductionVariant"] == "AllTraffic"
    assert parts_of(response) == [b"one ", b"two ", b"three "]


def test_a_part_arrives_before_the_next_one_is_generated(qa: Account) -> None:
    serve(qa, STREAM)
    start = time.monotonic()

    first = next(iter(stream(qa, "one slow")["Body"]))

    assert first["PayloadPart"]["Bytes"] == b"one "
    assert time.monotonic() - start < 60


def test_a_response_that_is_not_streamed_by_the_model_is_one_part(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    response = qa.runtime.invoke_endpoint_with_response_stream(
        EndpointName=qa.name, ContentType="application/json", Body=b'"Ada"'
    )

    assert parts_of(response) == [b'"Hello Ada"']


def test_an_error_before_the_first_part_is_a_model_error(qa: Account) -> None:
    serve(qa, STREAM)

    code, message = refused(stream, account=qa, body="wrong")

    assert code == "ModelError"
    assert "not this" in message


@pytest.mark.parametrize(("word", "says"), [("broken", "broke off its response"), ("slow", "in the allotted time")])
def test_an_error_after_the_first_part_ends_the_stream(
    qa: Account, monkeypatch: pytest.MonkeyPatch, word: str, says: str
) -> None:
    monkeypatch.setattr("embedded_aws.services.sagemaker.hosting.changes.STREAMING_SECONDS", 1.0)
    serve(qa, STREAM)

    events = iter(stream(qa, f"one {word}")["Body"])

    assert next(events)["PayloadPart"]["Bytes"] == b"one "
    # botocore drops the ErrorCode of the exception.
    with pytest.raises(EventStreamError, match=rf"\(ModelStreamError\).*{says}"):
        next(events)


def test_streaming_has_a_longer_time_limit_than_a_regular_response(
    qa: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded_aws.services.sagemaker.hosting.changes.INVOCATION_SECONDS", 0.5)
    serve(qa, STREAM.replace("time.sleep(600)", "time.sleep(2)"))

    assert parts_of(stream(qa, "one slow")) == [b"one ", b"slow "]
    with pytest.raises(ClientError, match="timed out"):
        qa.runtime.invoke_endpoint(EndpointName=qa.name, ContentType="text/plain", Accept="text/plain", Body=b"slow")


def test_a_stream_can_target_a_variant_and_a_container(qa: Account) -> None:
    names = ("greet", "shout")
    containers = [
        {"ContainerHostname": each, "Image": IMAGE, "ModelDataUrl": qa.put(f"{each}.tar.gz", greeter(each))}
        for each in names
    ]
    qa.sagemaker.create_model(
        ModelName=qa.name,
        ExecutionRoleArn=qa.role_arn,
        Containers=containers,
        InferenceExecutionConfig={"Mode": "Direct"},
    )
    qa.endpoint(qa.config(qa.name))
    request = {"EndpointName": qa.name, "ContentType": "application/json", "Body": b'"Ada"'}
    invoke = qa.runtime.invoke_endpoint_with_response_stream

    assert parts_of(invoke(**request, TargetContainerHostname="shout")) == [b'"shout Ada"']
    with pytest.raises(ClientError, match="TargetContainerHostname is required"):
        invoke(**request)
    with pytest.raises(ClientError, match="Variant missing not found"):
        invoke(**request, TargetVariant="missing", TargetContainerHostname="shout")


@pytest.mark.parametrize("missing", ["InvokeEndpoint", "InvokeEndpointWithResponseStream"])
def test_streaming_requires_both_actions(qa: Account, missing: str) -> None:
    actions = {"InvokeEndpoint", "InvokeEndpointWithResponseStream"} - {missing}
    principal = {"AWS": f"arn:aws:iam::{qa.id}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    role = qa.role(f"caller-{qa.name}", trust, tuple(f"sagemaker:{action}" for action in sorted(actions)))
    keys = qa.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    caller = clients.client_as_caller("sagemaker-runtime", keys["AccessKeyId"])

    code, message = refused(caller.invoke_endpoint_with_response_stream, EndpointName=qa.name, Body=b"x")

    assert code == "AccessDeniedException"
    assert f"sagemaker:{missing} " in message
