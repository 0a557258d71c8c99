"""Whatever state the endpoint is in, a promotion waits for it, refuses it, or says what became of it."""

from typing import Any

import pytest

from local import hosting
from local.aws import EmbeddedAws
from tests.integration.world import CANNOT_LOAD, QA, SLOW, Lab, Stage, wait_until


def test_an_endpoint_that_sagemaker_patches_is_waited_for(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    hosting.maintain(QA, f"{application}-qa", 6)

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "next"}


def test_an_endpoint_that_has_failed_is_left_alone_and_said_so(lab: Lab, qa: Stage, application: str) -> None:
    deployed = qa.execution_of(lab.train(application, "good")).output
    sagemaker = qa.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName=deployed["endpoint"])
    wait_until(lambda: True if qa.endpoint(application) is None else None, "the deletion")
    broken = make_broken_config(lab, qa, application, deployed)
    sagemaker.create_endpoint(EndpointName=deployed["endpoint"], EndpointConfigName=broken)
    wait_until(lambda: True if status(qa, application) == "Failed" else None, "the failure")

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.error == "PromotionRefusedError"
    assert f"The endpoint {application}-qa is Failed" in (execution.cause or "")
    assert "deleting" in (execution.cause or "")
    assert status(qa, application) == "Failed"
    assert qa.running(application) == []


def test_a_first_look_that_is_stale_is_not_taken_for_a_rollback(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    qa.execution_of(lab.train(application, "good"))
    monkeypatch.setattr(stacks.pace, "endpoint_status_lag", 1.6)

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert execution.states.count("Check endpoint") >= 2


def test_an_endpoint_that_someone_deletes_meanwhile_is_not_made_anew(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "next", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Run smoke test" in qa.states(arn) else None, "the smoke test")

    qa.client("sagemaker").delete_endpoint(EndpointName=f"{application}-qa")
    execution = qa.ended(arn)

    assert execution.error == "RestorationFailed"
    assert "deleted by someone" in (execution.cause or "")
    assert qa.endpoint(application) is None
    assert qa.running(application) == []


def status(qa: Stage, application: str) -> str | None:
    found = qa.endpoint(application)
    return str(found["EndpointStatus"]) if found else None


def make_broken_config(lab: Lab, qa: Stage, application: str, deployed: dict[str, Any]) -> str:
    """A config made by someone's hand, whose model cannot be loaded."""
    key = f"models/{application}/by-hand/model.tar.gz"
    qa.client("s3").put_object(Bucket=qa.bucket, Key=key, Body=lab.artifact("broken", CANNOT_LOAD))
    sagemaker = qa.client("sagemaker")
    good = sagemaker.describe_model(ModelName=deployed["model_name"])
    name = f"{application}-by-hand"
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=good["ExecutionRoleArn"],
        PrimaryContainer={"Image": good["PrimaryContainer"]["Image"], "ModelDataUrl": f"s3://{qa.bucket}/{key}"},
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        ],
    )
    return name
