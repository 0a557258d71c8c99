"""Model packages of the embedded AWS: versions, approvals, events and stored fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.sagemaker_account import IMAGE, Account, refused
from tests.support.waiting import wait_for

CONTAINER = {
    "Image": IMAGE,
    "ImageDigest": "sha256:" + "0f" * 32,
    "ModelDataETag": "d41d8cd98f00b204e9800998ecf8427e",
    "Environment": {"THREADS": "2"},
    "AdditionalS3DataSource": {"S3DataType": "S3Object", "S3Uri": "s3://bucket/key"},
}
SPECIFICATION = {"Containers": [CONTAINER], "SupportedContentTypes": ["text/csv"]}


@pytest.fixture
def dev(aws: EmbeddedAws, name: str) -> Account:
    account = Account("dev", name)
    account.sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "team", "Value": "search"}])
    return account


def register(dev: Account, **request: Any) -> str:
    arguments = {"ModelPackageGroupName": dev.name, "InferenceSpecification": SPECIFICATION, **request}
    return str(dev.sagemaker.create_model_package(**arguments)["ModelPackageArn"])


def event_queue(dev: Account) -> str:
    """Create a queue that receives all events of the group's packages."""
    sqs, events = dev.client("sqs"), dev.client("events")
    url = sqs.create_queue(QueueName=dev.name)["QueueUrl"]
    events.put_rule(
        Name=dev.name,
        EventPattern=json.dumps(
            {"detail-type": ["SageMaker Model Package State Change"], "detail": {"ModelPackageGroupName": [dev.name]}}
        ),
    )
    arn = f"arn:aws:sqs:{accounts.REGION}:{dev.id}:{dev.name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_targets(Rule=dev.name, Targets=[{"Id": "queue", "Arn": arn}])
    return str(url)


def next_event(dev: Account, url: str) -> dict[str, Any]:
    sqs = dev.client("sqs")
    (message,) = wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    event: dict[str, Any] = json.loads(message["Body"])
    return event


def test_a_new_package_is_stored_completely_and_pending_approval(dev: Account) -> None:
    more = {"SourceUri": "s3://somewhere/else", "ModelLifeCycle": {"Stage": "Dev", "StageStatus": "New"}}
    arn = register(dev, **more, CustomerMetadataProperties={"reviewed": "yes"})

    described = dev.sagemaker.describe_model_package(ModelPackageName=arn)

    assert arn.endswith(f":model-package/{dev.name}/1")
    assert described["InferenceSpecification"] == SPECIFICATION
    assert {key: described[key] for key in more} == more
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["ModelPackageStatus"] == "Completed"
    assert (described["ModelPackageGroupName"], described["ModelPackageVersion"]) == (dev.name, 1)


def test_an_approval_emits_an_event_with_the_updated_fields(dev: Account) -> None:
    url = event_queue(dev)
    arn = register(dev)
    next_event(dev, url)

    dev.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    event = next_event(dev, url)

    assert event["resources"] == [arn]
    assert event["detail"]["ModelPackageArn"] == arn
    assert event["detail"]["ModelApprovalStatus"] == "Approved"
    assert event["detail"]["ModelPackageStatus"] == "Completed"
    assert event["detail"]["UpdatedModelPackageFields"] == ["ModelApprovalStatus", "ApprovalDescription"]


def test_each_version_is_a_separate_package(dev: Account) -> None:
    first, second = register(dev), register(dev, ModelApprovalStatus="Approved")

    listed = dev.sagemaker.list_model_packages(ModelPackageGroupName=dev.name)["ModelPackageSummaryList"]
    approved = dev.sagemaker.list_model_packages(ModelPackageGroupName=dev.name, ModelApprovalStatus="Approved")

    assert {each["ModelPackageArn"] for each in listed} == {first, second}
    assert [each["ModelPackageVersion"] for each in approved["ModelPackageSummaryList"]] == [2]


def test_a_package_without_a_group_has_a_name_and_tags_but_no_approval_status(dev: Account) -> None:
    name = f"{dev.name}-alone"
    arn = dev.sagemaker.create_model_package(
        ModelPackageName=name, InferenceSpecification=SPECIFICATION, Tags=[{"Key": "a", "Value": "b"}]
    )["ModelPackageArn"]

    described = dev.sagemaker.describe_model_package(ModelPackageName=name)

    assert described["ModelPackageArn"] == arn
    assert "ModelApprovalStatus" not in described
    assert dev.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]


def test_invalid_requests_are_rejected(dev: Account) -> None:
    arn = register(dev)
    describe, create = dev.sagemaker.describe_model_package, dev.sagemaker.create_model_package

    missing = arn.removesuffix("1") + "9"
    assert refused(describe, ModelPackageName=missing) == (
        "ValidationException",
        f"ModelPackage {missing} does not exist.",
    )
    assert refused(create, ModelPackageName="a", ModelPackageGroupName="b")[0] == "ValidationException"
    assert "does not exist" in refused(create, ModelPackageGroupName=f"no-{dev.name}")[1]
    untagged = "Tags are not supported in Model Package versions. Please add them to the Model Package Group."
    assert refused(create, ModelPackageGroupName=dev.name, Tags=[{"Key": "a", "Value": "b"}])[1] == untagged
    assert refused(dev.sagemaker.add_tags, ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])[1] == untagged
    assert refused(dev.sagemaker.list_tags, ResourceArn=arn)[1] == untagged
    with pytest.raises(ClientError, match="AccessDenied"):
        clients.client_as_operator("sagemaker", accounts.ACCOUNTS["qa"]).describe_model_package(ModelPackageName=arn)


def test_a_group_can_be_deleted_after_its_packages(dev: Account) -> None:
    package = register(dev)

    delete = dev.sagemaker.delete_model_package_group

    assert refused(delete, ModelPackageGroupName=dev.name)[0] == "ConflictException"
    dev.sagemaker.delete_model_package(ModelPackageName=package)
    delete(ModelPackageGroupName=dev.name)

    assert "does not exist" in refused(delete, ModelPackageGroupName=dev.name)[1]


def test_a_repeated_client_token_returns_the_first_version(dev: Account) -> None:
    first, again, other = (register(dev, ClientToken=f"{dev.name}-{token}") for token in ("one", "one", "two"))

    assert first == again
    assert other != first
