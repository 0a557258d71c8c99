"""Only a registered application is promoted, and only from the sources that its settings allow."""

from __future__ import annotations

import json

import pytest

from embedded_aws.aws import EmbeddedAws
from sandbox import stacks as project
from tests.support.approvals import waiting_approval
from tests.support.events import event
from tests.support.mail import mail
from tests.support.settings import configure
from tests.support.world import IMAGE, QA, ROLE, Lab, Stage


def assert_unchanged(qa: Stage, application: str) -> None:
    """Assert that nothing of the application exists in the stage."""
    assert qa.endpoint(application) is None
    assert qa.history(application) == []
    models = qa.client("sagemaker").list_models(NameContains=application)["Models"]
    assert models == []
    assert "Contents" not in qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=f"models/{application}/")


def test_a_source_of_an_unregistered_application_is_not_for_promotion_and_the_operators_are_notified(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, name: str
) -> None:
    job = lab.train(name, "good")

    execution = qa.execution_of(job)

    assert execution.states[-2:] == ["Publish refusal", "Not for promotion"]
    assert execution.output["outcome"] == "not_for_promotion"
    told = mail(stacks, job, "not for promotion")
    for text in (execution.output["reason"], told):
        assert f"The training job {job} is for the application {name}, which is not registered in the stage qa." in text
        assert f"in account {QA}: aws cloudformation deploy --template-file application.yaml" in text
        assert f"--parameter-overrides Stage=qa Application={name}" in text
    assert f"[qa] {name}: not for promotion. Nothing was changed." in told
    assert_unchanged(qa, name)


def test_a_promotion_of_an_unregistered_application_cannot_be_started(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, name: str
) -> None:
    job = lab.train(name, "good", tagged=False)
    tagged = lab.train(f"{name}-tagged", "good")
    mail(stacks, tagged)  # by its own event
    completed = {"TrainingJobName": tagged, "TrainingJobStatus": "Completed"}

    started = qa.promote({"training_job": job, "application": name})
    preview = qa.promote({"training_job": job, "application": name, "preview": True})
    of_event = qa.promote(event("SageMaker Training Job State Change", completed) | {"preview": True})

    assert (started.status, started.error) == ("FAILED", "InvalidRequestError")
    assert preview.output["would_be"] == "failed"
    for text in (started.cause, preview.output["why"]):
        assert f"The training job {job} is for the application {name}, which is not registered" in str(text)
    assert of_event.states[-2:] == ["Which request?", "Not for promotion"]
    assert f"Application={name}-tagged" in of_event.output["reason"]
    assert_unchanged(qa, name)


def test_an_application_without_its_serving_role_is_refused_with_how_to_register_it(
    lab: Lab, qa: Stage, name: str
) -> None:
    configure(qa, name)  # the parameter alone

    execution = qa.execution_of(lab.train(name, "good"))

    assert execution.error == "PromotionRefusedError"
    role = f"arn:aws:iam::{QA}:role/model-promotion/qa/serving/{name}-qa"
    assert f"{name} has no serving role in the stage qa: the role {role} does not exist." in str(execution.cause)
    assert f"Application={name} " in str(execution.cause)
    assert_unchanged(qa, name)


def test_an_endpoint_of_an_application_that_is_no_longer_registered_is_not_rolled_back(
    lab: Lab, qa: Stage, application: str
) -> None:
    for label in ("first", "second"):
        assert qa.execution_of(lab.train(application, label)).status == "SUCCEEDED"
    cloudformation_client = qa.client("cloudformation")
    cloudformation_client.delete_stack(StackName=f"model-promotion-qa-{application}")

    execution = qa.promote({"rollback": f"{application}-qa"})

    assert execution.error == "InvalidRequestError"
    assert f"The endpoint {application}-qa is for the application {application}, which is not registered" in str(
        execution.cause
    )
    # SageMaker needs the role of a live endpoint.
    assert qa.client("iam").get_role(RoleName=f"{application}-qa")
    assert qa.answer(application) == {"label": "second"}


def test_a_training_job_with_another_role_is_not_for_promotion_and_supersedes_nothing(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    other = training_role(lab, application)
    configure(qa, application, Sources={"TrainingRoles": [ROLE]})
    assert qa.execution_of(lab.train(application, "allowed")).status == "SUCCEEDED"
    waiting = waiting_approval(production, application)["AutomationExecutionId"]

    job = lab.train(application, "other", role=other)
    execution = qa.execution_of(job)
    manual = qa.promote({"training_job": job})

    assert execution.states[-2:] == ["Publish refusal", "Not for promotion"]
    for text in (execution.output["reason"], mail(stacks, job, "not for promotion"), manual.cause):
        assert f"ran with the role {other}, which Sources.TrainingRoles in the settings of {application}" in str(text)
        assert f"Allowed: {ROLE}." in str(text)
    assert manual.error == "PromotionRefusedError"
    assert qa.answer(application) == {"label": "allowed"}
    assert waiting_approval(production, application)["AutomationExecutionId"] == waiting

    configure(qa, application, Sources={"TrainingRoles": [ROLE, other]})
    assert qa.promote({"training_job": job}).states[-1] == "Promoted"


def training_role(lab: Lab, name: str) -> str:
    """Create another role with which models are trained."""
    iam = lab.client("iam")
    trust = iam.get_role(RoleName=project.TRAINING_ROLE)["Role"]["AssumeRolePolicyDocument"]
    policy = iam.get_role_policy(RoleName=project.TRAINING_ROLE, PolicyName="Train")["PolicyDocument"]
    role = iam.create_role(RoleName=f"{name}-training", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="Train", PolicyDocument=json.dumps(policy))
    return str(role["Arn"])


@pytest.mark.parametrize("group", ["own", "other", None])
def test_a_model_package_is_promoted_only_from_an_allowed_group(
    lab: Lab, qa: Stage, application: str, group: str | None
) -> None:
    sagemaker = lab.client("sagemaker")
    configure(qa, application, SmokeTest="skip", Sources={"ModelPackageGroups": [f"{application}-own"]})
    url = lab.upload(f"{application}/model.tar.gz", lab.artifact("v1"))
    specification = {"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]}
    if group:
        sagemaker.create_model_package_group(
            ModelPackageGroupName=f"{application}-{group}",
            Tags=[{"Key": "model-promotion:application", "Value": application}],
        )
        named = {"ModelPackageGroupName": f"{application}-{group}", "ModelApprovalStatus": "Approved"}
    else:
        named = {"ModelPackageName": application}
    package = sagemaker.create_model_package(InferenceSpecification=specification, **named)["ModelPackageArn"]

    execution = qa.promote({"model_package": package, "application": application})

    if group == "own":
        assert execution.states[-1] == "Promoted", execution.cause
    else:
        where = f"is in the model package group {application}-other" if group else "is in no group"
        assert execution.error == "PromotionRefusedError"
        assert f"The model package {package} {where}, which Sources.ModelPackageGroups" in str(execution.cause)
        assert_unchanged(qa, application)
