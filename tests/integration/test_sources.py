"""Sources of promotions: tuning jobs, approved model packages, and models that were created again."""

from __future__ import annotations

from typing import Any

import pytest

from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.approvals import signal, waiting_approval
from tests.support.events import event
from tests.support.settings import configure
from tests.support.sources import approve, run_auto_ml, tags, tune
from tests.support.world import IMAGE, Lab, Stage


def register(lab: Lab, application: str, label: str) -> str:
    """Register a version that responds {"label": <label>} and is pending approval; return its ARN."""
    sagemaker = lab.client("sagemaker")
    groups = sagemaker.list_model_package_groups(NameContains=application)["ModelPackageGroupSummaryList"]
    if not groups:
        of_group = tags(application, lab.suite(application, "contains(['v1', 'v2'], label)"))
        sagemaker.create_model_package_group(
            ModelPackageGroupName=application, Tags=[{"Key": key, "Value": value} for key, value in of_group.items()]
        )
    url = lab.upload(f"{application}/{label}/model.tar.gz", lab.artifact(label))
    return str(
        sagemaker.create_model_package(
            ModelPackageGroupName=application,
            InferenceSpecification={"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]},
        )["ModelPackageArn"]
    )


def test_a_completed_tuning_job_is_promoted_but_not_its_training_jobs(lab: Lab, qa: Stage, application: str) -> None:
    suite = lab.suite(application, "label == 'x'")
    configure(qa, application, SmokeTest="skip")

    tuning = tune(lab, application, tags(application, suite))
    execution = qa.execution_of(f":hyper-parameter-tuning-job/{tuning}")

    jobs = lab.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuning
    )["TrainingJobSummaries"]
    best = next(job for job in jobs if job["TunedHyperParameters"] == {"rate": "0.5"})
    of_jobs = [qa.execution_of(job["TrainingJobName"]) for job in jobs]
    assert "Create model" in execution.states, execution.cause
    model = qa.client("sagemaker").list_models(NameContains=application)["Models"][0]
    source = {t["Key"]: t["Value"] for t in qa.client("sagemaker").list_tags(ResourceArn=model["ModelArn"])["Tags"]}
    assert source["model-promotion:source"] == best["TrainingJobArn"]
    assert {each.states[-1] for each in of_jobs} == {"Not for promotion"}
    assert all("belongs to a tuning job" in each.output["reason"] for each in of_jobs)


def test_the_best_candidate_of_an_automl_job_is_promoted_by_an_input(lab: Lab, qa: Stage, application: str) -> None:
    job = run_auto_ml(lab, tags(application, lab.suite(application, "label == 'best'")), [lab.artifact("best")])

    execution = qa.promote({"automl_job": job})

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "best"}
    live = qa.live(application)
    assert live is not None
    assert live["source_kind"] == "automl_job"


def test_the_approved_package_is_promoted_rather_than_the_newest(lab: Lab, qa: Stage, application: str) -> None:
    first, _ = register(lab, application, "v1"), register(lab, application, "v2")

    approve(lab, first)
    execution = qa.execution_of(first)

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "v1"}
    live = qa.live(application)
    assert live is not None
    assert live["source_arn"] == first
    assert len(qa.history(application)) == 1


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval"])
def test_a_package_whose_approval_was_withdrawn_before_its_event_is_not_for_promotion(
    lab: Lab, qa: Stage, application: str, status: str
) -> None:
    package = register(lab, application, "v1")
    approve(lab, package, status)
    late = {"ModelPackageArn": package, "ModelApprovalStatus": "Approved"}

    execution = qa.promote(event("SageMaker Model Package State Change", late))

    assert execution.states[-1] == "Not for promotion"
    assert f"the approval status {status}" in execution.output["reason"]
    assert qa.endpoint(application) is None


def test_an_edit_of_the_metadata_of_an_approved_package_starts_nothing(lab: Lab, qa: Stage, application: str) -> None:
    package = register(lab, application, "v1")
    approve(lab, package)
    assert qa.execution_of(package).status == "SUCCEEDED"

    lab.client("sagemaker").update_model_package(ModelPackageArn=package, CustomerMetadataProperties={"typo": "fixed"})
    ignored = qa.execution_of(package, number=1)

    assert ignored.states[-1] == "Not for promotion"
    assert 'an update of "CustomerMetadataProperties", not an approval' in ignored.output["reason"]


def test_a_version_has_values_of_its_own_in_its_metadata(lab: Lab, qa: Stage, application: str) -> None:
    package = register(lab, application, "v1")
    suite = lab.suite(application, "label == 'v2'")
    lab.client("sagemaker").update_model_package(
        ModelPackageArn=package, CustomerMetadataProperties={"model-promotion:smoke-test": suite}
    )

    approve(lab, package)
    failed = qa.execution_of(package, number=0)

    # The suite of the group accepts v1, the suite of the version does not.
    assert failed.error == "SmokeTestFailed"


def test_the_life_cycle_of_a_package_approves_it_for_the_stage_that_names_it(
    lab: Lab, qa: Stage, application: str
) -> None:
    staging = {"Stage": "Staging", "StageStatus": "Approved"}
    configure(qa, application, Sources={"ModelPackageGroups": [application], "ModelLifeCycle": staging})
    package = register(lab, application, "v1")
    update = lab.client("sagemaker").update_model_package

    update(ModelPackageArn=package, ModelLifeCycle=staging | {"StageStatus": "PendingApproval"})
    waiting = qa.execution_of(package)
    update(ModelPackageArn=package, ModelLifeCycle=staging)
    promoted = qa.execution_of(package, number=1)

    assert waiting.states[-1] == "Not for promotion"
    assert "the life cycle stage Staging and the status PendingApproval" in waiting.output["reason"]
    assert promoted.status == "SUCCEEDED", promoted.cause
    assert qa.answer(application) == {"label": "v1"}


def test_a_manual_promotion_of_a_rejected_package_is_refused(lab: Lab, qa: Stage, application: str) -> None:
    package = register(lab, application, "v1")
    approve(lab, package, "Rejected")

    execution = qa.promote({"model_package": package})

    assert execution.error == "PromotionRefusedError"
    assert "has the approval status Rejected" in (execution.cause or "")


def test_an_artifact_overwritten_after_registration_is_refused(lab: Lab, qa: Stage, application: str) -> None:
    s3 = lab.client("s3")
    bucket, key = lab.upload(f"{application}/model.tar.gz", lab.artifact("v1")).removeprefix("s3://").split("/", 1)
    registered = s3.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    package = lab.client("sagemaker").create_model_package(
        ModelPackageName=application,
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{key}", "ModelDataETag": registered}]
        },
    )["ModelPackageArn"]
    lab.upload(key, lab.artifact("forged"))

    execution = qa.promote({"model_package": package, "application": application})

    assert execution.error == "PromotionRefusedError"
    assert f"not {registered}" in (execution.cause or "")
    assert "Create model" not in execution.states


def put(stage: Stage, key: str, body: bytes) -> str:
    stage.client("s3").put_object(Bucket=stage.bucket, Key=key, Body=body, IfNoneMatch="*")
    return f"s3://{stage.bucket}/{key}"


def test_a_package_is_promoted_to_production_with_an_approval_for_its_arn(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    url = put(qa, f"models/{application}/model.tar.gz", lab.artifact("v1"))
    suite = {"cases": [{"name": "answers", "body": {}, "expect": "label == 'v1'"}]}
    configure(production, application, SmokeTest=suite)
    package = qa.client("sagemaker").create_model_package(
        ModelPackageName=application,
        InferenceSpecification={"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]},
    )["ModelPackageArn"]

    asked = production.promote({"model_package": package, "application": application})
    assert asked.states[-1] == "Approval requested", asked.cause
    waiting = waiting_approval(production, application)
    signal(production, waiting["AutomationExecutionId"], "Approve", "fine")
    execution = production.execution_of(waiting["AutomationExecutionId"])

    assert execution.status == "SUCCEEDED", execution.cause
    assert production.answer(application) == {"label": "v1"}
    assert waiting["Parameters"]["SourceName"] == [package]


def test_a_model_created_again_after_the_approval_request_is_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    model = qa.execution_of(lab.train(application, "tested")).output["model_name"]
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    sagemaker = qa.client("sagemaker")
    described = sagemaker.describe_model(ModelName=model)
    tags = sagemaker.list_tags(ResourceArn=described["ModelArn"])["Tags"]
    sagemaker.delete_model(ModelName=model)
    container = {key: described["PrimaryContainer"][key] for key in ("Image", "ModelDataUrl")}
    container["Environment"] = {"SEND_TO": "somebody"}
    sagemaker.create_model(
        ModelName=model, ExecutionRoleArn=described["ExecutionRoleArn"], PrimaryContainer=container, Tags=tags
    )

    signal(production, waiting, "Approve", "fine")
    execution = production.execution_of(waiting)

    assert execution.error == "PromotionRefusedError"
    assert "so it is another model of that name" in (execution.cause or "")
    assert production.endpoint(application) is None


def test_a_package_whose_approval_is_withdrawn_during_the_copy_does_not_go_live(
    lab: Lab, qa: Stage, application: str
) -> None:
    package = register(lab, application, "v1")

    def take_back(execution: Any, state: str) -> None:
        if state == "Copy artifacts" and application in execution.execution_input:
            approve(lab, package, "Rejected")

    with step_functions.watched(take_back):
        approve(lab, package)
        execution = qa.execution_of(package)

    assert execution.states[-1] == "Rejected", execution.cause
    assert f"The model package {package} has the approval status Rejected" in execution.output["reason"]
    assert "Update endpoint" not in execution.states
    assert qa.endpoint(application) is None
    assert qa.live(application) is None
    assert qa.running(application) == []


def test_a_rollback_to_a_package_whose_approval_was_withdrawn_is_rejected(
    lab: Lab, qa: Stage, application: str
) -> None:
    packages = [register(lab, application, label) for label in ("v1", "v2")]
    for package in packages:
        approve(lab, package)
        assert qa.execution_of(package).states[-1] == "Promoted"
    approve(lab, packages[0], "Rejected")

    back = qa.promote({"rollback": f"{application}-qa"})

    assert back.states[-1] == "Rejected", back.cause
    assert f"The model package {packages[0]} has the approval status Rejected" in back.output["reason"]
    assert qa.answer(application) == {"label": "v2"}
    assert qa.running(application) == []


def test_a_package_deleted_during_the_copy_does_not_go_live(lab: Lab, qa: Stage, application: str) -> None:
    package = register(lab, application, "v1")

    def delete(execution: Any, state: str) -> None:
        if state == "Copy artifacts" and application in execution.execution_input:
            lab.client("sagemaker").delete_model_package(ModelPackageName=package)

    with step_functions.watched(delete):
        approve(lab, package)
        execution = qa.execution_of(package)

    assert execution.states[-1] == "Rejected", execution.cause
    assert "no longer exists in its account" in execution.output["reason"]
    assert qa.endpoint(application) is None
    assert qa.running(application) == []


def test_packages_approved_out_of_order_end_with_the_newer_one_live(lab: Lab, qa: Stage, application: str) -> None:
    older, newer = register(lab, application, "v1"), register(lab, application, "v2")
    approve(lab, newer)
    assert qa.execution_of(newer).states[-1] == "Promoted"
    before = qa.endpoint(application)

    approve(lab, older)
    execution = qa.execution_of(older)

    assert execution.states[-1] == "Rejected", execution.cause
    assert "newer than this candidate" in execution.output["reason"]
    assert qa.endpoint(application) == before
    assert qa.answer(application) == {"label": "v2"}
    assert len(qa.history(application)) == 1
