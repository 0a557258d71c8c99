"""SNS delivers messages to subscribed queues, and writes them to a log."""

import json
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services import sns
from tests.embedded_aws.support.customers import Queue, client, stack_output


@pytest.fixture
def topic_arn(aws: EmbeddedAws, name: str) -> str:
    return str(client("sns").create_topic(Name=name)["TopicArn"])


@pytest.fixture
def queue(aws: EmbeddedAws, name: str) -> Queue:
    return Queue(name, principal="sns.amazonaws.com")


def subscribe(topic_arn: str, queue: Queue, **attributes: str) -> None:
    client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue.arn, Attributes=attributes)


def log(aws: EmbeddedAws) -> str:
    return Path(aws.directory / sns.LOG).read_text()


def test_a_queue_receives_a_message_in_a_notification(topic_arn: str, queue: Queue) -> None:
    subscribe(topic_arn, queue)

    client("sns").publish(TopicArn=topic_arn, Subject="Hello", Message="There")

    envelope = queue.body()
    assert (envelope["Type"], envelope["Subject"], envelope["Message"]) == ("Notification", "Hello", "There")
    assert envelope["TopicArn"] == topic_arn


def test_a_queue_can_receive_raw_messages(topic_arn: str, queue: Queue) -> None:
    subscribe(topic_arn, queue, RawMessageDelivery="true")
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}}

    client("sns").publish(TopicArn=topic_arn, Message="There", MessageAttributes=attributes)

    (message,) = queue.messages()
    assert message["Body"] == "There"
    assert message["MessageAttributes"]["kind"]["StringValue"] == "x"


def test_a_filter_policy_selects_messages(topic_arn: str, queue: Queue) -> None:
    subscribe(topic_arn, queue, RawMessageDelivery="true", FilterPolicy=json.dumps({"kind": ["good"]}))

    for kind in ("bad", "good"):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        client("sns").publish(TopicArn=topic_arn, Message=kind, MessageAttributes=attributes)

    assert queue.bodies() == ["good"]
    assert queue.bodies(seconds=1) == []


def test_a_deleted_queue_does_not_prevent_other_deliveries(aws: EmbeddedAws, topic_arn: str, queue: Queue) -> None:
    deleted = Queue(queue.arn.split(":")[-1] + "-deleted", principal="sns.amazonaws.com")
    subscribe(topic_arn, deleted)
    subscribe(topic_arn, queue, RawMessageDelivery="true")
    sqs = client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=deleted.arn.split(":")[-1])["QueueUrl"])

    client("sns").publish(TopicArn=topic_arn, Message="There")

    assert queue.bodies() == ["There"]
    assert f"not delivered to {deleted.arn}" in log(aws)


@pytest.mark.parametrize(
    "request_",
    [
        {"Message": "It is live.\nAll is well."},
        {"Message": json.dumps({"default": "It is live.\nAll is well."}), "MessageStructure": "json"},
    ],
    ids=["plain", "by protocol"],
)
def test_messages_are_written_to_the_log(aws: EmbeddedAws, topic_arn: str, request_: dict[str, Any]) -> None:
    client("sns").subscribe(TopicArn=topic_arn, Protocol="email", Endpoint="someone@example.com")

    client("sns").publish(TopicArn=topic_arn, Subject="Promoted", **request_)

    assert f"{topic_arn} Promoted\n    It is live.\n    All is well.\n" in log(aws)


TEMPLATE = """
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}
            Action: "kms:*"
            Resource: "*"
  Topic:
    Type: AWS::SNS::Topic
    Properties:
      KmsMasterKeyId: !Ref Key
Outputs:
  Topic:
    Value: !Ref Topic
"""


def test_a_topic_with_a_kms_key_delivers_messages(aws: EmbeddedAws, name: str, queue: Queue) -> None:
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=TEMPLATE)
    topic_arn = stack_output(name)
    subscribe(topic_arn, queue, RawMessageDelivery="true")

    client("sns").publish(TopicArn=topic_arn, Message="There")

    assert queue.bodies() == ["There"]
    assert client("sns").get_topic_attributes(TopicArn=topic_arn)["Attributes"]["KmsMasterKeyId"]


@pytest.mark.parametrize("subject", ["two\nlines", "a\ttab"])
def test_a_subject_has_no_control_characters(topic_arn: str, aws: EmbeddedAws, subject: str) -> None:
    with pytest.raises(client("sns").exceptions.InvalidParameterException, match="Subject"):
        client("sns").publish(TopicArn=topic_arn, Subject=subject, Message="There")

    assert topic_arn not in log(aws)
