"""Common parts of the tests of state machines: short forms of states, and the results of executions."""

import json
import time
from collections.abc import Callable
from typing import Any

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ACCOUNT = accounts.ACCOUNTS["qa"]
OTHER_ACCOUNT = accounts.ACCOUNTS["dev"]
# The maximum size of an input or output.
LIMIT = 256 * 1024
_ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

Execution = dict[str, Any]
Create = Callable[..., str]
Run = Callable[..., Execution]


def trust(principal: dict[str, str]) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def create_role(account: str, name: str, principal: dict[str, str]) -> str:
    iam = clients.client_as_operator("iam", account)
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(_ALLOW_ALL))
    return str(role["Arn"])


def definition(states: dict[str, Any], **top: Any) -> str:
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **top})


def wait_for_end(states: Any, execution: str) -> Execution:
    def ended() -> Execution | None:
        description: Execution = states.describe_execution(executionArn=execution)
        return description if description["status"] != "RUNNING" else None

    return wait_until(ended, f"the end of {execution}", pause=0.05)


def messages(queue: str, count: int) -> list[Any]:
    sqs = clients.client_as_operator("sqs", ACCOUNT)
    received: list[Any] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while len(received) < count and time.monotonic() < end:
        response = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        received += [json.loads(message["Body"]) for message in response.get("Messages", [])]
    return received


def deliver_events(queue: str, rule: str, pattern: dict[str, Any]) -> None:
    """Create a rule that delivers matching events on the default bus to the queue."""
    eventbridge = clients.client_as_operator("events", ACCOUNT)
    sqs = clients.client_as_operator("sqs", ACCOUNT)
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    service = {"Service": "events.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": service, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    eventbridge.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    eventbridge.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])


def finish(output: Any) -> dict[str, Any]:
    return {"Type": "Pass", "Output": output, "End": True}


def task(resource: str, arguments: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    transition = {} if "Next" in fields else {"End": True}
    resource = f"arn:aws:states:::{resource}"
    return {"Type": "Task", "Resource": resource, "Arguments": arguments or {}, **transition, **fields}


def waiting(queue: str, **fields: Any) -> dict[str, Any]:
    """Return a task whose token is never returned."""
    arguments = {"QueueUrl": queue, "MessageBody": {"token": "{% $states.context.Task.Token %}"}}
    return task("sqs:sendMessage.waitForTaskToken", arguments, **fields)


def fail(error: str, cause: str = "as defined") -> dict[str, Any]:
    return {"Type": "Fail", "Error": error, "Cause": cause}
