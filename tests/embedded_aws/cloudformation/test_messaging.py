"""Resources of EventBridge, SNS, SQS and CloudWatch, deployed by small templates."""

import json
from typing import Any

import pytest

from embedded_aws.kernel import accounts
from tests.embedded_aws.support.resource_stacks import ACCOUNT, Deploy, allow, attributes_of, client, delete_stack


def test_event_bus_policy_and_rules(deploy: Deploy, name: str) -> None:
    bus = {"Name": name}
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{accounts.ACCOUNTS['dev']}:root"},
        "Action": "events:PutEvents",
        "Resource": {"Fn::GetAtt": ["B", "Arn"]},
        "Condition": {"StringEquals": {"events:source": "x"}},
    }
    bus_policy = {"EventBusName": {"Ref": "B"}, "StatementId": "upstream", "Statement": statement}
    target = {
        "Id": "queue",
        "Arn": {"Fn::GetAtt": ["Q", "Arn"]},
        "InputTransformer": {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"n": <n>}'},
        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Q", "Arn"]}},
        "RetryPolicy": {"MaximumRetryAttempts": 1},
    }
    rule: dict[str, Any] = {
        "EventBusName": {"Ref": "B"},
        "Description": "d",
        "EventPattern": {"source": ["x"]},
        "State": "DISABLED",
        "Targets": [target],
    }
    on_default = {"EventPattern": {"source": ["y"]}, "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Q", "Arn"]}}]}
    queue_policy = {
        "Queues": [{"Ref": "Q"}],
        "PolicyDocument": allow("sqs:SendMessage", {"Fn::GetAtt": ["Q", "Arn"]}, "events.amazonaws.com"),
    }
    resources = {
        "Q": {"Type": "AWS::SQS::Queue"},
        "QP": {"Type": "AWS::SQS::QueuePolicy", "Properties": queue_policy},
        "B": {"Type": "AWS::Events::EventBus", "Properties": bus},
        "BP": {"Type": "AWS::Events::EventBusPolicy", "Properties": bus_policy},
        "R": {"Type": "AWS::Events::Rule", "Properties": rule, "DependsOn": "QP"},
        "D": {"Type": "AWS::Events::Rule", "Properties": on_default, "DependsOn": "QP"},
    }
    eventbridge = client("events")

    outputs = deploy(
        resources,
        attributes_of("B", "Arn") | {"R": {"Ref": "R"}, "RArn": {"Fn::GetAtt": ["R", "Arn"]}, "D": {"Ref": "D"}},
    )

    described = eventbridge.describe_event_bus(Name=name)
    assert (outputs["Ref"], outputs["Arn"]) == (name, described["Arn"])
    (read,) = json.loads(described["Policy"])["Statement"]
    assert (read["Sid"], read["Condition"], read["Resource"]) == ("upstream", statement["Condition"], described["Arn"])
    rule_name = outputs["R"].removeprefix(f"{name}|")
    assert rule_name.startswith(f"{name}-R-")
    rule_description = eventbridge.describe_rule(Name=rule_name, EventBusName=name)
    assert outputs["RArn"] == rule_description["Arn"]
    assert (json.loads(rule_description["EventPattern"]), rule_description["State"]) == ({"source": ["x"]}, "DISABLED")
    (read_target,) = eventbridge.list_targets_by_rule(Rule=rule_name, EventBusName=name)["Targets"]
    assert read_target["InputTransformer"] == target["InputTransformer"]
    assert read_target["RetryPolicy"] == {"MaximumRetryAttempts": 1}
    assert read_target["DeadLetterConfig"]["Arn"] == read_target["Arn"]
    assert outputs["D"].startswith(f"{name}-D-")
    assert eventbridge.describe_rule(Name=outputs["D"])["State"] == "ENABLED"

    rule |= {"State": "ENABLED", "EventPattern": {"source": ["z"]}, "Targets": [target | {"Id": "other"}]}
    statement["Condition"] = {"StringEquals": {"events:source": "z"}}
    deploy(resources)

    rule_description = eventbridge.describe_rule(Name=rule_name, EventBusName=name)
    assert (json.loads(rule_description["EventPattern"]), rule_description["State"]) == ({"source": ["z"]}, "ENABLED")
    targets = eventbridge.list_targets_by_rule(Rule=rule_name, EventBusName=name)["Targets"]
    assert [read_target["Id"] for read_target in targets] == ["other"]
    (read,) = json.loads(eventbridge.describe_event_bus(Name=name)["Policy"])["Statement"]
    assert read["Condition"] == statement["Condition"]

    delete_stack(name)
    with pytest.raises(eventbridge.exceptions.ResourceNotFoundException):
        eventbridge.describe_event_bus(Name=name)
    with pytest.raises(eventbridge.exceptions.ResourceNotFoundException):
        eventbridge.describe_rule(Name=outputs["D"])


def test_topic_subscription_and_policy(deploy: Deploy, name: str) -> None:
    subscription = {
        "TopicArn": {"Ref": "T"},
        "Protocol": "sqs",
        "Endpoint": {"Fn::GetAtt": ["Q", "Arn"]},
        "RawMessageDelivery": True,
        "FilterPolicy": {"kind": ["a"]},
    }
    policy = {"Topics": [{"Ref": "T"}], "PolicyDocument": allow("sns:Publish", {"Ref": "T"}, "events.amazonaws.com")}
    resources = {
        "Q": {"Type": "AWS::SQS::Queue"},
        "T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name, "DisplayName": "d"}},
        "S": {"Type": "AWS::SNS::Subscription", "Properties": subscription},
        "P": {"Type": "AWS::SNS::TopicPolicy", "Properties": policy},
    }
    sns = client("sns")

    outputs = deploy(resources, attributes_of("T", "TopicName", "TopicArn") | {"S": {"Ref": "S"}})

    attributes = sns.get_topic_attributes(TopicArn=outputs["Ref"])["Attributes"]
    assert outputs["Ref"] == outputs["TopicArn"] == f"arn:aws:sns:eu-west-1:{ACCOUNT}:{name}"
    assert (outputs["TopicName"], attributes["DisplayName"]) == (name, "d")
    assert json.loads(attributes["Policy"])["Statement"][0]["Resource"] == outputs["Ref"]
    read = sns.get_subscription_attributes(SubscriptionArn=outputs["S"])["Attributes"]
    assert (read["RawMessageDelivery"], json.loads(read["FilterPolicy"])) == ("true", {"kind": ["a"]})

    subscription["FilterPolicy"] = {"kind": ["b"]}
    deploy(resources)

    read = sns.get_subscription_attributes(SubscriptionArn=outputs["S"])["Attributes"]
    assert json.loads(read["FilterPolicy"]) == {"kind": ["b"]}
    delete_stack(name)
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.get_topic_attributes(TopicArn=outputs["Ref"])


def test_queue(deploy: Deploy, name: str) -> None:
    properties = {"MessageRetentionPeriod": 1209600, "SqsManagedSseEnabled": True, "VisibilityTimeout": "60"}
    sqs = client("sqs")

    def attributes(url: str) -> dict[str, str]:
        read: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return read

    outputs = deploy(
        {"Q": {"Type": "AWS::SQS::Queue", "Properties": properties}}, attributes_of("Q", "Arn", "QueueName", "QueueUrl")
    )

    url = outputs["Ref"]
    assert outputs["QueueName"].startswith(f"{name}-Q-")
    assert (outputs["QueueUrl"], outputs["Arn"]) == (url, attributes(url)["QueueArn"])
    assert (attributes(url)["MessageRetentionPeriod"], attributes(url)["VisibilityTimeout"]) == ("1209600", "60")

    properties["MessageRetentionPeriod"] = 345600
    deploy({"Q": {"Type": "AWS::SQS::Queue", "Properties": properties}})
    assert attributes(url)["MessageRetentionPeriod"] == "345600"


def test_alarm(deploy: Deploy, name: str) -> None:
    alarm = {
        "AlarmDescription": "d",
        "Namespace": "AWS/States",
        "MetricName": "ExecutionsFailed",
        "Dimensions": [{"Name": "StateMachineArn", "Value": "x"}],
        "Statistic": "Sum",
        "Period": "60",
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [f"arn:aws:sns:eu-west-1:{ACCOUNT}:t"],
    }
    resources = {"A": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm}}
    cloudwatch = client("cloudwatch")

    outputs = deploy(resources, attributes_of("A", "Arn"))

    (read,) = cloudwatch.describe_alarms(AlarmNames=[outputs["Ref"]])["MetricAlarms"]
    assert outputs["Ref"].startswith(f"{name}-A-")
    assert outputs["Arn"] == read["AlarmArn"]
    assert (read["Period"], read["Threshold"], read["TreatMissingData"]) == (60, 1.0, "notBreaching")
    assert read["Dimensions"] == alarm["Dimensions"]

    alarm["Threshold"] = 5
    deploy(resources)
    assert cloudwatch.describe_alarms(AlarmNames=[outputs["Ref"]])["MetricAlarms"][0]["Threshold"] == 5.0
    delete_stack(name)
    assert cloudwatch.describe_alarms(AlarmNames=[outputs["Ref"]])["MetricAlarms"] == []
