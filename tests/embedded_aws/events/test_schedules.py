"""Rules with a schedule call their targets when they are due."""

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
    background = Background("schedules of a test")
    yield background
    background.end()


def make_rule(name: str, queue: Queue, expression: str, **target: str) -> str:
    arn = str(client("events").put_rule(Name=name, ScheduleExpression=expression)["RuleArn"])
    client("events").put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn, **target}])
    return arn


def test_a_rule_that_is_due_calls_its_targets_with_a_scheduled_event(queue: Queue, name: str) -> None:
    arn = make_rule(name, queue, "rate(1 day)")

    schedules.run(DEV, name)

    event = queue.body()
    assert (event["source"], event["detail-type"], event["resources"]) == ("aws.events", "Scheduled Event", [arn])
    assert event["detail"] == {}


def test_a_target_may_have_an_input_of_its_own(queue: Queue, name: str) -> None:
    make_rule(name, queue, "rate(2 hours)", Input='{"own": true}')

    schedules.run(DEV, name)

    assert queue.body() == {"own": True}


def test_a_rule_that_is_disabled_is_never_due(queue: Queue, name: str) -> None:
    make_rule(name, queue, "rate(1 minute)")
    client("events").disable_rule(Name=name)

    schedules.run(DEV, name)

    assert queue.bodies(seconds=1) == []


def test_rules_run_by_themselves_at_their_rate(queue: Queue, name: str, background: Background) -> None:
    make_rule(name, queue, "rate(1 minute)")

    # A minute of a tenth of a second, which is more often than the schedules are looked at.
    background.run(schedules.watch, background, 0.1)

    assert len(queue.bodies(count=2)) >= 2


def test_other_schedules_than_rates_are_refused(aws: EmbeddedAws, name: str) -> None:
    with pytest.raises(ClientError, match="by rate alone"):
        client("events").put_rule(Name=name, ScheduleExpression="cron(0 20 * * ? *)")
