"""EventBridge: matching of rules, delivery to targets, and dead letters."""

import datetime
import io
import json
import textwrap
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sns.exceptions import InternalError
from moto.sns.models import SNSBackend

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from embedded_aws.services.events import api as events
from tests.embedded_aws.support.customers import (
    DEV,
    PRODUCTION,
    QA,
    Queue,
    as_role,
    attribute,
    client,
    make_role,
    make_rule,
    make_topic,
    put,
)
from tests.support.waiting import wait_for

DETAIL = {"name": "pen", "count": 7}


def make_bus(name: str, account: str = DEV, admits: str = "") -> str:
    eventbridge = client("events", account)
    arn = eventbridge.create_event_bus(Name=name)["EventBusArn"]
    if admits:
        eventbridge.put_permission(
            EventBusName=name, Action="events:PutEvents", Principal=admits, StatementId=f"Admit{admits}"
        )
    return str(arn)


@pytest.fixture
def queue(aws: EmbeddedAws, name: str) -> Queue:
    return Queue(name)


def test_an_event_reaches_the_target_of_a_rule_that_matches_it(queue: Queue, name: str) -> None:
    make_rule(name, {"source": [name]}, {"Arn": queue.arn})
    time = datetime.datetime(2024, 5, 6, 7, 8, 9, 123, datetime.UTC)

    put(name, {"a": [1, {"b": None}]}, Resources=["arn:aws:x"], Time=time)

    event = queue.body()
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "Thing Happened",
        "source": name,
        "account": DEV,
        "time": "2024-05-06T07:08:09Z",
        "region": accounts.REGION,
        "resources": ["arn:aws:x"],
        "detail": {"a": [1, {"b": None}]},
    }


def test_an_event_of_an_aws_service_is_put_on_the_default_bus(queue: Queue, name: str) -> None:
    make_rule(name, {"source": ["aws.sagemaker"], "detail": {"Name": [name]}}, {"Arn": queue.arn})

    events.emit(DEV, "aws.sagemaker", "Something Changed", {"Name": name}, ["arn:aws:sagemaker:x"])

    event = queue.body()
    assert (event["source"], event["detail-type"], event["account"]) == ("aws.sagemaker", "Something Changed", DEV)
    assert event["resources"] == ["arn:aws:sagemaker:x"]
    datetime.datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")


def test_a_source_of_aws_is_reserved(aws: EmbeddedAws, name: str) -> None:
    answer = put("aws.sagemaker")

    assert answer == {
        "ErrorCode": "NotAuthorizedForSourceException",
        "ErrorMessage": "Not authorized for the source.",
    }


@pytest.mark.parametrize("detail", ["", "not json", '"text"', "[]"])
def test_a_detail_that_is_not_an_object_is_refused(aws: EmbeddedAws, name: str, detail: str) -> None:
    answer = put(name, Detail=detail)

    assert answer["ErrorCode"] == ("MalformedDetail" if detail else "InvalidArgument")


def test_put_events_accepts_at_most_ten_entries(aws: EmbeddedAws, name: str) -> None:
    entry = {"Source": name, "DetailType": "x", "Detail": "{}"}

    with pytest.raises(ClientError, match="less than or equal to 10"):
        client("events").put_events(Entries=[entry] * 11)


def test_an_event_for_a_bus_that_does_not_exist_is_accepted_and_dropped(aws: EmbeddedAws, name: str) -> None:
    assert "EventId" in put(name, EventBusName=name)


def test_a_rule_matches_only_events_of_its_bus(queue: Queue, name: str) -> None:
    bus_arn = make_bus(name)
    make_rule(name, {"source": [name]}, {"Arn": queue.arn}, bus=name)

    put(name, {"on": "default"})
    put(name, {"on": "bus"}, EventBusName=bus_arn)

    assert queue.body()["detail"] == {"on": "bus"}
    assert queue.bodies(seconds=1) == []


def test_a_disabled_rule_matches_nothing(queue: Queue, name: str) -> None:
    make_rule(name, {"source": [name]}, {"Arn": queue.arn})
    client("events").disable_rule(Name=name)

    put(name)

    assert queue.bodies(seconds=1) == []


def test_a_rule_with_a_schedule_matches_no_event(queue: Queue, name: str) -> None:
    eventbridge = client("events")
    eventbridge.put_rule(Name=name, ScheduleExpression="rate(1 day)")
    eventbridge.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn}])

    put(name)

    assert queue.bodies(seconds=1) == []


def test_every_target_of_a_rule_receives_the_event_once(queue: Queue, name: str) -> None:
    other = Queue(f"{name}-other")
    make_rule(name, {"source": [name]}, {"Arn": queue.arn}, {"Arn": other.arn})

    put(name)

    for each in (queue, other):
        assert len(each.bodies()) == 1
        assert each.bodies(seconds=1) == []


def test_a_fifo_queue_receives_the_event_with_the_message_group_id(aws: EmbeddedAws, name: str) -> None:
    queue = Queue(f"{name}.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    make_rule(name, {"source": [name]}, {"Arn": queue.arn, "SqsParameters": {"MessageGroupId": "one"}})

    put(name)

    (message,) = queue.messages()
    assert message["Attributes"]["MessageGroupId"] == "one"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"Input": "{}", "InputPath": "$.detail"}, "Only one of Input, InputPath, or InputTransformer"),
        ({"Input": "{"}, "JSON syntax error in input"),
        ({"InputTransformer": {"InputTemplate": '"<nothing>"'}}, "contains invalid placeholder nothing"),
        ({"Arn": f"arn:aws:states:eu-west-1:{DEV}:stateMachine:x"}, "RoleArn is required for target"),
        ({"Arn": f"arn:aws:ssm:eu-west-1:{DEV}:automation-definition/x"}, "RoleArn is required for target"),
        ({"Arn": f"arn:aws:events:eu-west-1:{QA}:event-bus/default"}, "RoleArn is required for target"),
        ({"Arn": "arn:aws:sqs"}, "not in correct format"),
    ],
    ids=str,
)
def test_an_invalid_target_is_refused(queue: Queue, name: str, target: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        make_rule(name, {"source": [name]}, {"Arn": queue.arn, **target})


def test_a_rule_has_at_most_five_targets(queue: Queue, name: str) -> None:
    with pytest.raises(ClientError, match="LimitExceededException"):
        make_rule(name, {"source": [name]}, *([{"Arn": queue.arn}] * 6))


def test_a_state_machine_is_started_with_the_role_of_the_target(aws: EmbeddedAws, name: str) -> None:
    states = client("stepfunctions")
    machine_arn = states.create_state_machine(
        name=name,
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}),
        roleArn=make_role(f"{name}-machine", DEV, "x:y", "states.amazonaws.com"),
    )["stateMachineArn"]
    role_arn = make_role(name, DEV, "states:StartExecution")
    make_rule(name, {"source": [name]}, {"Arn": machine_arn, "RoleArn": role_arn})

    put(name, DETAIL)

    (execution,) = wait_for(lambda: states.list_executions(stateMachineArn=machine_arn)["executions"])
    started = states.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(started["input"])["detail"] == DETAIL
    assert started["name"].startswith(json.loads(started["input"])["id"])


def test_a_function_is_invoked_if_its_policy_allows_the_rule(queue: Queue, name: str) -> None:
    source = f"""
        import json, boto3
        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl="{queue.url}", MessageBody=json.dumps(event))
    """
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", textwrap.dedent(source))
    functions = client("lambda")
    function_arn = functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="app.handler",
        Code={"ZipFile": package.getvalue()},
        Role=make_role(name, DEV, "sqs:SendMessage", "lambda.amazonaws.com"),
    )["FunctionArn"]
    rule_arn = make_rule(name, {"source": [name]}, {"Arn": function_arn})
    functions.add_permission(
        FunctionName=name,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )

    put(name, DETAIL)

    assert queue.body()["detail"] == DETAIL


def test_a_topic_publishes_the_event_to_its_subscribers(queue: Queue, name: str) -> None:
    sns = client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic_arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic_arn, AttributeName="Policy", AttributeValue=policy)
    subscribe(queue, topic_arn)
    make_rule(name, {"source": [name]}, {"Arn": topic_arn, "InputPath": "$.detail"})

    put(name, DETAIL)

    assert queue.body() == DETAIL


def test_a_topic_policy_cannot_depend_on_the_source_of_the_event(aws: EmbeddedAws, name: str) -> None:
    dead = Queue(f"{name}-dead")
    sns = client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic_arn,
        "Condition": {"StringEquals": {"aws:SourceAccount": DEV}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic_arn, AttributeName="Policy", AttributeValue=policy)
    make_rule(name, {"source": [name]}, {"Arn": topic_arn, "DeadLetterConfig": {"Arn": dead.arn}})

    put(name, DETAIL)

    (letter,) = dead.messages()
    assert attribute(letter, "ERROR_CODE") == "NO_PERMISSIONS"


def subscribe(queue: Queue, topic_arn: str, **attributes: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
    }
    sqs = client("sqs")
    sqs.set_queue_attributes(
        QueueUrl=sqs.get_queue_url(QueueName=queue.arn.split(":")[-1])["QueueUrl"],
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})},
    )
    client("sns").subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue.arn,
        Attributes={"RawMessageDelivery": "true", **attributes},
    )


def test_an_event_is_written_to_a_log_group(aws: EmbeddedAws, name: str) -> None:
    group = f"/aws/events/{name}"
    logs = client("logs")
    logs.create_log_group(logGroupName=group)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]},
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"arn:aws:logs:{accounts.REGION}:{DEV}:log-group:/aws/events/*:*",
    }
    logs.put_resource_policy(
        policyName=name, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    make_rule(name, {"source": [name]}, {"Arn": f"arn:aws:logs:{accounts.REGION}:{DEV}:log-group:{group}"})

    put(name, DETAIL)

    (line,) = wait_for(lambda: logs.filter_log_events(logGroupName=group)["events"])
    assert json.loads(line["message"])["detail"] == DETAIL


def test_a_bus_forwards_an_event_unchanged_to_a_bus_of_another_account(aws: EmbeddedAws, name: str) -> None:
    bus_arn = make_bus(name, QA, admits=DEV)
    received = Queue(name, QA)
    make_rule(name, {"account": [DEV], "detail": {"Name": [name]}}, {"Arn": received.arn}, bus=name, account=QA)
    forward(name, DEV, bus_arn)

    events.emit(DEV, "aws.sagemaker", "Something Changed", {"Name": name}, ["arn:aws:sagemaker:x"])

    event = received.body()
    assert (event["account"], event["source"]) == (DEV, "aws.sagemaker")
    assert event["resources"] == ["arn:aws:sagemaker:x"]


def forward(name: str, account: str, bus_arn: str, bus: str = "default", **target: Any) -> None:
    """Create a rule that forwards events with `name` in their detail to a bus."""
    role_arn = make_role(f"{name}-{bus_arn.split(':')[4]}", account, "events:PutEvents")
    make_rule(
        f"{name}-forward",
        {"detail": {"Name": [name]}},
        {"Arn": bus_arn, "RoleArn": role_arn, **target},
        bus=bus,
        account=account,
    )


@pytest.mark.parametrize("third", [PRODUCTION, QA], ids=["another account", "another bus of the same account"])
def test_an_event_is_forwarded_only_once(aws: EmbeddedAws, name: str, third: str) -> None:
    second_bus = make_bus(name, QA, admits=DEV)
    third_bus = make_bus(f"{name}-third", third, admits=QA)
    received = Queue(name, third)
    make_rule(name, {"detail": {"Name": [name]}}, {"Arn": received.arn}, bus=f"{name}-third", account=third)
    dead = Queue(f"{name}-dead", QA)
    forward(name, DEV, second_bus)
    forward(name, QA, third_bus, bus=name, DeadLetterConfig={"Arn": dead.arn})

    put(name, {"Name": name})

    (letter,) = dead.messages()
    assert attribute(letter, "ERROR_CODE") == "THIRD_ACCOUNT_HOP_DETECTED"
    assert json.loads(letter["Body"])["account"] == DEV
    assert received.bodies(seconds=0.5) == []


def test_an_event_that_is_put_again_is_forwarded_again(aws: EmbeddedAws, name: str) -> None:
    bus_arn = make_bus(name, PRODUCTION, admits=QA)
    received = Queue(name, PRODUCTION)
    make_rule(name, {"source": [name]}, {"Arn": received.arn}, bus=name, account=PRODUCTION)
    forward(name, QA, bus_arn)

    put(name, {"Name": name}, QA)

    assert received.body()["account"] == QA


def test_a_bus_of_another_account_without_a_policy_cannot_be_a_target(aws: EmbeddedAws, name: str) -> None:
    bus_arn = make_bus(name, QA, admits=PRODUCTION)

    with pytest.raises(ClientError, match="Adding cross-account target is not permitted"):
        forward(name, DEV, bus_arn)


def test_the_input_of_a_target_bus_cannot_be_modified(aws: EmbeddedAws, name: str) -> None:
    bus_arn = make_bus(name, QA, admits=DEV)

    with pytest.raises(ClientError, match="Modifying the input for target target0 is not supported"):
        forward(name, DEV, bus_arn, InputPath="$.detail")


def test_events_can_be_put_on_a_bus_of_another_account_only_if_its_policy_allows_it(
    aws: EmbeddedAws, name: str
) -> None:
    bus_arn = make_bus(name, QA, admits=DEV)
    received = Queue(name, QA)
    make_rule(name, {"source": [name]}, {"Arn": received.arn}, bus=name, account=QA)

    put(name, account=DEV, EventBusName=bus_arn)
    with pytest.raises(ClientError, match="AccessDeniedException"):
        put(name, account=PRODUCTION, EventBusName=bus_arn)

    assert received.body()["account"] == DEV
    assert received.bodies(seconds=1) == []


def test_a_bus_policy_can_have_several_statements_for_an_account(aws: EmbeddedAws, name: str) -> None:
    bus_arn = make_bus(name, QA, admits=DEV)
    eventbridge = client("events", QA)
    eventbridge.put_permission(EventBusName=name, Action="events:PutEvents", Principal=DEV, StatementId="Second")
    eventbridge.remove_permission(EventBusName=name, StatementId="Second")

    assert "EventId" in put(name, EventBusName=bus_arn)


def test_a_bus_policy_can_allow_only_one_role_of_another_account(aws: EmbeddedAws, name: str) -> None:
    bus_arn = make_bus(name, QA)
    role_arn = make_role(name, DEV, "events:PutEvents", "lambda.amazonaws.com")
    statement = {
        "Sid": "Role",
        "Effect": "Allow",
        "Principal": {"AWS": role_arn},
        "Action": "events:PutEvents",
        "Resource": bus_arn,
    }
    client("events", QA).put_permission(
        EventBusName=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    entry = {"Source": name, "DetailType": "x", "Detail": "{}", "EventBusName": bus_arn}

    answer = as_role("events", role_arn).put_events(Entries=[entry])

    assert answer["FailedEntryCount"] == 0
    with pytest.raises(ClientError, match="AccessDeniedException"):
        client("events").put_events(Entries=[entry])


def test_an_event_for_a_missing_target_goes_to_the_dead_letter_queue_without_retries(
    aws: EmbeddedAws, name: str
) -> None:
    dead = Queue(f"{name}-dead")
    missing = f"arn:aws:sqs:{accounts.REGION}:{DEV}:{name}-missing"
    rule_arn = make_rule(name, {"source": [name]}, {"Arn": missing, "DeadLetterConfig": {"Arn": dead.arn}})

    put(name, DETAIL)

    (letter,) = dead.messages()
    assert json.loads(letter["Body"])["detail"] == DETAIL
    assert attribute(letter, "ERROR_CODE") == "NO_RESOURCE"
    assert attribute(letter, "RULE_ARN") == rule_arn
    assert attribute(letter, "TARGET_ARN") == missing
    assert attribute(letter, "RETRY_ATTEMPTS") == "0"
    assert "does not exist" in attribute(letter, "ERROR_MESSAGE")
    assert "EXHAUSTED_RETRY_CONDITION" not in letter["MessageAttributes"]


def test_an_event_goes_to_the_dead_letter_queue_without_retries_if_the_role_cannot_be_assumed(
    queue: Queue, name: str
) -> None:
    dead = Queue(f"{name}-dead")
    role_arn = f"arn:aws:iam::{DEV}:role/{name}"
    make_rule(name, {"source": [name]}, {"Arn": queue.arn, "RoleArn": role_arn, "DeadLetterConfig": {"Arn": dead.arn}})

    put(name)

    (letter,) = dead.messages()
    assert attribute(letter, "ERROR_CODE") == "FAILED_TO_ASSUME_ROLE"
    assert attribute(letter, "RETRY_ATTEMPTS") == "0"


def test_a_delivery_that_keeps_failing_is_retried_and_then_abandoned(
    aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = break_topics(monkeypatch, name)
    dead = Queue(f"{name}-dead")
    topic_arn = make_topic(name)
    policy = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}
    target = {"Arn": topic_arn, "RetryPolicy": policy, "DeadLetterConfig": {"Arn": dead.arn}}
    make_rule(name, {"source": [name]}, target)

    put(name)

    (letter,) = dead.messages()
    assert len(calls) == 3
    assert attribute(letter, "ERROR_CODE") == "ERROR_FROM_TARGET"
    assert attribute(letter, "RETRY_ATTEMPTS") == "2"
    assert attribute(letter, "EXHAUSTED_RETRY_CONDITION") == "MaximumRetryAttempts"


def test_a_target_that_recovers_receives_the_event(queue: Queue, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = break_topics(monkeypatch, name, times=2)
    topic_arn = make_topic(name)
    subscribe(queue, topic_arn)
    make_rule(name, {"source": [name]}, {"Arn": topic_arn})

    put(name, DETAIL)

    assert queue.body()["detail"] == DETAIL
    assert len(calls) == 3


def break_topics(monkeypatch: pytest.MonkeyPatch, name: str, times: int = 1000) -> list[str]:
    """Let SNS respond with status 500 to the first `times` messages for topics with this name."""
    calls: list[str] = []
    publish = SNSBackend.publish

    def fail(backend: SNSBackend, message: str, arn: str, **options: Any) -> Any:
        if not arn.endswith(name):
            return publish(backend, message, arn=arn, **options)
        calls.append(arn)
        if len(calls) <= times:
            raise InternalError("Try again.")
        return publish(backend, message, arn=arn, **options)

    monkeypatch.setattr(SNSBackend, "publish", fail)
    return calls
