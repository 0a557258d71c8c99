"""A stage reads only from its upstream, discloses nothing, and keeps its data private, encrypted and restorable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients, decisions, permissions
from embedded_aws.kernel import accounts
from promotion.history import cleanup
from promotion.history.cleanup import Scope
from promotion.history.references import References
from promotion.history.retention import Kept
from promotion.history.table import PromotionTable
from tests.support.events import forwarding
from tests.support.mail import mail
from tests.support.settings import configure, register
from tests.support.world import DEV_BUCKET, IMAGE, PRODUCTION, QA, ROLE, Execution, Lab, Stage

FUNCTION_LOGS = "/model-promotion/qa/functions"


# Logs, records and mails.

# Answers with what it was asked and with what it has in its environment, or fails with that.
TALKS = """
import os
def model_fn(model_dir):
    {loading}
    return os.environ["API_TOKEN"]
def input_fn(body, content_type):
    return body if isinstance(body, str) else bytes(body).decode()
def predict_fn(data, model):
    {answering}
    return '{{"asked": ' + data + ', "token": "' + model + '"}}'
def output_fn(prediction, accept):
    return prediction, "application/json"
"""
WELL = TALKS.format(loading="pass", answering="pass")
FAILS = TALKS.format(loading="pass", answering="raise ValueError(data + model)")
CANNOT_LOAD = TALKS.format(loading='raise RuntimeError(os.environ["API_TOKEN"])', answering="pass")


def logged(stage: Stage, group: str) -> list[str]:
    """Return every line of a log group."""
    logs = stage.client("logs")
    streams = [
        stream["logStreamName"]
        for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
        for stream in page["logStreams"]
    ]
    return [
        event["message"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, logStreamNames=streams)
        for event in page["events"]
    ]


def history(stage: Stage, arn: str) -> list[dict[str, Any]]:
    pages = stage.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def causes(stage: Stage, arn: str) -> list[str]:
    """Return the errors and causes in an execution's history, which reach logs, traces and EventBridge."""
    details = [value for event in history(stage, arn) for value in event.values() if isinstance(value, dict)]
    return [str(detail[key]) for detail in details for key in ("error", "cause") if key in detail]


@pytest.fixture
def secret(application: str) -> str:
    return f"a-secret-of-{application}"


@pytest.fixture
def talkative(lab: Lab, qa: Stage, application: str, secret: str) -> Callable[[str, str, str], Execution]:
    """Promote a model with the secret in its hyperparameters, environment, smoke test and responses."""

    def promote(label: str, script: str, expect: str) -> Execution:
        cases = [{"name": "talks", "body": {"text": secret}, "expect": expect}]
        configure(
            qa,
            application,
            Model={"PrimaryContainer": {"Environment": {"API_TOKEN": secret}}},
            SmokeTest={"cases": cases},
            Autoscaling={"MinCapacity": 1, "MaxCapacity": 2, "ScalingPolicies": []},
        )
        job = f"{application}-{label}"
        lab.upload(f"{job}/output/model.tar.gz", lab.artifact(label, script))
        lab.client("sagemaker").create_training_job(
            TrainingJobName=job,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            HyperParameters={"token": secret},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": f"s3://{DEV_BUCKET}"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            Tags=[{"Key": "model-promotion:application", "Value": application}],
        )
        return qa.execution_of(job)

    return promote


def test_requests_responses_and_secrets_of_a_model_are_in_no_log_record_or_email(
    stacks: EmbeddedAws,
    qa: Stage,
    application: str,
    secret: str,
    talkative: Callable[[str, str, str], Execution],
) -> None:
    ended = {
        "well": talkative("well", WELL, f"token == '{secret}' && asked.text == '{secret}'"),
        # An expression that finds the answer itself, and one that fails of it.
        "wrong": talkative("wrong", WELL, "token"),
        "wrong-kind": talkative("wrong-kind", WELL, "abs(token) == `1`"),
        "fails": talkative("fails", FAILS, "token == 'x'"),
        "cannot-load": talkative("cannot-load", CANNOT_LOAD, "token == 'x'"),
    }

    assert ended["well"].states[-1] == "Promoted", ended["well"].cause
    assert [ended[name].error for name in ("wrong", "wrong-kind", "fails")] == ["SmokeTestFailed"] * 3
    assert ended["cannot-load"].error == "DeploymentFailed"
    # Separate executions recover them, and read why they ended.
    recoveries = [qa.execution_of(execution.arn) for name, execution in ended.items() if execution.status == "FAILED"]
    assert {recovery.states[-1] for recovery in recoveries} == {"Nothing to recover"}

    lines = logged(qa, FUNCTION_LOGS)
    for execution in ended.values():
        name = execution.arn.rpartition(":")[2]
        assert any(f'"correlation_id":"{name}"' in line for line in lines), "what was read were not its logs"
        assert not [text for text in causes(qa, execution.arn) if secret in text]
    assert [line for line in lines if secret in line] == []
    logging = qa.client("stepfunctions").describe_state_machine(stateMachineArn=qa.state_machine)[
        "loggingConfiguration"
    ]
    assert logging["includeExecutionData"] is False
    records = json.dumps([qa.history(application), qa.live(application), qa.items("autoscaling")])
    assert application in records
    assert secret not in records
    for execution in ended.values():
        told = mail(stacks, execution.arn)
        assert secret not in told
    assert secret not in (stacks.directory / "notifications.log").read_text()
    # The history has separate permissions, and the cause names it.
    for name in ("wrong", "wrong-kind", "fails"):
        assert "in the output of Run smoke test" in (ended[name].cause or "")
        (output,) = [
            event["stateExitedEventDetails"]["output"]
            for event in history(qa, ended[name].arn)
            if event.get("stateExitedEventDetails", {}).get("name") == "Run smoke test"
        ]
        assert secret in json.loads(output)["Payload"]["response"]


def test_a_hostile_string_is_one_log_line(qa: Stage, application: str) -> None:
    forged = f'x\r\n{{"level": "ERROR", "message": "forged-{application}"}}\n[ERROR] forged-{application}'

    for given in ({"training_job": forged}, {"source": forged, "detail-type": forged, "detail": {}}):
        qa.promote(given)

    lines = [line for line in logged(qa, FUNCTION_LOGS) if f"forged-{application}" in line]
    assert lines
    for line in lines:
        assert not {"\r", "\n"} & set(line)
        assert json.loads(line).get("message") != f"forged-{application}"


# Events.


def test_an_upstream_account_cannot_send_notifications_of_a_stage(
    production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    told = {"application": application, "model_name": "forged", "source_arn": "x", "digest": "x", "approved_by": "boss"}
    told |= {"endpoint": f"{application}-production", "endpoint_config_name": "x", "ended_at": "2026-05-01T00:00:00Z"}
    told["execution"] = production.state_machine.replace(":stateMachine:", ":execution:") + ":forged"
    bus = f"arn:aws:events:{accounts.REGION}:{PRODUCTION}:event-bus/model-promotion-production"

    def tell(events: Any, kind: str, who: str) -> None:
        members = told | {"stage": "production", "summary": f"{who}-{application}: {kind}."}
        # Only the event of a success starts a promotion; that of a rollback does not.
        entry = {"Source": "model-promotion", "DetailType": kind, "EventBusName": bus}
        detail = json.dumps(members | {"source_kind": "rollback"})
        assert events.put_events(Entries=[entry | {"Detail": detail}])["FailedEntryCount"] == 0

    for kind in ("Model Promotion Succeeded", "Model Promotion Failed", "Model Promotion Rejected"):
        tell(forwarding(QA, "production"), kind, "upstream")
        tell(production.client("events"), kind, "own")

    for kind in ("Model Promotion Succeeded", "Model Promotion Failed", "Model Promotion Rejected"):
        mail(stacks, f"own-{application}", kind)
    assert f"upstream-{application}" not in (stacks.directory / "notifications.log").read_text()


# Addresses in S3.


@pytest.fixture
def bucket_beside(lab: Lab, application: str) -> str:
    """Create a bucket of the upstream account that the stage could read, but that is not in UpstreamBuckets."""
    s3, bucket = lab.client("s3"), f"beside-{application}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    principal = {"AWS": f"arn:aws:iam::{QA}:root"}
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": "Allow", "Principal": principal, "Action": "s3:*", "Resource": resources}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=bucket, Key="secret.bin", Body=lab.artifact("stolen"))
    return bucket


def make_model(lab: Lab, name: str, url: str, **environment: str) -> str:
    """Create a model of the upstream account, whose role can read everything in that account."""
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    everything = {"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}
    iam_client = lab.client("iam")
    role = iam_client.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam_client.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=document)
    lab.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=role["Arn"],
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url, "Environment": environment},
    )
    return name


def test_an_s3_uri_outside_of_the_upstream_buckets_is_refused_in_every_place(
    lab: Lab, qa: Stage, production: Stage, application: str, bucket_beside: str
) -> None:
    good = lab.upload(f"{application}/model.tar.gz", lab.artifact("good"))
    for stage in (qa, production):
        for folder in ("models", "manifests"):
            secret = {"Bucket": stage.bucket, "Key": f"{folder}/{application}/secret.bin", "Body": b"secret"}
            stage.client("s3").put_object(**secret, IfNoneMatch="*")
    outside = [
        f"s3://{bucket_beside}/secret.bin",
        f"s3://{bucket_beside}/folder/",
        # What the stage reads itself, for other ends.
        f"s3://{qa.bucket}/models/{application}/secret.bin",
        f"s3://{qa.bucket}/manifests/{application}/secret.bin",
        f"s3://{qa.bucket}/models/",
        f"s3://{production.bucket}/models/{application}/secret.bin",
    ]
    case = {"name": "steals", "expect": "`true`"}
    configure(qa, application, SmokeTest="skip")

    refused = {}
    for number, uri in enumerate(outside):
        name = make_model(lab, f"{application}-{number}", good, DATA=uri)
        refused[f"environment {uri}"] = qa.promote({"model": name, "application": application})
    stolen = make_model(lab, f"{application}-data", outside[0])
    refused["model data"] = qa.promote({"model": stolen, "application": application})
    for number, uri in enumerate(outside[::2]):
        configure(qa, application, SmokeTest={"cases": [case | {"body_uri": uri}]})
        innocent = make_model(lab, f"{application}-body-{number}", good)
        refused[f"body {uri}"] = qa.promote({"model": innocent, "application": application})
        configure(qa, application, SmokeTest="skip")

    for what, execution in refused.items():
        assert execution.error == "PromotionRefusedError", (what, execution.error, execution.cause)
        assert "cannot be read" in (execution.cause or ""), what
        assert execution.states[-4:] == ["Publish failure", "Planned?", "Recovered?", "Promotion failed"], what
    assert qa.endpoint(application) is None
    copied = qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=f"models/{application}/")["Contents"]
    assert [found["Key"] for found in copied] == [f"models/{application}/secret.bin"]


def test_a_smoke_test_outside_of_the_upstream_buckets_is_refused(
    lab: Lab, qa: Stage, application: str, bucket_beside: str
) -> None:
    suite = json.dumps({"cases": [{"name": "answers", "body": {}, "expect": "`true`"}]}).encode()
    lab.client("s3").put_object(Bucket=bucket_beside, Key="smoke-test.json", Body=suite)
    job = lab.train(application, "good")
    arn = lab.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobArn"]
    qa.execution_of(job)
    tag = {"Key": "model-promotion:smoke-test", "Value": f"s3://{bucket_beside}/smoke-test.json"}
    lab.client("sagemaker").add_tags(ResourceArn=arn, Tags=[tag])

    execution = qa.promote({"training_job": job})

    assert execution.error == "PromotionRefusedError"
    assert f"The smoke test s3://{bucket_beside}/smoke-test.json cannot be read" in (execution.cause or "")


# Keys.


def deny(stage: Stage, key: str, action: str, role: str) -> Callable[[], object]:
    """Deny an action on a key to a role, and return a function that removes the denial."""
    kms = stage.client("kms")
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    policy = json.loads(before)
    denied = {"Effect": "Deny", "Principal": {"AWS": role}, "Action": action, "Resource": "*"}
    policy["Statement"].append(denied)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    return lambda: kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


def test_a_copy_denied_by_the_key_of_the_stage_is_refused_with_the_name_of_the_key(
    lab: Lab, qa: Stage, application: str
) -> None:
    key = qa.physical_id("StageKey")
    allow_again = deny(qa, key, "kms:GenerateDataKey", qa.role("CopyArtifactsFunctionRole"))

    execution = qa.execution_of(lab.train(application, "good"))
    allow_again()

    assert execution.error == "PromotionRefusedError"
    assert "has no permission to write s3://" in (execution.cause or "")
    assert "kms:GenerateDataKey" in (execution.cause or "")
    assert key in (execution.cause or "")
    assert "upstream account does not let" not in (execution.cause or "")
    assert qa.endpoint(application) is None
    kept = qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=f"models/{application}/").get("Contents", [])
    assert [found["Key"] for found in kept if found["Key"].endswith("model.tar.gz")] == []


# Names.


def test_the_name_of_an_application_gives_no_access_to_other_models(lab: Lab, qa: Stage, application: str) -> None:
    # Its models begin with `<application>-qa-qa-`, those of the other one with `<application>-qa-`.
    longer = f"{application}-qa"
    register(qa, longer)
    first = qa.execution_of(lab.train(longer, "first")).output
    second = qa.execution_of(lab.train(longer, "second")).output
    sagemaker, s3 = (qa.acting_as("RemoveSupersededModelsFunction", service) for service in ("sagemaker", "s3"))
    table = PromotionTable(qa.acting_as("RemoveSupersededModelsFunction", "dynamodb"), qa.table)
    references = References(table, sagemaker, remember=False)
    nothing_kept = Kept(frozenset(), frozenset(), frozenset())
    executions = first["execution"].rsplit(":", 1)[0] + ":"

    scopes = [Scope(name, "qa", qa.bucket, QA, executions) for name in (application, longer)]
    found, of_longer = (
        cleanup.find_superseded(cleanup.survey(references, s3, scope, nothing_kept), scope, nothing_kept)
        for scope in scopes
    )

    assert first["model_name"].startswith(f"{application}-qa-")
    assert not found
    assert of_longer.models == [first["model_name"]]
    assert qa.answer(longer) == {"label": "second"}
    assert second["endpoint"] == f"{application}-qa-qa"


def test_the_name_of_an_application_gives_no_access_to_another_stage(qa: Stage, application: str) -> None:
    """The stages of an account are distinguished by the end of a name, not by the name of the application."""
    create = qa.trying_as("CreateModelFunction", "sagemaker").create_model
    config = qa.trying_as("CreateEndpointConfigFunction", "sagemaker").create_endpoint_config
    update = qa.trying_as("UpdateEndpointFunction", "sagemaker").update_endpoint
    container = {"Image": f"{QA}.dkr.ecr.eu-west-1.amazonaws.com/echo:1"}
    name = f"{application}-qa-x-production-20260102-0304-0a1b2c3d"
    calls: list[tuple[Any, dict[str, Any]]] = [
        (create, {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": f"arn:aws:iam::{QA}:role/x"}),
        (
            config,
            {"EndpointConfigName": name, "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": name}]},
        ),
        (update, {"EndpointName": f"{application}-qa-x-production", "EndpointConfigName": name}),
    ]
    for call, request in calls:
        with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:"):
            call(**request)


# The approval runbook.

HOSTILE = ['x", "approval": "y', "x'", "x\\", "{{ automation:EXECUTION_ID }}", "x y", "x\ny", "ü", "$(id)", "x" * 600]


def test_the_runbook_accepts_plain_values_only(production: Stage, application: str) -> None:
    ssm = production.client("ssm")
    good = {
        "Application": application,
        "SourceKind": "model",
        "SourceName": application,
        "Digest": "0" * 64,
        "RequestedBy": f"{production.state_machine.replace(':stateMachine:', ':execution:')}:{application}",
    }
    refused = {}
    for name, value in good.items():
        for text in [*HOSTILE, f'{value}", "x": "', f" {value}", ""]:
            parameters = {key: [text if key == name else other] for key, other in good.items()}
            try:
                started = ssm.start_automation_execution(
                    DocumentName="model-promotion-production", Parameters=parameters
                )
                refused[name, text] = f"started {started['AutomationExecutionId']}"
            except ClientError as error:
                refused[name, text] = error.response["Error"]["Code"]

    assert {code for code in refused.values() if code.startswith("started")} == set(), refused
    assert [item for item in production.items("approval") if application in item["key"]] == []


# What a stage keeps.


@pytest.fixture(params=["qa", "production"])
def stage(stacks: EmbeddedAws, request: pytest.FixtureRequest) -> Stage:
    return Stage(request.param, {"qa": QA, "production": PRODUCTION}[request.param])


def resources(stage: Stage, kind: str) -> list[str]:
    """Return the physical IDs of all resources of a type in the project's stacks of an account."""
    cloudformation = stage.client("cloudformation")
    found = [
        resource["PhysicalResourceId"]
        for stack in cloudformation.describe_stacks()["Stacks"]
        if stack["StackName"].startswith("model-promotion-")
        for resource in cloudformation.describe_stack_resources(StackName=stack["StackName"])["StackResources"]
        if resource["ResourceType"] == kind
    ]
    assert found or kind == "AWS::SSM::Document", f"no {kind}"
    return found


def test_buckets_are_private_versioned_owned_and_encrypted(stage: Stage) -> None:
    s3 = stage.client("s3")
    for bucket in resources(stage, "AWS::S3::Bucket"):
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert blocked == dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        (owned,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        assert owned["ObjectOwnership"] == "BucketOwnerEnforced"
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        encryption = rule["ApplyServerSideEncryptionByDefault"]
        assert encryption["SSEAlgorithm"] == "aws:kms"
        assert encryption["KMSMasterKeyID"].split("/")[-1] in resources(stage, "AWS::KMS::Key")


def test_a_bucket_requires_tls(stage: Stage) -> None:
    (bucket,) = resources(stage, "AWS::S3::Bucket")
    operator = clients.caller(clients.operator_credentials(stage.account)["aws_access_key_id"])
    for action, resource in (("s3:GetObject", f"arn:aws:s3:::{bucket}/x"), ("s3:ListBucket", f"arn:aws:s3:::{bucket}")):
        need = permissions.Need(action, (resource,), {})
        assert decisions.decide(operator, need, {"aws:securetransport": "true"}).allowed
        refused = decisions.decide(operator, need, {"aws:securetransport": "false"})
        assert not refused.allowed
        assert "deny" in refused.reason


def test_the_table_is_encrypted_and_can_be_restored(stage: Stage) -> None:
    dynamodb = stage.client("dynamodb")
    for table in resources(stage, "AWS::DynamoDB::Table"):
        described = dynamodb.describe_table(TableName=table)["Table"]
        assert (described["SSEDescription"]["Status"], described["SSEDescription"]["SSEType"]) == ("ENABLED", "KMS")
        assert described["DeletionProtectionEnabled"]
        backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_queues_topics_and_images_are_encrypted(stage: Stage) -> None:
    keys = resources(stage, "AWS::KMS::Key")
    for queue in resources(stage, "AWS::SQS::Queue"):
        attributes = stage.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert attributes["SqsManagedSseEnabled"] == "true"
    for topic in resources(stage, "AWS::SNS::Topic"):
        attributes = stage.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
        assert attributes["KmsMasterKeyId"].split("/")[-1] in keys
    for repository in resources(stage, "AWS::ECR::Repository"):
        described = stage.client("ecr").describe_repositories(repositoryNames=[repository])["repositories"][0]
        assert described["encryptionConfiguration"]["encryptionType"] == "KMS"
        assert described["encryptionConfiguration"]["kmsKey"].split("/")[-1] in keys


def policies(stage: Stage) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every resource policy in the stacks of a stage."""
    for bucket in resources(stage, "AWS::S3::Bucket"):
        yield bucket, json.loads(stage.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    for key in resources(stage, "AWS::KMS::Key"):
        yield key, json.loads(stage.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    for queue in resources(stage, "AWS::SQS::Queue"):
        attributes = stage.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]
        yield queue, json.loads(attributes["Policy"])
    for topic in resources(stage, "AWS::SNS::Topic"):
        yield topic, json.loads(stage.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    for bus in resources(stage, "AWS::Events::EventBus"):
        yield bus, json.loads(stage.client("events").describe_event_bus(Name=bus)["Policy"])


def test_nothing_is_public(stage: Stage) -> None:
    for name, policy in policies(stage):
        for statement in policy["Statement"]:
            principal = statement.get("Principal")
            anyone = principal == "*" or (isinstance(principal, dict) and "*" in str(principal.get("AWS", "")))
            assert not (statement["Effect"] == "Allow" and anyone), f"{name}: {statement}"
