"""A call whose response is lost after it was executed is recognized when it is repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from promotion.copying.copier import MULTIPART_THRESHOLD, Copier
from promotion.copying.pinning import pin
from promotion.copying.references import Reference, targets
from tests.support.approvals import automation_ended, signal, waiting_approval
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.world import DEV, QA, Lab, Stage

# The calls of a successful promotion, by role, service and operation. The state machine itself writes the record and
# publishes the event.
MAKES = [
    ("PlanCopyFunctionRole", "dynamodb", "PutItem"),
    ("CopyArtifactsFunctionRole", "s3", "CopyObject"),
    ("CreateModelFunctionRole", "sagemaker", "CreateModel"),
    ("CreateEndpointConfigFunctionRole", "sagemaker", "CreateEndpointConfig"),
    ("AcquireEndpointLockFunctionRole", "dynamodb", "PutItem"),
    ("InspectEndpointFunctionRole", "dynamodb", "TransactWriteItems"),
    ("PromotionRole", "dynamodb", "TransactWriteItems"),
    ("PromotionRole", "events", "PutEvents"),
]
CREATES = [*MAKES, ("UpdateEndpointFunctionRole", "sagemaker", "CreateEndpoint")]
UPDATES = [*MAKES, ("UpdateEndpointFunctionRole", "sagemaker", "UpdateEndpoint")]


@contextlib.contextmanager
def lost(stage: Stage, calls: list[tuple[str, str, str]]) -> Iterator[None]:
    """Lose the first response to each of these calls, and require that each is made."""
    with contextlib.ExitStack() as stack:
        watches = {
            call: stack.enter_context(faults.injected(Call(stage.role(call[0]), call[1], call[2]), Kind.LOST_DONE))
            for call in calls
        }
        yield
    assert [call for call, watch in watches.items() if not watch.hits] == []


def made(stage: Stage, application: str) -> list[int]:
    """Return the number of models and endpoint configs of an application."""
    sagemaker, name = stage.client("sagemaker"), f"{application}-{stage.name}-"
    models = sagemaker.list_models(NameContains=name)["Models"]
    return [len(models), len(sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"])]


def test_a_promotion_that_loses_every_response_once_creates_everything_once(
    lab: Lab, qa: Stage, application: str
) -> None:
    for label, calls in (("first", CREATES), ("second", UPDATES)):
        with lost(qa, calls):
            execution = qa.execution_of(lab.train(application, label))

        assert execution.states[-1] == "Promoted", execution.cause
        assert qa.answer(application) == {"label": label}

    endpoint, live = qa.endpoint(application), qa.live(application)
    assert endpoint is not None
    assert live is not None
    assert endpoint["EndpointConfigName"] == live["endpoint_config_name"]
    assert made(qa, application) == [2, 2]
    assert [record["status"] for record in qa.history(application)] == ["Succeeded", "Succeeded"]
    assert qa.running(application) == []


def test_a_rollback_that_loses_its_responses_restores_the_endpoint(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An endpoint is gone by the time that its deletion is asked for again.
    monkeypatch.setattr(stacks.pace, "endpoint_change", 0.0)
    written = [("PromotionRole", "dynamodb", "TransactWriteItems")]
    with lost(qa, [*written, ("RollBackEndpointFunctionRole", "sagemaker", "DeleteEndpoint")]):
        first = qa.execution_of(lab.train(application, "first", expect="label == 'other'"))

    assert first.error == "SmokeTestFailed", first.cause
    assert qa.endpoint(application) is None

    assert qa.execution_of(lab.train(application, "good")).status == "SUCCEEDED"
    with lost(qa, [*written, ("RollBackEndpointFunctionRole", "sagemaker", "UpdateEndpoint")]):
        second = qa.execution_of(lab.train(application, "second", expect="label == 'other'"))

    assert second.error == "SmokeTestFailed", second.cause
    assert qa.answer(application) == {"label": "good"}
    assert [record["status"] for record in qa.history(application)] == ["Failed", "Succeeded", "Failed"]
    assert qa.running(application) == []


def test_an_approval_whose_response_is_lost_is_requested_once(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    asks = [
        ("RequestApprovalFunctionRole", "ssm", "StartAutomationExecution"),
        ("RequestApprovalFunctionRole", "dynamodb", "PutItem"),
        ("RequestApprovalFunctionRole", "dynamodb", "UpdateItem"),
    ]
    with lost(production, asks):
        promoted = qa.execution_of(lab.train(application, "good")).output
        waiting = waiting_approval(production, application)

    ssm = production.client("ssm")
    pages = ssm.get_paginator("describe_automation_executions").paginate()
    found = [each["AutomationExecutionId"] for page in pages for each in page["AutomationExecutionMetadataList"]]
    executions = [ssm.get_automation_execution(AutomationExecutionId=each)["AutomationExecution"] for each in found]
    of_ours = [each for each in executions if each["Parameters"].get("SourceName") == [promoted["model_name"]]]
    assert [each["AutomationExecutionId"] for each in of_ours] == [waiting["AutomationExecutionId"]]
    signal(production, waiting["AutomationExecutionId"], "Approve", "yes")
    assert automation_ended(production, waiting["AutomationExecutionId"]) == "Success"
    assert production.answer(application) == {"label": "good"}


def test_a_large_copy_that_loses_its_responses_is_complete_and_leaves_no_upload(
    lab: Lab, qa: Stage, application: str
) -> None:
    uri = lab.upload(f"{application}/model.tar.gz", bytes(MULTIPART_THRESHOLD))
    reference = Reference((0, "ModelDataUrl"), uri, is_prefix=False)
    _, (placed,) = targets(reference, pin(lab.client("s3"), reference, DEV), f"models/{application}/digest")
    operations = ("CreateMultipartUpload", "UploadPartCopy", "CompleteMultipartUpload")

    with lost(qa, [("CopyArtifactsFunctionRole", "s3", operation) for operation in operations]):
        copier = Copier(qa.acting_as("CopyArtifactsFunction", "s3"), qa.bucket, QA)
        summary = copier.copy([placed], seconds=PATIENCE_SECONDS)

    s3 = qa.client("s3")
    head = s3.head_object(Bucket=qa.bucket, Key=placed.target, ChecksumMode="ENABLED")
    assert (head["ContentLength"], head[f"Checksum{placed.checksum_algorithm}"]) == (placed.size, placed.checksum)
    assert (summary.copied, summary.already_present) == (1, 0)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=qa.bucket, Prefix=placed.target)
    versions = s3.list_object_versions(Bucket=qa.bucket, Prefix=placed.target)
    assert len(versions["Versions"]) == 1
