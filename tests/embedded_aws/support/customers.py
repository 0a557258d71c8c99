"""The resources of a customer in an account of the embedded AWS: clients, roles, queues, rules and topics."""

import functools
import json
import time
from typing import Any

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.waiting import PATIENCE_SECONDS, wait_for

DEV = accounts.ACCOUNTS["dev"]
QA = accounts.ACCOUNTS["qa"]
PRODUCTION = accounts.ACCOUNTS["production"]


def client(service: str, account: str = DEV) -> Any:
    return _client(service, account, accounts.endpoint_url())


@functools.cache
def _client(service: str, account: str, _: str) -> Any:
    return clients.client_as_operator(service, account)


class Queue:
    """An SQS queue that accepts messages from a service, by default EventBridge."""

    def __init__(
        self, name: str, account: str = DEV, principal: str = "events.amazonaws.com", **attributes: str
    ) -> None:
        self._sqs = client("sqs", account)
        self.arn = f"arn:aws:sqs:{accounts.REGION}:{account}:{name}"
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.url = self._sqs.create_queue(QueueName=name, Attributes={"Policy": policy, **attributes})["QueueUrl"]

    def messages(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Return `count` messages, or those that arrive within `seconds`."""
        messages: list[dict[str, Any]] = []
        end = time.monotonic() + seconds
        while len(messages) < count and time.monotonic() < end:
            received = self._sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
            ).get("Messages", [])
            messages += received
            if not received:
                time.sleep(0.1)
        return messages

    def bodies(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> list[str]:
        return [message["Body"] for message in self.messages(count, seconds)]

    def body(self) -> Any:
        (body,) = self.bodies()
        return json.loads(body)


def make_role(
    name: str,
    account: str,
    action: str | list[str],
    service: str = "events.amazonaws.com",
    resource: str | list[str] = "*",
) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    permission = {"Effect": "Allow", "Action": action, "Resource": resource}
    iam = client("iam", account)
    arn = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName=name,
        PolicyName="policy",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [permission]}),
    )
    return str(arn)


def as_role(service: str, role_arn: str, session_name: str = "session") -> Any:
    """Return a client as in a Lambda function with this role."""
    source_arn = f"arn:aws:lambda:{accounts.REGION}:{accounts.account_of(role_arn)}:function:any"
    by = clients.ServiceCall("lambda.amazonaws.com", source_arn)
    return clients.client_as_role(service, role_arn, session_name, by)


def make_rule(
    name: str, pattern: dict[str, Any], *targets: dict[str, Any], bus: str = "default", account: str = DEV
) -> str:
    eventbridge = client("events", account)
    arn = eventbridge.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
    eventbridge.put_targets(
        Rule=name,
        EventBusName=bus,
        Targets=[{"Id": f"target{number}", **target} for number, target in enumerate(targets)],
    )
    return str(arn)


def put(source: str, detail: dict[str, Any] | None = None, account: str = DEV, **entry: Any) -> dict[str, Any]:
    answer = client("events", account).put_events(
        Entries=[{"Source": source, "DetailType": "Thing Happened", "Detail": json.dumps(detail or {}), **entry}]
    )
    (result,) = answer["Entries"]
    return dict(result)


def make_topic(name: str, account: str = DEV) -> str:
    """Create an SNS topic to which EventBridge can publish."""
    sns = client("sns", account)
    arn = sns.create_topic(Name=name)["TopicArn"]
    service = {"Service": "events.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": service, "Action": "sns:Publish", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return str(arn)


def stack_output(name: str, account: str = DEV) -> str:
    """Wait for a stack, and return its only output."""

    def complete() -> str | None:
        (stack,) = client("cloudformation", account).describe_stacks(StackName=name)["Stacks"]
        return str(stack["Outputs"][0]["OutputValue"]) if stack["StackStatus"].endswith("_COMPLETE") else None

    return str(wait_for(complete))


def attribute(message: dict[str, Any], name: str) -> str:
    return str(message["MessageAttributes"][name]["StringValue"])
