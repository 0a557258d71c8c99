"""The roles of the stacks may do what the scenarios need, and nothing that would be dangerous."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import iam, iam_report, identity
from local.iam_report import Grant
from tests.integration.test_approval import signal, waiting_approval
from tests.integration.test_autoscaling import AUTOSCALING, configure, instances
from tests.integration.world import CANNOT_LOAD, DEV, DEV_BUCKET, PRODUCTION, QA, Lab, Stage

# Grants that the scenarios of this module do not use, each with the reason for which a role has it all the same.
RARE = {
    r"logs:.* \(AWSLambdaBasicExecutionRole": "SAM's for every function; Lambda writes the logs without a call of ours",
    r"xray:": "SAM's for Tracing; what Step Functions does with it is no call here",
    r"logs:.* \(LogAndTrace": "log delivery, which AWS sets up when the state machine is made",
    r"logs:DescribeLogStreams|cloudwatch:PutMetricData|ecr:(GetAuth|GetDownload|BatchCheck)": (
        "SageMaker's documented needs of an execution role, for what its hosts do"
    ),
    r"CopyImages": "a stage that copies images instead of pulling them from where they are",
    r"sagemaker:AddTags .*\(ResolveImages": "AWS's own images, whose tags only the endpoint resolves",
    r"sagemaker:.*hyper-parameter|sagemaker:.*model-package|tuning-job": "sources that these scenarios do not promote",
    r"states:StartExecution .*(Tuning|ModelPackage|ApprovalEnded|ExecutionEnded)": (
        "sources that these scenarios do not promote, and what follows a rejection or an abort"
    ),
    r"CopyArtifacts.*Version|s3:DeleteObject|s3:Abort|s3:ListMultipart|s3:GetObjectVersion": (
        "versioned sources, large objects, and copies of its own that turn out damaged"
    ),
    r"s3:.*\((PlanCopy|CopyArtifacts)": "prefixes, large objects, tags, versions, what is compared with a copy there",
    r"kms:Decrypt .*\(PlanCopy": "what was approved, when it is no longer what is there",
    r"kms:Decrypt .*\(CopyArtifacts": "an upstream bucket with a key of its own",
    r"s3:ListBucket .*\(Serve": "models that are a prefix",
    r"sagemaker:Describe(Model|EndpointConfig) .*\(Create": "a second try of a step that was killed in the middle",
    r"kms:CreateGrant|sagemaker:InvokeEndpointAsync|inference/|s3:ListBucket .*RunSmokeTest": (
        "asynchronous endpoints and keys for volumes, which test_endpoint_kinds makes"
    ),
    r"kms:GenerateDataKey .*\((RunSmokeTest|Serve)|cloudwatch:DescribeAlarms": (
        "what asynchronous endpoints write, and deployments that are watched: test_endpoint_kinds"
    ),
    r"ec2:": "SageMaker's documented needs of an execution role in a VPC, for what its hosts do",
    r"sagemaker:DescribeEndpointConfig": "fleets that were scaled, and configs that someone else made",
    r"states:(DescribeExecution|StopExecution)|dynamodb:": "recovery, and runs that were aborted",
    r"application-autoscaling:(Delete|Deregister).*(Apply|Restore)": (
        "policies, actions and targets that settings do not have any more, or did not have before"
    ),
    r"iam:CreateServiceLinkedRole": "the first scalable target of an account, for which AWS makes the role",
    r"states:StartExecution .*TakeTheEndpoint": "a recovery whose event got lost",
    r"ssm:StopAutomationExecution": "an approval that a newer candidate takes the place of",
    r"ssm:GetAutomationExecution|ssm:GetParameter": "a decision that was given before, and settings",
    r"(sagemaker|s3):.*\((RemoveSuperseded|PreviewPromotion)": "more promotions than are kept: test_retention",
    r"sagemaker:(DescribeModel|ListTags|DescribeTrainingJob)": "each upstream is read for the kinds it has",
}


@pytest.fixture(scope="module")
def decisions(stacks: Any) -> list[iam.Decision]:
    """What was decided while models went in, were replaced, failed, were restored and were approved."""
    before = len(iam.decisions)
    lab, qa, production = Lab(), Stage("qa", QA), Stage("production", PRODUCTION)
    application = "permissions"
    configure(qa, application, Autoscaling=AUTOSCALING)
    assert qa.execution_of(lab.train(application, "good")).status == "SUCCEEDED"
    approval = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, approval, "Approve", "yes")
    assert production.execution_of(approval).status == "SUCCEEDED"
    better = lab.train(application, "better")
    assert qa.execution_of(better).status == "SUCCEEDED"
    assert qa.promote({"training_job": better, "preview": True}).states[-1] == "Previewed"
    configure(qa, application, Autoscaling=AUTOSCALING, EndpointConfig=instances("ml.c5.large"))
    assert qa.execution_of(lab.train(application, "bad", expect="label == 'good'")).error == "SmokeTestFailed"
    broken = lab.train(f"{application}-2", "broken", script=CANNOT_LOAD)
    assert qa.execution_of(broken).error == "DeploymentFailed"
    return list(iam.decisions)[before:]


def of_any_stage(grant: Grant) -> str:
    """The grant as the template has it: stages, accounts and generated names are alike."""
    text = re.sub(r"-[A-Z0-9]{12}\b", "", f"{grant.action} on {grant.resource} ({grant.statement})")
    text = re.sub(r"key/[0-9a-f-]{36}", "key/ID", text)
    return re.sub(r"\d{12}", "ACCOUNT", re.sub(r"\b(qa|production)\b", "STAGE", text))


def test_nothing_is_refused_and_every_grant_was_used_or_has_its_reason(
    decisions: list[iam.Decision], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = [decision for decision in iam_report.denied(decisions) if "assumed-role/" in decision.caller]
    granted = {of_any_stage(grant) for grant in iam_report.granted(identity.ACCOUNTS.values(), "/model-promotion")}
    used = {of_any_stage(grant) for grant in iam_report.used(decisions)}
    unused = sorted(granted - used)
    reasons = {grant: [why for pattern, why in RARE.items() if re.search(pattern, grant)] for grant in unused}

    with capsys.disabled():
        print(
            f"\n{len(decisions)} decisions; of {len(granted)} grants {len(granted & used)} were used, the others are:"
        )
        for grant, why in reasons.items():
            print(f"  {grant}: {why[0] if why else 'NO REASON'}")
    assert [decision.reason for decision in ours] == []
    assert [grant for grant, why in reasons.items() if not why] == []


def refused(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value)


def test_a_stage_cannot_write_to_its_upstream(qa: Stage, production: Stage) -> None:
    for stage, bucket in ((qa, DEV_BUCKET), (production, qa.bucket)):
        s3 = stage.acting_as("CopyArtifactsFunction", "s3")

        assert "s3:PutObject" in refused(s3.put_object, Bucket=bucket, Key="models/forged", Body=b"forged")
        assert "s3:DeleteObject" in refused(s3.delete_object, Bucket=bucket, Key="models/forged")


def test_production_cannot_read_past_its_own_upstream(lab: Lab, production: Stage, application: str) -> None:
    lab.upload(f"{application}/model.tar.gz", b"a model")
    s3 = production.acting_as("CopyArtifactsFunction", "s3")

    assert "s3:GetObject" in refused(s3.get_object, Bucket=DEV_BUCKET, Key=f"{application}/model.tar.gz")
    assert "s3:GetObject" in refused(
        s3.copy_object, Bucket=production.bucket, Key="models/x", CopySource=f"{DEV_BUCKET}/{application}/model.tar.gz"
    )


def test_of_the_upstream_stage_only_the_models_are_open(qa: Stage, production: Stage, application: str) -> None:
    qa.client("s3").put_object(Bucket=qa.bucket, Key=f"manifests/{application}", Body=b"")
    s3 = production.acting_as("CopyArtifactsFunction", "s3")

    assert "resource-based" in refused(s3.get_object, Bucket=qa.bucket, Key=f"manifests/{application}")


def test_the_reader_role_is_only_for_the_stage_that_knows_its_external_id(qa: Stage, application: str) -> None:
    role = f"arn:aws:iam::{DEV}:role/model-promotion-upstream-of-qa"
    session = {"RoleArn": role, "RoleSessionName": application}
    reader = qa.acting_as("ResolveCandidateFunction", "sts")

    assert reader.assume_role(**session, ExternalId="model-promotion-qa")["Credentials"]
    assert "sts:AssumeRole" in refused(reader.assume_role, **session)
    assert "sts:AssumeRole" in refused(reader.assume_role, **session, ExternalId="model-promotion-production")
    # The operator may do anything in its account, but is not below /model-promotion/qa/.
    operator = qa.client("sts")
    assert "sts:AssumeRole" in refused(operator.assume_role, **session, ExternalId="model-promotion-qa")


def test_a_role_outside_of_the_stages_path_reads_nothing_upstream(lab: Lab, qa: Stage, application: str) -> None:
    lab.upload(f"{application}/model.tar.gz", b"a model")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    clients = {}
    for path in ("/", "/model-promotion/qa/", "/model-promotion/qa2/"):
        role = qa.client("iam").create_role(
            RoleName=f"{application}{path.replace('/', '-')}",
            Path=path,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]
        qa.client("iam").put_role_policy(
            RoleName=role["RoleName"],
            PolicyName="everything",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
        )
        by = identity.ServiceCall("lambda.amazonaws.com", f"arn:aws:lambda:eu-west-1:{QA}:function:any")
        clients[path] = identity.client_as_role("s3", role["Arn"], "anyone", by)
    wanted = {"Bucket": DEV_BUCKET, "Key": f"{application}/model.tar.gz"}

    assert clients["/model-promotion/qa/"].get_object(**wanted)["Body"].read() == b"a model"
    assert "resource-based" in refused(clients["/"].get_object, **wanted)
    assert "resource-based" in refused(clients["/model-promotion/qa2/"].get_object, **wanted)


def test_only_the_upstream_account_puts_events_on_a_stages_bus_and_only_of_two_sources(application: str) -> None:
    bus = f"arn:aws:events:eu-west-1:{PRODUCTION}:event-bus/model-promotion-production"
    entry = {"DetailType": application, "Detail": "{}", "EventBusName": bus}
    dev, qa = (identity.client_as_operator("events", account) for account in (DEV, QA))

    assert "events:PutEvents" in refused(dev.put_events, Entries=[entry | {"Source": "model-promotion"}])
    assert "events:PutEvents" in refused(qa.put_events, Entries=[entry | {"Source": "someone"}])
    assert qa.put_events(Entries=[entry | {"Source": "model-promotion"}])["FailedEntryCount"] == 0


def test_a_function_cannot_do_the_work_of_another(qa: Stage, application: str) -> None:
    sagemaker = qa.acting_as("CheckEndpointFunction", "sagemaker")
    reader = qa.acting_as("ResolveCandidateFunction", "iam")

    assert "sagemaker:DeleteEndpoint" in refused(sagemaker.delete_endpoint, EndpointName=f"{application}-qa")
    assert "sagemaker:DescribeEndpoint" in refused(sagemaker.describe_endpoint, EndpointName=application)
    assert "iam:CreateUser" in refused(reader.create_user, UserName=application)


def test_a_model_gets_no_other_role_than_the_stages(qa: Stage, application: str) -> None:
    sagemaker = qa.acting_as("CreateModelFunction", "sagemaker")
    request = {
        "ModelName": f"{application}-qa-1",
        "ExecutionRoleArn": f"arn:aws:iam::{QA}:role/Administrator",
        "PrimaryContainer": {"Image": f"{QA}.dkr.ecr.eu-west-1.amazonaws.com/echo:1"},
    }

    assert "iam:PassRole" in refused(sagemaker.create_model, **request)


def test_the_serving_role_is_for_sagemaker_in_this_account_alone(qa: Stage) -> None:
    model_role = next(
        role["Arn"] for role in qa.client("iam").list_roles(PathPrefix="/model-promotion/qa/serving/")["Roles"]
    )
    own, foreign = (f"arn:aws:sagemaker:eu-west-1:{account}:endpoint/x" for account in (QA, PRODUCTION))

    assert identity.role_credentials(model_role, "x", identity.ServiceCall("sagemaker.amazonaws.com", own))
    for principal, source in (("sagemaker.amazonaws.com", foreign), ("lambda.amazonaws.com", own)):
        with pytest.raises(ClientError, match="sts:AssumeRole"):
            identity.role_credentials(model_role, "x", identity.ServiceCall(principal, source))
