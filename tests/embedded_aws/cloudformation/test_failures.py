"""Failed changes of stacks: what is rolled back, what remains, and what can be repeated."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.resource_stacks import client, delete_stack
from tests.support.waiting import wait_for

BROKEN = "Broken: {Type: AWS::SQS::QueuePolicy, DependsOn: [POLICIES], Properties: {Queues: [no], PolicyDocument: {}}}"


@pytest.fixture
def stacks(aws: EmbeddedAws) -> Any:
    return client("cloudformation")


def status(stacks: Any, name: str) -> str:
    return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def ended(stacks: Any, name: str) -> str:
    """Wait until nothing is in progress, and return the status of the stack."""
    wait_for(lambda: not status(stacks, name).endswith("IN_PROGRESS"))
    return status(stacks, name)


def exists(queue: str) -> bool:
    return bool(client("sqs").list_queues(QueueNamePrefix=queue).get("QueueUrls"))


def template(name: str, *, broken: bool, **policies: str) -> str:
    queues = [
        f"  {policy}: {{Type: AWS::SQS::Queue, DeletionPolicy: {policy}, "
        f"Properties: {{QueueName: {name}-{policy}, MessageRetentionPeriod: {seconds}}}}}"
        for policy, seconds in policies.items()
    ]
    broken_lines = ["  " + BROKEN.replace("POLICIES", ", ".join(policies))] if broken else []
    return "\n".join(["Resources:", *queues, *broken_lines])


ALL = {"Delete": "60", "Retain": "60", "RetainExceptOnCreate": "60"}


def test_a_failed_create_is_rolled_back_except_for_what_is_retained(stacks: Any, name: str) -> None:
    stacks.create_stack(StackName=name, TemplateBody=template(name, broken=True, **ALL))

    assert ended(stacks, name) == "ROLLBACK_COMPLETE"

    assert {policy: exists(f"{name}-{policy}") for policy in ALL} == {
        "Delete": False,
        "Retain": True,
        "RetainExceptOnCreate": False,
    }
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stacks.update_stack(StackName=name, TemplateBody=template(name, broken=False, **ALL))
    # The stack can only be deleted; the retained queue then has the name that the next create requires.
    delete_stack(name)
    stacks.create_stack(StackName=name, TemplateBody=template(name, broken=False, **ALL))
    assert ended(stacks, name) == "CREATE_COMPLETE"


def test_what_was_created_completely_remains_under_both_policies(stacks: Any, name: str) -> None:
    stacks.create_stack(StackName=name, TemplateBody=template(name, broken=False, **ALL))
    assert ended(stacks, name) == "CREATE_COMPLETE"

    delete_stack(name)

    assert [exists(f"{name}-{policy}") for policy in ALL] == [False, True, True]


def test_a_failed_update_is_rolled_back(stacks: Any, name: str) -> None:
    stacks.create_stack(StackName=name, TemplateBody=template(name, broken=False, Delete="60"))
    assert ended(stacks, name) == "CREATE_COMPLETE"

    changed = template(name, broken=True, Delete="90", RetainExceptOnCreate="60")
    stacks.update_stack(StackName=name, TemplateBody=changed)

    assert ended(stacks, name) == "UPDATE_ROLLBACK_COMPLETE"
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=f"{name}-Delete")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["MessageRetentionPeriod"])["Attributes"]
    assert attributes == {"MessageRetentionPeriod": "60"}
    assert not exists(f"{name}-RetainExceptOnCreate")
    resources = stacks.describe_stack_resources(StackName=name)["StackResources"]
    assert [resource["LogicalResourceId"] for resource in resources] == ["Delete"]
    delete_stack(name)


def test_a_bucket_that_is_not_empty_fails_the_deletion_which_can_be_repeated(stacks: Any, name: str) -> None:
    body = f"Resources: {{Bucket: {{Type: AWS::S3::Bucket, Properties: {{BucketName: {name}}}}}}}"
    stacks.create_stack(StackName=name, TemplateBody=body)
    assert ended(stacks, name) == "CREATE_COMPLETE"
    client("s3").put_object(Bucket=name, Key="object", Body=b"")

    # The answer does not wait for the deletion.
    stacks.delete_stack(StackName=name)

    assert ended(stacks, name) == "DELETE_FAILED"
    reasons = [
        event.get("ResourceStatusReason", "") for event in stacks.describe_stack_events(StackName=name)["StackEvents"]
    ]
    assert "failed to delete: [Bucket]" in reasons[0]
    assert "BucketNotEmpty" in reasons[1]
    client("s3").delete_object(Bucket=name, Key="object")
    delete_stack(name)
    with pytest.raises(ClientError, match="does not exist"):
        status(stacks, name)
