"""The promotions into which faults are injected: their initial state, their start and their expected result."""

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
from tests.support.settings import register
from tests.support.waiting import wait_until
from tests.support.world import DEV, PRODUCTION, QA, Lab, Stage

# Each promotion reads the whole history of its application, so that trials become slower.
_TRIALS_OF_AN_APPLICATION = 15

_numbers = itertools.count(1)


@dataclasses.dataclass
class Trial:
    """One promotion. `start` starts it; `tick` is the periodic action of its operator;

    `approvals` returns the IDs of its automations that have not ended.
    """

    world: World
    stage: Stage
    application: str
    before: str | None
    after: str
    start: Callable[[], object]
    tick: Callable[[], object] = lambda: None
    approvals: Callable[[], list[str]] = list
    must_fail: bool = False

    @contextlib.contextmanager
    def isolated(self) -> Iterator[None]:
        """Delete older dead letters, and do not forward promotions to the next stage in the context."""
        self.world.delete_dead_letters()
        if self.stage.name == "production":
            yield
            return
        self.world.forward(False)
        try:
            yield
        finally:
            self.world.forward(True)


class World:
    """The accounts of one process, in which each scenario keeps an application for several trials."""

    def __init__(self, name: str, aws: EmbeddedAws) -> None:
        self._name = name
        self._applications: dict[str, str] = {}
        self._trials: Counter[str] = Counter()
        self.notifications: Path = aws.directory / sns.LOG
        self.lab = Lab()
        self.qa = Stage("qa", QA)
        self.production = Stage("production", PRODUCTION)
        # The dead-letter queues of all stacks.
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
        """Return the application of a scenario, a new one after `trials` trials."""
        application = self._applications.get(scenario)
        if application and self._trials[application] == trials:
            self.discard(application)
            application = None
        if application is None:
            application = self._applications[scenario] = f"{scenario}-{self._name}-{next(_numbers):05}"
            for stage in (self.qa, self.production):
                register(stage, application)
        self._trials[application] += 1
        return application

    def discard(self, application: str) -> None:
        """Use another application for its scenario from now on."""
        self._applications = {scenario: each for scenario, each in self._applications.items() if each != application}
        # Each endpoint runs a process. Hundreds of them would be too many.
        for stage in (self.qa, self.production):
            if found := stage.endpoint(application):
                with contextlib.suppress(ClientError):  # an endpoint that is updating is kept
                    stage.client("sagemaker").delete_endpoint(EndpointName=found["EndpointName"])

    def live_label(self, stage: Stage, application: str) -> str | None:
        return str(stage.answer(application)["label"]) if stage.endpoint(application) else None

    def ensure_live(self, stage: Stage, application: str) -> None:
        """Promote a first model, if none is live."""
        while self.live_label(stage, application) is None:
            stage.execution_of(self.lab.train(application, self.label()))

    def forward(self, is_on: bool) -> None:
        """Enable or disable the rule that forwards promotions from QA to production."""
        events, name = self.qa.client("events"), self._forwarding.rpartition("|")[2]
        change = events.enable_rule if is_on else events.disable_rule
        change(Name=name, EventBusName="model-promotion-qa")

    def dead_letters(self) -> list[str]:
        """Return the undelivered events, which stay in their queues."""
        answers = [
            client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
            for client, queue in self._queues
        ]
        return [json.dumps(message["Body"]) for answer in answers for message in answer.get("Messages", [])]

    def delete_dead_letters(self) -> None:
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
    world.ensure_live(world.qa, application)
    label = world.label()
    before = world.live_label(world.qa, application)
    return Trial(world, world.qa, application, before, label, lambda: world.lab.train(application, label))


def failing_smoke_test(world: World) -> Trial:
    trial = update(world)
    expect = f"label == 'not {trial.after}'"
    start = lambda: world.lab.train(trial.application, trial.after, expect=expect)  # noqa: E731
    return dataclasses.replace(trial, start=start, must_fail=True)


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

    def requested() -> set[str]:
        prefix = f"{application}-{production.name}#"
        return {item["automation"] for item in production.items("approval") if item["key"].startswith(prefix)}

    earlier = requested() | {""}

    def statuses() -> dict[str, str]:
        found = [ssm.get_automation_execution(AutomationExecutionId=each) for each in requested() - earlier]
        return {
            each["AutomationExecution"]["AutomationExecutionId"]: each["AutomationExecution"][
                "AutomationExecutionStatus"
            ]
            for each in found
        }

    def approve() -> None:
        for automation, status in statuses().items():
            if status == "Waiting":
                comment = {"Comment": ["approved by a test"]}
                ssm.send_automation_signal(AutomationExecutionId=automation, SignalType="Approve", Payload=comment)

    def open_approvals() -> list[str]:
        return [each for each, status in statuses().items() if status in ("Waiting", "InProgress", "Pending")]

    def first_promotion() -> dict[str, str] | None:
        approve()
        return production.live(application)

    before = world.live_label(production, application)
    start = lambda: world.lab.train(application, label)  # noqa: E731
    if before is None:
        start()
        live = wait_until(first_promotion, "a first model in production")
        production.ended(live["execution"])
        return approval(world)
    return Trial(world, production, application, before, label, start, tick=approve, approvals=open_approvals)


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
    """Return the label of a model, which is part of the name of its training job."""
    job = row["source_arn"].rpartition("/")[2]
    return job.rsplit("-", 2)[1]
