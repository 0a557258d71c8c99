"""Scheduled rules of EventBridge."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel.background import Background
from embedded_aws.services.events import schedules
from tests.embedded_aws.support.customers import DEV, Queue, client


@pytest.fixture
def queue(aws: EmbeddedAws, name: str) -> Queue:
    return Queue(name)


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background("test schedules")
    yield background
    background.end()


def make_rule(name: str, queue: Queue, expression: str, **target: str) -> str:
    arn = str(client("events").put_rule(Name=name, ScheduleExpression=expression)["RuleArn"])
    client("events").put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn, **target}])
    return arn


def test_a_scheduled_rule_sends_a_scheduled_event_to_its_targets(queue: Queue, name: str) -> None:
    arn = make_rule(name, queue, "rate(1 day)")

    schedules.run(DEV, name)

    event = queue.body()
    assert (event["source"], event["detail-type"], event["resources"]) == ("aws.events", "Scheduled Event", [arn])
    assert event["detail"] == {}


def test_a_target_of_a_scheduled_rule_can_have_a_constant_input(queue: Queue, name: str) -> None:
    make_rule(name, queue, "rate(2 hours)", Input='{"own": true}')

    schedules.run(DEV, name)

    assert queue.body() == {"own": True}


def test_a_disabled_rule_does_not_run(queue: Queue, name: str) -> None:
    make_rule(name, queue, "rate(1 minute)")
    client("events").disable_rule(Name=name)

    schedules.run(DEV, name)

    assert queue.bodies(seconds=1) == []


def test_rules_run_automatically_at_their_rate(queue: Queue, name: str, background: Background) -> None:
    make_rule(name, queue, "rate(1 minute)")

    # A minute takes 0.1 seconds, less than the interval at which due schedules are determined.
    background.run(schedules.watch, background, 0.1)

    assert len(queue.bodies(count=2)) >= 2


def test_a_cron_expression_is_refused(aws: EmbeddedAws, name: str) -> None:
    with pytest.raises(ClientError, match="only rate expressions"):
        client("events").put_rule(Name=name, ScheduleExpression="cron(0 20 * * ? *)")
