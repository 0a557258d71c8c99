"""Promotions that faults come to: what is there before, what starts them, and what they lead to."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services import sns
from tests.support.waiting import wait_until
from tests.support.world import DEV, PRODUCTION, QA, Lab, Stage

# All that is remembered of an application is read again by each of its promotions.
_TRIALS_OF_AN_APPLICATION = 15

_numbers = itertools.count(1)


@dataclasses.dataclass
class Trial:
    """One promotion: `start` begins it, `tick` is what its operator does again and again, for which it `is_busy`."""

    world: World
    stage: Stage
    application: str
    before: str | None
    after: str
    start: Callable[[], object]
    tick: Callable[[], object] = lambda: None
    is_busy: Callable[[], bool] = lambda: False
    fails_by_itself: bool = False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Meanwhile, what is promoted into the stage is not told to the next one, and no older dead letter is there."""
        self.world.forget_dead_letters()
        if self.stage.name == "production":
            yield
            return
        self.world.forward(False)
        try:
            yield
        finally:
            self.world.forward(True)


class World:
    """The accounts of one process, in which each scenario has an application that lives on for some trials."""

    def __init__(self, name: str, aws: EmbeddedAws) -> None:
        self._name = name
        self._applications: dict[str, str] = {}
        self._trials: Counter[str] = Counter()
        self.notifications: Path = aws.directory / sns.LOG
        self.lab = Lab()
        self.qa = Stage("qa", QA)
        self.production = Stage("production", PRODUCTION)
        # What stands between the stages, as those who run the accounts see it.
        self._queues = [
            (client, made["PhysicalResourceId"])
            for account in (DEV, QA, PRODUCTION)
            for client in [Stage("", account).client("sqs")]
            for made in _resources(account)
            if made["LogicalResourceId"] == "DeadLetters"
        ]
        [self._forwarding] = [
            made["PhysicalResourceId"] for made in _resources(QA) if made["LogicalResourceId"] == "ForwardPromotions"
        ]

    def label(self) -> str:
        return f"v{next(_numbers)}"

    def application(self, scenario: str, trials: int = _TRIALS_OF_AN_APPLICATION) -> str:
        """That of a scenario, which is another one after so many trials."""
        application = self._applications.get(scenario)
        if application and self._trials[application] == trials:
            self.give_up(application)
            application = None
        if application is None:
            application = self._applications[scenario] = f"{scenario}-{self._name}-{next(_numbers):05}"
        self._trials[application] += 1
        return application

    def give_up(self, application: str) -> None:
        """Have another one for its scenario from now on."""
        self._applications = {scenario: each for scenario, each in self._applications.items() if each != application}
        # Hundreds of endpoints that serve on would be hundreds of processes.
        for stage in (self.qa, self.production):
            if found := stage.endpoint(application):
                with contextlib.suppress(ClientError):  # one that is being changed stays
                    stage.client("sagemaker").delete_endpoint(EndpointName=found["EndpointName"])

    def live_label(self, stage: Stage, application: str) -> str | None:
        return str(stage.answer(application)["label"]) if stage.endpoint(application) else None

    def settle(self, stage: Stage, application: str) -> None:
        """Bring a first model in, if there is none."""
        while self.live_label(stage, application) is None:
            stage.execution_of(self.lab.train(application, self.label()))

    def forward(self, is_on: bool) -> None:
        """Whether what is promoted into QA is told to production."""
        events, name = self.qa.client("events"), self._forwarding.rpartition("|")[2]
        change = events.enable_rule if is_on else events.disable_rule
        change(Name=name, EventBusName="model-promotion-qa")

    def dead_letters(self) -> list[str]:
        """The events that could not be delivered, which stay in their queues."""
        answers = [
            client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
            for client, queue in self._queues
        ]
        return [json.dumps(message["Body"]) for answer in answers for message in answer.get("Messages", [])]

    def forget_dead_letters(self) -> None:
        for client, queue in self._queues:
            while messages := client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
                for message in messages:
                    client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def _resources(account: str) -> list[dict[str, Any]]:
    client = Stage("", account).client("cloudformation")
    stacks = [stack["StackName"] for stack in client.describe_stacks()["Stacks"]]
    return [
        resource for stack in stacks for resource in client.describe_stack_resources(StackName=stack)["StackResources"]
    ]


def first_deployment(world: World) -> Trial:
    application = world.application("first", trials=1)
    label = world.label()
    return Trial(world, world.qa, application, None, label, lambda: world.lab.train(application, label))


def update(world: World) -> Trial:
    application = world.application("update")
    world.settle(world.qa, application)
    label = world.label()
    before = world.live_label(world.qa, application)
    return Trial(world, world.qa, application, before, label, lambda: world.lab.train(application, label))


def failing_smoke_test(world: World) -> Trial:
    trial = update(world)
    expect = f"label == 'not {trial.after}'"
    start = lambda: world.lab.train(trial.application, trial.after, expect=expect)  # noqa: E731
    return dataclasses.replace(trial, start=start, fails_by_itself=True)


def rollback(world: World) -> Trial:
    application = world.application("rollback")
    while len({row["model_name"] for row in _good(world.qa, application)}) < 2:
        world.qa.execution_of(world.lab.train(application, world.label()))
    before = world.live_label(world.qa, application)
    assert before
    after = _label_of(_before_the_last(_good(world.qa, application)))
    start = lambda: world.qa.start({"rollback": f"{application}-{world.qa.name}"})  # noqa: E731
    return Trial(world, world.qa, application, before, after, start)


def approval(world: World) -> Trial:
    application, label, production = world.application("approval"), world.label(), world.production
    ssm = production.client("ssm")

    def asked() -> set[str]:
        prefix = f"{application}-{production.name}#"
        return {item["automation"] for item in production.items("approval") if item["key"].startswith(prefix)}

    earlier = asked() | {""}

    def statuses() -> dict[str, str]:
        found = [ssm.get_automation_execution(AutomationExecutionId=each) for each in asked() - earlier]
        return {
            each["AutomationExecution"]["AutomationExecutionId"]: each["AutomationExecution"][
                "AutomationExecutionStatus"
            ]
            for each in found
        }

    def approve() -> None:
        for automation, status in statuses().items():
            if status == "Waiting":
                comment = {"Comment": ["tried by a test"]}
                ssm.send_automation_signal(AutomationExecutionId=automation, SignalType="Approve", Payload=comment)

    def is_busy() -> bool:
        return not {"Waiting", "InProgress", "Pending"}.isdisjoint(statuses().values())

    def first_one() -> dict[str, str] | None:
        approve()
        return production.live(application)

    before = world.live_label(production, application)
    start = lambda: world.lab.train(application, label)  # noqa: E731
    if before is None:
        start()
        live = wait_until(first_one, "a first model in production")
        production.ended(live["execution"])
        return approval(world)
    return Trial(world, production, application, before, label, start, tick=approve, is_busy=is_busy)


SCENARIOS: dict[str, Callable[[World], Trial]] = {
    "first deployment": first_deployment,
    "update": update,
    "failing smoke test": failing_smoke_test,
    "rollback": rollback,
    "approval": approval,
}


def _good(stage: Stage, application: str) -> list[dict[str, str]]:
    rows = [row for row in stage.history(application) if row["status"] == "Succeeded"]
    return sorted(rows, key=lambda row: row["key"])


def _before_the_last(rows: list[dict[str, str]]) -> dict[str, str]:
    return next(row for row in reversed(rows) if row["model_name"] != rows[-1]["model_name"])


def _label_of(row: dict[str, str]) -> str:
    """The label is in the name of the training job that made the model."""
    job = row["source_arn"].rpartition("/")[2]
    return job.rsplit("-", 2)[1]
