"""Superseded resources are removed, required ones are kept, and the live model is never affected."""

from __future__ import annotations

import json

from tests.support.components import components, hosted_by
from tests.support.retention import keep, of, promoted, removes, there
from tests.support.settings import configure
from tests.support.waiting import wait_until
from tests.support.world import Lab, Stage

FAILED_TO_DELETE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "sagemaker:DeleteModel", "Resource": "*"}],
}


def test_a_rollback_and_a_rollback_of_the_rollback_with_retention_at_two_in_between(
    lab: Lab, qa: Stage, application: str
) -> None:
    keep(qa, application, 2)
    job = lab.train(application, "first")
    first = qa.execution_of(job).output
    second = promoted(lab, qa, application, "second")
    assert there(qa, application) == of(first, second)

    third = promoted(lab, qa, application, "third")
    assert there(qa, application) == of(second, third)

    back = qa.promote({"rollback": f"{application}-qa"})
    assert back.status == "SUCCEEDED", back.cause
    assert qa.answer(application) == {"label": "second"}
    forth = qa.promote({"rollback": f"{application}-qa"})
    assert forth.status == "SUCCEEDED", forth.cause
    assert qa.answer(application) == {"label": "third"}
    assert there(qa, application) == of(second, third)

    too_far = qa.promote({"rollback": f"{application}-qa", "to": first["model_name"]})
    assert too_far.error == "InvalidInputError"
    assert "Retention keeps only the newest" in (too_far.cause or "")

    # Removed resources are created again on request; here, the candidate is too old by now.
    again = qa.promote({"training_job": job})
    assert again.states[-1] == "Rejected", again.cause
    assert there(qa, application) == of(first, second, third)
    versions = qa.client("s3").list_object_versions(Bucket=qa.bucket, Prefix=f"models/{application}/{first['digest']}/")
    assert len(versions["Versions"]) == 2 * len(versions["DeleteMarkers"])
    assert [item for item in qa.items("removal") if application in item["key"]] == []


def test_only_the_last_failure_leaves_its_artifacts(lab: Lab, qa: Stage, application: str) -> None:
    live = promoted(lab, qa, application, "live")

    failures = [
        qa.execution_of(lab.train(application, label, expect="label == 'other'")) for label in ("first", "second")
    ]

    assert [each.error for each in failures] == ["SmokeTestFailed", "SmokeTestFailed"]
    _, last = failed = [record for record in qa.history(application) if record["status"] == "Failed"]
    assert len(failed) == 2
    assert there(qa, application) == of(live, last)
    assert qa.answer(application) == {"label": "live"}


def test_referenced_resources_are_kept_and_a_failed_removal_is_repeated_by_the_next_promotion(
    lab: Lab, qa: Stage, application: str
) -> None:
    keep(qa, application, 2)
    first = promoted(lab, qa, application, "first")
    sagemaker, iam = qa.client("sagemaker"), qa.client("iam")
    made = sagemaker.describe_model(ModelName=first["model_name"])
    sagemaker.create_model(
        ModelName=f"{application}-of-a-colleague",
        ExecutionRoleArn=made["ExecutionRoleArn"],
        PrimaryContainer={key: made["PrimaryContainer"][key] for key in ("Image", "ModelDataUrl")},
    )
    second = promoted(lab, qa, application, "second")
    newer = sagemaker.describe_model(ModelName=second["model_name"])["PrimaryContainer"]
    containers = [{key: newer[key] for key in ("Image", "ModelDataUrl")}]
    package = sagemaker.create_model_package(
        ModelPackageName=application, InferenceSpecification={"Containers": containers}
    )["ModelPackageArn"]
    sagemaker.create_model(
        ModelName=f"{application}-of-a-package",
        ExecutionRoleArn=made["ExecutionRoleArn"],
        PrimaryContainer={"ModelPackageName": package},
    )
    role = qa.physical_id("RemoveSupersededModelsFunctionRole")

    iam.put_role_policy(RoleName=role, PolicyName="broken", PolicyDocument=json.dumps(FAILED_TO_DELETE))
    try:
        third = promoted(lab, qa, application, "third")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="broken")
    halfway = there(qa, application)
    previewed = qa.promote({"rollback": f"{application}-qa", "preview": True}).output["remove"]
    fourth = promoted(lab, qa, application, "fourth")
    after = there(qa, application)

    assert qa.answer(application) == {"label": "fourth"}
    # The config that refers to the model went before the model could not.
    assert halfway["configs"] == {second["endpoint_config_name"], third["endpoint_config_name"]}
    assert first["model_name"] in halfway["models"]
    others = {f"{application}-of-a-colleague", f"{application}-of-a-package"}
    assert after["models"] == {third["model_name"], fourth["model_name"], *others}
    assert after["configs"] == {third["endpoint_config_name"], fourth["endpoint_config_name"]}
    # The colleagues' models are made of the artifacts of the first and, by a package, of the second.
    assert after["digests"] == {first["digest"], second["digest"], third["digest"], fourth["digest"]}
    assert (previewed["models"], previewed["artifacts"]) == ([first["model_name"]], [])


def test_a_promotion_waits_for_the_removal_of_resources_that_it_could_use(
    lab: Lab, qa: Stage, application: str
) -> None:
    job = lab.train(application, "good", tagged=False)
    configure(qa, application, SmokeTest="skip")
    ends_at = removes(qa, application, 4)

    execution = qa.promote({"training_job": job, "application": application})

    assert execution.status == "SUCCEEDED", execution.cause
    assert first_entered(qa, execution.arn, "Check quality gate") > ends_at - 1


def first_entered(stage: Stage, arn: str, state: str) -> float:
    """Return when an execution first entered a state, in seconds since 1970."""
    pages = stage.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return next(
        float(event["timestamp"].timestamp())
        for page in pages
        for event in page["events"]
        if event.get("stateEnteredEventDetails", {}).get("name") == state
    )


def test_a_model_that_an_inference_component_names_is_kept(lab: Lab, qa: Stage, application: str) -> None:
    keep(qa, application, 2)
    first = promoted(lab, qa, application, "first")
    colleague, sagemaker = f"{application}-colleague", qa.client("sagemaker")
    hosted_by(qa, colleague, first["model_name"])

    records = [promoted(lab, qa, application, label) for label in ("second", "third")]
    kept = there(qa, application)
    sagemaker.delete_inference_component(InferenceComponentName=colleague)
    wait_until(lambda: components(qa, colleague) == [] or None, "the end of the component")
    records.append(promoted(lab, qa, application, "fourth"))
    after = there(qa, application)

    assert first["model_name"] in kept["models"]
    assert first["digest"] in kept["digests"]
    # Nothing else refers to the endpoint config.
    assert first["endpoint_config_name"] not in kept["configs"]
    assert after["models"] == {record["model_name"] for record in records[-2:]}
    assert after["digests"] == {record["digest"] for record in records[-2:]}
