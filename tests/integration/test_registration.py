"""Only a registered application is promoted, and only from the sources that its settings allow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.cloudformation import deploy
from sandbox import stacks as project
from tests.support.approvals import waiting_approval
from tests.support.events import event
from tests.support.mail import mail
from tests.support.settings import configure, register
from tests.support.stacks import deployed_with
from tests.support.waiting import wait_until
from tests.support.world import ECHO_LABEL, IMAGE, QA, ROLE, Lab, Stage


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

    assert (started.status, started.error) == ("FAILED", "InvalidInputError")
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
    deploy.delete(stack_name=f"model-promotion-qa-{application}", account=QA)

    execution = qa.promote({"rollback": f"{application}-qa"})

    assert execution.error == "InvalidInputError"
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

    if group == "own":
        assert qa.execution_of(package).states[-1] == "Promoted"
        return
    where = f"is in the model package group {application}-other" if group else "is in no group"
    if group:
        by_event = qa.execution_of(package)
        assert by_event.states[-2:] == ["Publish refusal", "Not for promotion"]
        assert where in by_event.output["reason"]
    started = qa.promote({"model_package": package, "application": application})
    assert started.error == "PromotionRefusedError"
    assert f"The model package {package} {where}, which Sources.ModelPackageGroups" in str(started.cause)
    assert_unchanged(qa, application)


def make_foreign_endpoint(lab: Lab, qa: Stage, application: str) -> str:
    """Create an endpoint with the name of the application's endpoint, as someone in the account, and return its ARN."""
    sagemaker, name = qa.client("sagemaker"), f"{application}-qa"
    key = f"models/{application}/theirs/model.tar.gz"
    qa.client("s3").put_object(Bucket=qa.bucket, Key=key, Body=lab.artifact("theirs"), IfNoneMatch="*")
    sagemaker.create_model(
        ModelName=f"{application}-theirs",
        ExecutionRoleArn=f"arn:aws:iam::{QA}:role/model-promotion/qa/serving/{name}",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{qa.bucket}/{key}"},
    )
    variant = {"VariantName": "AllTraffic", "ModelName": f"{application}-theirs"}
    variants = [variant | {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]
    sagemaker.create_endpoint_config(EndpointConfigName=f"{application}-theirs", ProductionVariants=variants)
    arn = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{application}-theirs")["EndpointArn"]
    wait_until(lambda: True if qa.instances(application) else None, "their endpoint")
    return str(arn)


def test_an_endpoint_of_someone_else_is_updated_only_after_its_adoption(lab: Lab, qa: Stage, application: str) -> None:
    arn = make_foreign_endpoint(lab, qa, application)
    job = lab.train(application, "ours")
    refused = qa.execution_of(job)

    assert refused.error == "PromotionRefusedError"
    assert f"No promotion created the endpoint {application}-qa" in str(refused.cause)
    assert f"aws sagemaker add-tags --resource-arn {arn} --tags Key=model-promotion:application" in str(refused.cause)
    assert qa.client("sagemaker").list_models(NameContains=f"{application}-qa-")["Models"] == []
    preview = qa.promote({"training_job": job, "preview": True})
    assert preview.output["would_be"] == "failed"
    configure(qa, application, AdoptExisting=True)
    assert qa.promote({"training_job": job}).error == "PromotionRefusedError"
    assert qa.answer(application) == {"label": "theirs"}

    tag = {"Key": "model-promotion:application", "Value": application}
    qa.client("sagemaker").add_tags(ResourceArn=arn, Tags=[tag])
    adopted = qa.promote({"training_job": job})

    assert adopted.states[-1] == "Promoted", adopted.cause
    assert qa.answer(application) == {"label": "ours"}


def test_no_role_of_the_stage_can_change_or_tag_an_endpoint_of_someone_else(
    lab: Lab, qa: Stage, application: str
) -> None:
    arn, name = make_foreign_endpoint(lab, qa, application), f"{application}-qa"
    update = {"EndpointName": name, "EndpointConfigName": f"{name}-20260102-0304-0a1b2c3d"}
    tags = [{"Key": "model-promotion:application", "Value": application}]

    for function in ("UpdateEndpointFunction", "RollBackEndpointFunction"):
        sagemaker = qa.trying_as(function, "sagemaker")
        for action, call, request in (
            ("sagemaker:UpdateEndpoint", sagemaker.update_endpoint, update),
            ("sagemaker:DeleteEndpoint", sagemaker.delete_endpoint, {"EndpointName": name}),
            ("sagemaker:AddTags", sagemaker.add_tags, {"ResourceArn": arn, "Tags": tags}),
        ):
            with pytest.raises(ClientError, match=action):
                call(**request)
    assert qa.answer(application) == {"label": "theirs"}


# The container of one application tries to reach what belongs to another one. Its request names the calls.
HOSTILE = """
import json
import boto3
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return json.loads(body)
def predict_fn(calls, model):
    results = {}
    for name, (service, operation, request) in calls.items():
        try:
            getattr(boto3.client(service), operation)(**request)
            results[name] = "allowed"
        except Exception as error:
            results[name] = str(error)
    return results
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


def test_a_container_reaches_no_models_data_or_logs_of_another_application(
    lab: Lab, qa: Stage, application: str
) -> None:
    other = f"{application}-other"
    for name in (application, other):
        register(qa, name, SmokeTest="skip")
    theirs = qa.execution_of(lab.train(other, "theirs", script=f"print('loaded')\n{ECHO_LABEL}")).output
    assert qa.execution_of(lab.train(application, "hostile", script=HOSTILE)).states[-1] == "Promoted"
    s3, logs, bucket = qa.client("s3"), qa.client("logs"), qa.bucket
    [model] = s3.list_objects_v2(Bucket=bucket, Prefix=f"models/{other}/{theirs['digest']}/0/")["Contents"]
    for key in (f"inference/{other}/answer", f"smoke-test/{other}/body", f"inference/{application}/answer"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"private")
    group = f"/aws/sagemaker/Endpoints/{other}-qa"
    stream = wait_until(
        lambda: next(iter(logs.describe_log_streams(logGroupName=group)["logStreams"]), None), "their log"
    )["logStreamName"]
    line = [{"timestamp": 1, "message": "forged"}]
    calls: dict[str, tuple[str, str, dict[str, Any]]] = {
        f"{operation} {key}": ("s3", operation, {"Bucket": bucket, "Key": key} | more)
        for key in (model["Key"], f"inference/{other}/answer", f"smoke-test/{other}/body", "manifests/x.json")
        for operation, more in (("get_object", {}), ("put_object", {"Body": "forged"}))
    }
    calls |= {
        f"list {prefix}": ("s3", "list_objects_v2", {"Bucket": bucket, "Prefix": prefix})
        for prefix in ("", "models/", f"models/{other}/", f"inference/{other}/", "inference/")
    }
    named = {"logGroupName": group, "logStreamName": stream}
    calls |= {
        "forge": ("logs", "put_log_events", named | {"logEvents": line}),
        "new stream": ("logs", "create_log_stream", named | {"logStreamName": "forged"}),
        "read log": ("logs", "get_log_events", named),
        "settings": ("ssm", "get_parameter", {"Name": f"/model-promotion/qa/{application}"}),
    }
    own = {
        "own answer": ("s3", "get_object", {"Bucket": bucket, "Key": f"inference/{application}/answer"}),
        "own list": ("s3", "list_objects_v2", {"Bucket": bucket, "Prefix": f"inference/{application}/"}),
        "own put": ("s3", "put_object", {"Bucket": bucket, "Key": f"inference/{application}/new", "Body": "mine"}),
    }

    body = qa.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=f"{application}-qa", Body=json.dumps(calls | own), ContentType="application/json"
    )["Body"]

    results = json.loads(body.read())
    assert {name: results.pop(name) for name in own} == dict.fromkeys(own, "allowed")
    assert results.keys() == calls.keys()
    assert [name for name, result in results.items() if "AccessDenied" not in result] == []
    assert s3.get_object(Bucket=bucket, Key=f"inference/{other}/answer")["Body"].read() == b"private"
    assert qa.answer(other) == {"label": "theirs"}


def test_a_stage_that_requires_network_isolation_and_pinned_weights_promotes_no_other_model(
    lab: Lab, qa: Stage, application: str
) -> None:
    from_hub = {"PrimaryContainer": {"Environment": {"HF_MODEL_ID": "org/model"}}}
    configure(qa, application, Model={"EnableNetworkIsolation": True})
    with deployed_with(qa, RequireNetworkIsolation="true", RequirePinnedWeights="true"):
        isolated = qa.execution_of(lab.train(application, "isolated"))
        configure(qa, application, Model={"EnableNetworkIsolation": True} | from_hub)
        not_pinned = qa.promote({"training_job": isolated.output["source_name"]})
        configure(qa, application)
        refused = qa.execution_of(lab.train(application, "open"))

    assert isolated.states[-1] == "Promoted", isolated.cause
    assert refused.error == "PromotionRefusedError"
    assert "has no network isolation, which this stage requires (RequireNetworkIsolation)" in str(refused.cause)
    assert "This stage requires pinned weights (RequirePinnedWeights)" in str(not_pinned.cause)
    assert qa.answer(application) == {"label": "isolated"}


def test_encrypted_settings_with_a_key_of_the_customer_are_read_and_not_shown(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    key = qa.client("kms").create_key()["KeyMetadata"]["Arn"]
    hidden = "hf_hush"
    document = {"SmokeTest": "skip", "Model": {"PrimaryContainer": {"Environment": {"HF_TOKEN": hidden}}}}
    secret = {"Type": "SecureString", "KeyId": key, "Value": json.dumps(document), "Overwrite": True}
    qa.client("ssm").put_parameter(Name=f"/model-promotion/qa/{application}", **secret)
    job = lab.train(application, "good")

    execution = qa.execution_of(job)
    preview = qa.promote({"training_job": job, "preview": True})

    assert execution.status == "SUCCEEDED", execution.cause
    model = qa.client("sagemaker").describe_model(ModelName=execution.output["model_name"])
    assert model["PrimaryContainer"]["Environment"]["HF_TOKEN"] == hidden
    told = mail(stacks, job)
    for text in (json.dumps(execution.output), json.dumps(preview.output), told):
        assert hidden not in text


def test_settings_with_a_key_that_the_stage_cannot_use_are_refused(lab: Lab, qa: Stage, application: str) -> None:
    operator = {"AWS": f"arn:aws:iam::{QA}:user/operator"}
    statement = {"Effect": "Allow", "Principal": operator, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    key = qa.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    secret = {"Type": "SecureString", "KeyId": key, "Value": "{}", "Overwrite": True}
    qa.client("ssm").put_parameter(Name=f"/model-promotion/qa/{application}", **secret)

    execution = qa.execution_of(lab.train(application, "good"))

    assert execution.error == "PromotionRefusedError"
    assert f"parameter /model-promotion/qa/{application} cannot be decrypted." in (execution.cause or "")
    assert "kms:Decrypt" in (execution.cause or "")
    assert_unchanged(qa, application)
