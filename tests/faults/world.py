"""The accounts of one process and the promotions in them, into which faults are injected."""

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
from tests.support.stacks import deployed_with
from tests.support.world import DEV, PRODUCTION, QA, Lab, Stage

# Each promotion reads the whole history of its application, so that trials become slower.
_TRIALS_OF_AN_APPLICATION = 15

_numbers = itertools.count(1)


@dataclasses.dataclass
class Trial:
    """One promotion. `start` starts it; `tick` is the periodic action of its operator.

    `approvals` returns the IDs of its automations that have not ended. `targets` are the scalable targets before and
    after the promotion, if it changes them.
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
    targets: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None

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
        self._parameters: dict[str, str] = {}
        self._deployed = contextlib.ExitStack()
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

    def use(self, **parameters: str) -> None:
        """Deploy QA with other parameters than usual, or with the usual ones."""
        if parameters != self._parameters:
            self.close()
            self._deployed.enter_context(deployed_with(self.qa, **parameters))
            self._parameters = parameters

    def close(self) -> None:
        """Deploy QA with its usual parameters."""
        self._deployed.close()
        self._parameters = {}

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
