"""Promotions that faults come to: what is there before, what starts them, and what they lead to."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

from tests.integration.world import PRODUCTION, QA, Lab, Stage

_numbers = itertools.count(1)


@dataclasses.dataclass
class Trial:
    """One promotion: `start` begins it, `tick` is what its operator does again and again while it runs."""

    stage: Stage
    application: str
    before: str | None
    after: str
    start: Callable[[], object]
    tick: Callable[[], object] = lambda: None
    fails_by_itself: bool = False


class World:
    """The accounts of one process, in which each scenario has an application that lives on from trial to trial."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.lab = Lab()
        self.qa = Stage("qa", QA)
        self.production = Stage("production", PRODUCTION)

    def label(self) -> str:
        return f"v{next(_numbers)}"

    def application(self, scenario: str) -> str:
        return f"{scenario}-{self._name}"

    def live_label(self, stage: Stage, application: str) -> str | None:
        return str(stage.answer(application)["label"]) if stage.endpoint(application) else None

    def settle(self, stage: Stage, application: str) -> None:
        """Bring a first model in, if there is none."""
        while self.live_label(stage, application) is None:
            stage.execution_of(self.lab.train(application, self.label()))


def first_deployment(world: World) -> Trial:
    application = world.application(f"first-{next(_numbers)}")
    label = world.label()
    return Trial(world.qa, application, None, label, lambda: world.lab.train(application, label))


def update(world: World) -> Trial:
    application = world.application("update")
    world.settle(world.qa, application)
    label = world.label()
    before = world.live_label(world.qa, application)
    return Trial(world.qa, application, before, label, lambda: world.lab.train(application, label))


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
    return Trial(
        world.qa, application, before, after, lambda: world.qa.start({"rollback": f"{application}-{world.qa.name}"})
    )


def approval(world: World) -> Trial:
    application = world.application("approval")
    label = world.label()
    production = world.production

    def approve() -> None:
        ssm = production.client("ssm")
        for item in production.items("approval"):
            if item["key"].startswith(f"{application}-production#") and item["automation"]:
                found = ssm.get_automation_execution(AutomationExecutionId=item["automation"])["AutomationExecution"]
                if found["AutomationExecutionStatus"] == "Waiting":
                    ssm.send_automation_signal(
                        AutomationExecutionId=item["automation"],
                        SignalType="Approve",
                        Payload={"Comment": ["tried by a test"]},
                    )

    before = world.live_label(production, application)
    return Trial(production, application, before, label, lambda: world.lab.train(application, label), tick=approve)


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
