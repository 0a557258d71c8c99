"""The roles of the stacks have no dangerous permissions.

`python -m tests.permissions` reports whether they have the required ones and no more.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients as identity
from embedded_aws.iam import decisions
from embedded_aws.iam.clients import ServiceCall
from embedded_aws.iam.permissions import Need
from embedded_aws.kernel import accounts
from embedded_aws.permissions_report import Use
from promotion.history import missed_events
from promotion.history.table import PromotionTable
from tests.permissions import recording
from tests.support.events import forwarding
from tests.support.world import DEV, DEV_BUCKET, PRODUCTION, QA, TRYING, Lab, Stage, physical_id, role_of


def refused(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value)


def test_a_stage_cannot_write_to_its_upstream(qa: Stage, production: Stage) -> None:
    for stage, bucket in ((qa, DEV_BUCKET), (production, qa.bucket)):
        s3 = stage.trying_as("CopyArtifactsFunction", "s3")

        assert "s3:PutObject" in refused(s3.put_object, Bucket=bucket, Key="models/forged", Body=b"forged")
        assert "s3:DeleteObject" in refused(s3.delete_object, Bucket=bucket, Key="models/forged")


def test_production_cannot_read_past_its_own_upstream(lab: Lab, production: Stage, application: str) -> None:
    lab.upload(f"{application}/model.tar.gz", b"a model")
    s3 = production.trying_as("CopyArtifactsFunction", "s3")

    assert "s3:GetObject" in refused(s3.get_object, Bucket=DEV_BUCKET, Key=f"{application}/model.tar.gz")
    copied = {"Bucket": production.bucket, "Key": "models/x", "IfNoneMatch": "*"}
    assert "s3:GetObject" in refused(s3.copy_object, **copied, CopySource=f"{DEV_BUCKET}/{application}/model.tar.gz")


def test_a_stage_reads_only_the_models_of_its_upstream_stage(qa: Stage, production: Stage, application: str) -> None:
    qa.client("s3").put_object(Bucket=qa.bucket, Key=f"manifests/{application}", Body=b"")
    s3 = production.trying_as("CopyArtifactsFunction", "s3")

    assert "resource-based" in refused(s3.get_object, Bucket=qa.bucket, Key=f"manifests/{application}")


def test_a_stage_learns_that_an_object_of_its_upstream_stage_has_tags(
    qa: Stage, production: Stage, application: str
) -> None:
    """S3 omits the number of tags from its answer to a caller that cannot read them, who would copy none."""
    place = {"Bucket": qa.bucket, "Key": f"models/{application}/tagged"}
    qa.client("s3").put_object(**place, Body=b"", Tagging="team=reviews", IfNoneMatch="*")

    head = production.trying_as("PlanCopyFunction", "s3").head_object(**place)

    assert head["TagCount"] == 1


def test_the_reader_role_is_only_for_the_stage_that_knows_its_external_id(qa: Stage, application: str) -> None:
    role = f"arn:aws:iam::{DEV}:role/model-promotion-upstream-of-qa"
    session = {"RoleArn": role, "RoleSessionName": TRYING}
    reader = qa.trying_as("ResolveCandidateFunction", "sts")

    assert reader.assume_role(**session, ExternalId="model-promotion-qa")["Credentials"]
    assert "sts:AssumeRole" in refused(reader.assume_role, **session)
    assert "sts:AssumeRole" in refused(reader.assume_role, **session, ExternalId="model-promotion-production")
    # The operator has all permissions in its account, but is not under /model-promotion/qa/.
    operator = qa.client("sts")
    assert "sts:AssumeRole" in refused(operator.assume_role, **session, ExternalId="model-promotion-qa")


def test_the_monitor_lists_the_sources_of_the_last_day_with_the_reader_role(
    lab: Lab, qa: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "any"))
    sts = qa.acting_as("WatchPromotionsFunction", "sts")
    role = f"arn:aws:iam::{DEV}:role/model-promotion-upstream-of-qa"
    credentials = sts.assume_role(RoleArn=role, RoleSessionName="w", ExternalId="model-promotion-qa")["Credentials"]
    upstream = identity.client_as_caller("sagemaker", credentials["AccessKeyId"])
    table = PromotionTable(qa.acting_as("WatchPromotionsFunction", "dynamodb"), qa.table)
    now = datetime.datetime.now(datetime.UTC)
    # As if a quarter of an hour had passed.
    later, since = now + missed_events.DELAY, now - datetime.timedelta(hours=1)

    events = [event for _, event in missed_events.sources(upstream, set(), since, later)]
    known = missed_events.started(table, now)
    lost = [event for _, event in missed_events.sources(upstream, known, since, later)]

    names = [event["detail"].get("TrainingJobName", "") for event in events]
    assert [name for name in names if name.startswith(application)]
    assert not [event for event in lost if str(event["detail"].get("TrainingJobName", "")).startswith(application)]


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
        by = ServiceCall("lambda.amazonaws.com", f"arn:aws:lambda:eu-west-1:{QA}:function:any")
        clients[path] = identity.client_as_role("s3", role["Arn"], TRYING, by)
    wanted = {"Bucket": DEV_BUCKET, "Key": f"{application}/model.tar.gz"}

    assert clients["/model-promotion/qa/"].get_object(**wanted)["Body"].read() == b"a model"
    assert "resource-based" in refused(clients["/"].get_object, **wanted)
    assert "resource-based" in refused(clients["/model-promotion/qa2/"].get_object, **wanted)


def test_only_the_forwarding_role_puts_events_of_one_source_on_the_bus_of_a_stage(application: str) -> None:
    entry = {"DetailType": application, "Detail": "{}"}
    dev, qa = (identity.client_as_operator("events", account) for account in (DEV, QA))
    buses = [
        (f"arn:aws:events:eu-west-1:{QA}:event-bus/model-promotion-qa", dev, forwarding(DEV, "qa")),
        (
            f"arn:aws:events:eu-west-1:{PRODUCTION}:event-bus/model-promotion-production",
            qa,
            forwarding(QA, "production"),
        ),
    ]

    for bus, operator, role in buses:
        for client, source_name in ((operator, "model-promotion"), (operator, "someone"), (role, "someone")):
            given = entry | {"EventBusName": bus, "Source": source_name}
            assert "events:PutEvents" in refused(client.put_events, Entries=[given])
    (training, _, of_dev), (promotions, _, of_qa) = buses
    forged = entry | {"EventBusName": training, "Source": "model-promotion"}
    genuine = entry | {"EventBusName": promotions, "Source": "model-promotion"}
    assert "events:PutEvents" in refused(of_dev.put_events, Entries=[forged])
    assert of_qa.put_events(Entries=[genuine])["FailedEntryCount"] == 0


def test_a_function_has_no_permissions_of_another_function(qa: Stage, application: str) -> None:
    sagemaker = qa.trying_as("CheckEndpointFunction", "sagemaker")
    reader = qa.trying_as("ResolveCandidateFunction", "iam")

    assert "sagemaker:DeleteEndpoint" in refused(sagemaker.delete_endpoint, EndpointName=f"{application}-qa")
    assert "sagemaker:DescribeEndpoint" in refused(sagemaker.describe_endpoint, EndpointName=application)
    assert "iam:CreateUser" in refused(reader.create_user, UserName=application)


def test_no_function_writes_the_records_of_promotions(qa: Stage, application: str) -> None:
    transaction = {"TransactItems": [{"Put": {"TableName": qa.table, "Item": item("live", application)}}]}
    for function in qa.functions():
        dynamodb = qa.trying_as(function, "dynamodb")
        for kind in ("live", f"history#{application}-qa"):
            forged = item(kind, application)
            update = {"UpdateExpression": "SET promotion = :p", "ExpressionAttributeValues": {":p": {"S": "{}"}}}

            assert "dynamodb:PutItem" in refused(dynamodb.put_item, TableName=qa.table, Item=forged), function
            assert "dynamodb:DeleteItem" in refused(dynamodb.delete_item, TableName=qa.table, Key=forged), function
            if (function, kind) != ("WatchPromotionsFunction", "live"):  # which marks a record as published
                assert "dynamodb:UpdateItem" in refused(dynamodb.update_item, TableName=qa.table, Key=forged, **update)
        assert "dynamodb:PutItem" in refused(dynamodb.transact_write_items, **transaction), function
    assert qa.live(application) is None
    assert qa.history(application) == []


def item(kind: str, application: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "key": {"S": f"{application}-qa"}}


def test_the_copy_neither_overwrites_nor_deletes_an_artifact(qa: Stage, application: str) -> None:
    place = {"Bucket": qa.bucket, "Key": f"models/{application}/digest/0/ModelDataUrl/model.tar.gz"}
    version = qa.client("s3").put_object(**place, Body=b"approved", IfNoneMatch="*")["VersionId"]
    source = {"Bucket": qa.bucket, "Key": place["Key"]}
    for function in ("CopyArtifactsFunction", "PlanCopyFunction", "RunSmokeTestFunction"):
        s3 = qa.trying_as(function, "s3")

        assert "s3:PutObject" in refused(s3.put_object, **place, Body=b"forged"), function
        assert "s3:DeleteObject" in refused(s3.delete_object, **place), function
        assert "s3:DeleteObjectVersion" in refused(s3.delete_object, **place, VersionId=version), function
    s3 = qa.trying_as("CopyArtifactsFunction", "s3")
    assert "explicit deny in a resource-based policy" in refused(s3.put_object, **place, Body=b"forged")
    assert "explicit deny in a resource-based policy" in refused(s3.copy_object, **place, CopySource=source)
    assert "PreconditionFailed" in refused(s3.put_object, **place, Body=b"forged", IfNoneMatch="*")
    assert "explicit deny" in refused(qa.client("s3").put_object, **place, Body=b"forged")
    assert qa.client("s3").get_object(**place)["Body"].read() == b"approved"


def test_the_plan_writes_no_artifacts(qa: Stage, application: str) -> None:
    s3 = qa.trying_as("PlanCopyFunction", "s3")
    forged = {"Bucket": qa.bucket, "Key": f"models/{application}/digest/0/ModelDataUrl/model.tar.gz", "Body": b"forged"}

    assert "no identity-based policy" in refused(s3.put_object, **forged, IfNoneMatch="*")


def test_a_stage_sees_only_the_names_of_models_in_its_upstream_stage(
    qa: Stage, production: Stage, application: str
) -> None:
    s3 = production.trying_as("PlanCopyFunction", "s3")

    assert s3.list_objects_v2(Bucket=qa.bucket, Prefix=f"models/{application}/")["KeyCount"] == 0
    for prefix in ("inference/", "manifests/", ""):
        assert "s3:ListBucket" in refused(s3.list_objects_v2, Bucket=qa.bucket, Prefix=prefix), prefix
    assert "s3:ListBucket" in refused(s3.list_objects_v2, Bucket=qa.bucket)


@pytest.mark.parametrize("logical_id", ["Notifications", "DeadLetters"])
@pytest.mark.parametrize("stack", ["model-promotion-qa", "model-promotion-upstream-of-production"])
def test_topics_and_queues_require_tls(stacks: EmbeddedAws, stack: str, logical_id: str) -> None:
    name = physical_id(QA, stack, logical_id)
    is_topic = logical_id == "Notifications"
    resource = name if is_topic else source(QA, "sqs", name.rpartition("/")[2])
    action = "sns:Publish" if is_topic else "sqs:SendMessage"
    operator = identity.Caller(QA, f"arn:aws:iam::{QA}:user/operator", f"arn:aws:iam::{QA}:user/operator")

    def allows(secure_transport: str) -> bool:
        about = {"aws:securetransport": secure_transport}
        return decisions.decide(operator, Need(action, (resource,)), about).allowed

    assert allows("true")
    assert not allows("false")


def test_only_approvals_of_the_stage_are_stopped(production: Stage) -> None:
    ssm = production.trying_as("RequestApprovalFunction", "ssm")
    untagged = str(uuid.uuid4())

    assert "ssm:StopAutomationExecution" in refused(ssm.stop_automation_execution, AutomationExecutionId=untagged)


def test_a_model_can_only_have_a_serving_role_of_the_stage(qa: Stage, application: str) -> None:
    sagemaker = qa.trying_as("CreateModelFunction", "sagemaker")
    request = {
        "ModelName": f"{application}-qa-20260102-0304-0a1b2c3d",
        "PrimaryContainer": {"Image": f"{QA}.dkr.ecr.eu-west-1.amazonaws.com/echo:1"},
    }

    for role in ("Administrator", "model-promotion/qa/Function", "model-promotion/production/serving/x-production"):
        arn = f"arn:aws:iam::{QA}:role/{role}"
        assert "iam:PassRole" in refused(sagemaker.create_model, **request, ExecutionRoleArn=arn)


def test_only_sagemaker_of_the_account_assumes_a_serving_role(qa: Stage, application: str) -> None:
    role = f"arn:aws:iam::{QA}:role/model-promotion/qa/serving/{application}-qa"
    own, foreign = (source(account, "sagemaker", "endpoint/any") for account in (QA, PRODUCTION))

    assert identity.role_credentials(role, TRYING, ServiceCall("sagemaker.amazonaws.com", own))
    for service, arn in (("sagemaker.amazonaws.com", foreign), ("lambda.amazonaws.com", own)):
        with pytest.raises(ClientError, match="sts:AssumeRole"):
            identity.role_credentials(role, TRYING, ServiceCall(service, arn))


def test_a_function_reads_only_serving_roles(qa: Stage, application: str) -> None:
    iam = qa.trying_as("PlanCopyFunction", "iam")

    assert iam.get_role(RoleName=f"{application}-qa")["Role"]["Path"] == "/model-promotion/qa/serving/"
    assert "iam:GetRole" in refused(iam.get_role, RoleName=qa.role("PromotionRole").rpartition("/")[2])
    assert "iam:GetRole" in refused(iam.get_role, RoleName="unknown-qa")


def test_the_report_lists_the_grants_of_a_shared_policy_for_each_role(stacks: EmbeddedAws) -> None:
    usage = recording.usage(Use())
    finding = {
        granted.statement: granted.resource
        for granted in usage.calls
        if " FindSupersededResources " in granted.statement and granted.action == "sagemaker:ListModels"
    }

    assert finding == {
        "PreviewPromotionFunctionRole FindSupersededResources 1": "*",
        "RemoveSupersededModelsFunctionRole FindSupersededResources 1": "*",
    }


def source(account: str, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{accounts.REGION}:{account}:{resource}"


@dataclasses.dataclass
class Trust:
    """A role of a stack, and for which resources a service can and cannot assume it."""

    account: str
    stack: str
    role: str
    service: str
    own: str
    foreign: list[str]


TRUSTS = [
    Trust(
        QA,
        "model-promotion-qa",
        "PromotionRole",
        "states.amazonaws.com",
        source(QA, "states", "stateMachine:model-promotion-qa"),
        [
            source(QA, "states", "stateMachine:another"),
            source(QA, "states", "stateMachine:model-promotion-qa2"),
            source(PRODUCTION, "states", "stateMachine:model-promotion-qa"),
        ],
    ),
    Trust(
        QA,
        "model-promotion-qa",
        "StartRole",
        "events.amazonaws.com",
        source(QA, "events", "rule/model-promotion-qa/any"),
        [
            source(QA, "events", "rule/another"),
            source(QA, "events", "rule/model-promotion-qa2/any"),
            source(PRODUCTION, "events", "rule/model-promotion-qa/any"),
        ],
    ),
    Trust(
        PRODUCTION,
        "model-promotion-production",
        "RunbookRole",
        "ssm.amazonaws.com",
        source(PRODUCTION, "ssm", "automation-execution/any"),
        [source(QA, "ssm", "automation-execution/any"), source(PRODUCTION, "ssm", "association/any")],
    ),
    Trust(
        DEV,
        "model-promotion-upstream-of-qa",
        "ForwardingRole",
        "events.amazonaws.com",
        source(DEV, "events", "rule/model-promotion-upstream-of-qa-training"),
        [
            source(DEV, "events", "rule/another"),
            source(DEV, "events", "rule/model-promotion-upstream-of-qa2-training"),
            source(QA, "events", "rule/model-promotion-upstream-of-qa-training"),
        ],
    ),
    Trust(
        QA,
        "model-promotion-upstream-of-production",
        "ForwardingRole",
        "events.amazonaws.com",
        source(QA, "events", "rule/model-promotion-qa/model-promotion-upstream-of-production-promotions"),
        [
            source(QA, "events", "rule/model-promotion-qa/another"),
            source(QA, "events", "rule/another/model-promotion-upstream-of-production-promotions"),
        ],
    ),
]


@pytest.mark.parametrize("trust", TRUSTS, ids=lambda trust: f"{trust.stack}-{trust.role}")
def test_a_service_assumes_a_role_only_for_resources_of_the_stack(stacks: EmbeddedAws, trust: Trust) -> None:
    role = role_of(trust.account, trust.stack, trust.role)

    assert identity.role_credentials(role, TRYING, ServiceCall(trust.service, trust.own))
    for service, arn in [("lambda.amazonaws.com", trust.own), *((trust.service, arn) for arn in trust.foreign)]:
        with pytest.raises(ClientError, match="sts:AssumeRole"):
            identity.role_credentials(role, TRYING, ServiceCall(service, arn))


def test_only_lambda_assumes_the_role_of_a_function(stacks: EmbeddedAws) -> None:
    role = role_of(QA, "model-promotion-qa", "CreateModelFunctionRole")
    function = source(QA, "lambda", "function:any")

    assert identity.role_credentials(role, TRYING, ServiceCall("lambda.amazonaws.com", function))
    for service in ("states.amazonaws.com", "events.amazonaws.com", "sagemaker.amazonaws.com"):
        with pytest.raises(ClientError, match="sts:AssumeRole"):
            identity.role_credentials(role, TRYING, ServiceCall(service, function))
