"""Resource types of EventBridge, SNS, SQS and CloudWatch."""

from __future__ import annotations

import json
from typing import Any, override

from embedded_aws.services.cloudformation.resource_types.base import Resource

_TOPIC_ACTIONS = (
    "AddPermission",
    "DeleteTopic",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "Publish",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
)


class TargetError(Exception):
    """EventBridge refused a target of a rule."""


class EventBus(Resource, of="AWS::Events::EventBus", name="Name"):
    """An EventBridge event bus."""

    @override
    def create(self) -> None:
        arn = self.call("events", "create_event_bus", self.properties | {"Name": self.name})["EventBusArn"]
        self.set_identity(self.name, Arn=arn, Name=self.name)
        self._set_policy()

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.call("events", "update_event_bus", self.properties | {"Name": self.name})
        self._set_policy()

    @override
    def delete(self) -> None:
        self.call("events", "delete_event_bus", {"Name": self.name})

    def _set_policy(self) -> None:
        if policy := self.properties.get("Policy"):
            self.call("events", "put_permission", {"EventBusName": self.name, "Policy": policy})


class EventBusPolicy(Resource, of="AWS::Events::EventBusPolicy", fixed=("EventBusName", "StatementId")):
    """A statement of an event bus's resource-based policy."""

    @override
    def create(self) -> None:
        if "Statement" in self.properties:
            self._put_statement(self.properties["Statement"] | {"Sid": self.properties["StatementId"]})
        else:
            self.call("events", "put_permission", self.properties)
        self.set_identity(self.name)

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.delete()
        self.create()

    @override
    def delete(self) -> None:
        self.call("events", "remove_permission", self.properties)

    def _put_statement(self, statement: dict[str, Any]) -> None:
        """Set the statement as part of the whole policy: only then does PutPermission accept conditions."""
        bus = self.properties.get("EventBusName", "default")
        existing = self.call("events", "describe_event_bus", {"Name": bus}).get("Policy")
        policy: dict[str, Any] = json.loads(existing) if existing else {"Version": "2012-10-17", "Statement": []}
        others = [other for other in policy["Statement"] if other.get("Sid") != statement["Sid"]]
        policy["Statement"] = [*others, statement]
        self.call("events", "put_permission", {"EventBusName": bus, "Policy": policy})


class Rule(Resource, of="AWS::Events::Rule", name="Name", limit=64, fixed=("EventBusName",)):
    """An EventBridge rule with its targets."""

    @override
    def create(self) -> None:
        arn = self.call("events", "put_rule", self.properties | {"Name": self.name})["RuleArn"]
        bus = str(self.properties.get("EventBusName", "default")).rpartition("/")[2]
        self.set_identity(self.name if bus == "default" else f"{bus}|{self.name}", Arn=arn)
        self._put_targets()

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.call("events", "put_rule", self.properties | {"Name": self.name})
        kept = {target["Id"] for target in self.properties.get("Targets", [])}
        self._remove_targets([target["Id"] for target in old.get("Targets", []) if target["Id"] not in kept])
        self._put_targets()

    @override
    def delete(self) -> None:
        self._remove_targets([target["Id"] for target in self.properties.get("Targets", [])])
        self.call("events", "delete_rule", self.properties | {"Name": self.name})

    def _put_targets(self) -> None:
        if self.properties.get("Targets"):
            answer = self.call("events", "put_targets", self.properties | {"Rule": self.name})
            if answer["FailedEntryCount"]:
                raise TargetError(json.dumps(answer["FailedEntries"]))

    def _remove_targets(self, ids: list[str]) -> None:
        if ids:
            self.call("events", "remove_targets", self.properties | {"Rule": self.name, "Ids": ids})


class Topic(Resource, of="AWS::SNS::Topic", name="TopicName", limit=256, fixed=("FifoTopic",)):
    """An SNS topic."""

    _ATTRIBUTES = ("DisplayName", "KmsMasterKeyId", "FifoTopic", "ContentBasedDeduplication", "SignatureVersion")

    @override
    def create(self) -> None:
        attributes = {name: self.properties[name] for name in self._ATTRIBUTES if name in self.properties}
        request = {"Name": self.name, "Attributes": attributes, "Tags": self.properties.get("Tags")}
        arn = self.call("sns", "create_topic", request)["TopicArn"]
        self.set_identity(arn, TopicArn=arn, TopicName=self.name)
        for subscription in self.properties.get("Subscription", []):
            self.call("sns", "subscribe", subscription | {"TopicArn": arn})

    @override
    def update(self, old: dict[str, Any]) -> None:
        topic = {"TopicArn": self.physical_resource_id}
        for name in set(self._ATTRIBUTES) - self.fixed:
            if self.properties.get(name) != old.get(name):
                attribute = {"AttributeName": name, "AttributeValue": self.properties.get(name, "")}
                self.call("sns", "set_topic_attributes", topic | attribute)
        for subscription in self.properties.get("Subscription", []):
            self.call("sns", "subscribe", subscription | topic)

    @override
    def delete(self) -> None:
        self.call("sns", "delete_topic", {"TopicArn": self.physical_resource_id})


class Subscription(Resource, of="AWS::SNS::Subscription", fixed=("TopicArn", "Protocol", "Endpoint")):
    """A subscription to an SNS topic."""

    _ATTRIBUTES = ("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy", "DeliveryPolicy")

    @override
    def create(self) -> None:
        attributes = {name: self.properties[name] for name in self._ATTRIBUTES if name in self.properties}
        request = self.properties | {"Attributes": attributes, "ReturnSubscriptionArn": True}
        arn = self.call("sns", "subscribe", request)["SubscriptionArn"]
        self.set_identity(arn, Arn=arn)

    @override
    def update(self, old: dict[str, Any]) -> None:
        for name in self._ATTRIBUTES:
            if self.properties.get(name) != old.get(name):
                attribute = {"AttributeName": name, "AttributeValue": self.properties.get(name, {})}
                request = {"SubscriptionArn": self.physical_resource_id} | attribute
                self.call("sns", "set_subscription_attributes", request)

    @override
    def delete(self) -> None:
        self.call("sns", "unsubscribe", {"SubscriptionArn": self.physical_resource_id})


class TopicPolicy(Resource, of="AWS::SNS::TopicPolicy", fixed=("Topics",)):
    """The policy of SNS topics."""

    @override
    def create(self) -> None:
        for topic in self.properties["Topics"]:
            self._set(topic, self.properties["PolicyDocument"])
        self.set_identity(self.name, Id=self.name)

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.create()

    @override
    def delete(self) -> None:
        for topic in self.properties["Topics"]:
            self._set(topic, self._default_policy(topic))

    def _set(self, topic: str, policy: dict[str, Any]) -> None:
        attribute = {"AttributeName": "Policy", "AttributeValue": policy}
        self.call("sns", "set_topic_attributes", {"TopicArn": topic} | attribute)

    def _default_policy(self, topic: str) -> dict[str, Any]:
        """Return the initial policy of a topic: IAM decides about principals of the topic's account."""
        statement = {
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [f"SNS:{action}" for action in _TOPIC_ACTIONS],
            "Resource": topic,
            "Condition": {"StringEquals": {"AWS:SourceOwner": self.account}},
        }
        return {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}


class Queue(Resource, of="AWS::SQS::Queue", name="QueueName", limit=80, fixed=("FifoQueue",)):
    """An SQS queue."""

    @override
    def create(self) -> None:
        request = {"QueueName": self.name, "Attributes": self._attributes(), "tags": self.properties.get("Tags")}
        url = self.call("sqs", "create_queue", request)["QueueUrl"]
        arn = f"arn:aws:sqs:{self.region}:{self.account}:{self.name}"
        self.set_identity(url, Arn=arn, QueueName=self.name, QueueUrl=url)

    @override
    def update(self, old: dict[str, Any]) -> None:
        attributes = {name: value for name, value in self._attributes().items() if name not in self.fixed}
        queue = {"QueueUrl": self.physical_resource_id, "Attributes": attributes}
        self.call("sqs", "set_queue_attributes", queue)

    @override
    def delete(self) -> None:
        self.call("sqs", "delete_queue", {"QueueUrl": self.physical_resource_id})

    def _attributes(self) -> dict[str, Any]:
        return {name: value for name, value in self.properties.items() if name not in ("QueueName", "Tags")}


class QueuePolicy(Resource, of="AWS::SQS::QueuePolicy", fixed=("Queues",)):
    """The policy of SQS queues."""

    @override
    def create(self) -> None:
        self._set(self.properties["PolicyDocument"])
        self.set_identity(self.name, Id=self.name)

    @override
    def update(self, old: dict[str, Any]) -> None:
        self._set(self.properties["PolicyDocument"])

    @override
    def delete(self) -> None:
        self._set("")

    def _set(self, policy: Any) -> None:
        for queue in self.properties["Queues"]:
            self.call("sqs", "set_queue_attributes", {"QueueUrl": queue, "Attributes": {"Policy": policy}})


class Alarm(Resource, of="AWS::CloudWatch::Alarm", name="AlarmName", limit=255):
    """A CloudWatch metric alarm."""

    @override
    def create(self) -> None:
        self.call("cloudwatch", "put_metric_alarm", self.properties | {"AlarmName": self.name})
        self.set_identity(self.name, Arn=f"arn:aws:cloudwatch:{self.region}:{self.account}:alarm:{self.name}")

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.create()

    @override
    def delete(self) -> None:
        self.call("cloudwatch", "delete_alarms", {"AlarmNames": [self.name]})


class Dashboard(Resource, of="AWS::CloudWatch::Dashboard", name="DashboardName", limit=255):
    """A CloudWatch dashboard."""

    @override
    def create(self) -> None:
        self.call("cloudwatch", "put_dashboard", self.properties | {"DashboardName": self.name})
        self.set_identity(self.name)

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.create()

    @override
    def delete(self) -> None:
        self.call("cloudwatch", "delete_dashboards", {"DashboardNames": [self.name]})
