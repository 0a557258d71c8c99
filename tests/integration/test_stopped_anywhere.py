"""An execution can be stopped in any state: after its recovery, everything has its previous state.

The states are those of the definition. What brings an execution into them is a handful of scenarios, which are first
run to their end to see which states they enter; a state that none of them enters fails the test.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.stepfunctions import api as step_functions
from tests.linter import Project
from tests.support.events import event
from tests.support.scaling import scale_manually
from tests.support.settings import configure, instances, register
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.world import ECHO_LABEL, Lab, Stage

# In the others nothing is done and nobody can stop them: what is stopped there was stopped in the one before.
STOPPABLE = {"Task", "Wait", "Map", "Parallel"}
SUITE = {"cases": [{"name": "answers", "body": {}, "expect": "contains(['good', 'next', 'slow'], label)"}]}
SLOW_TO_LOAD = f"import time\ntime.sleep(10)\n{ECHO_LABEL}"


class Watch:
    """Observes the states that executions enter, and stops the chosen executions, each once."""

    def __init__(self) -> None:
        self.entered: dict[str, list[str]] = {}
        self.inputs: dict[str, str] = {}
        self.stops: dict[str, str] = {}  # by the ARN of an execution
        self.stops_of_recoveries: dict[str, str] = {}  # by that of the execution which they recover
        self.stopped: dict[str, str] = {}
        self.holds: dict[str, threading.Event] = {}  # the stop of an execution waits for its event
        self.releases: dict[str, threading.Event] = {}  # set once an execution waits for the lock, or is stopped

    def __call__(self, execution: Any, state: str) -> None:
        arn = execution.exec_arn
        self.entered.setdefault(arn, []).append(state)
        self.inputs[arn] = execution.execution_input
        if arn in self.releases and state in ("Wait for endpoint lock", self.stops.get(arn)):
            self.releases.pop(arn).set()
        of = next((other for other in list(self.stops_of_recoveries) if self._is_recovery(arn, other)), "")
        if self.stops.get(arn) == state:
            del self.stops[arn]
            if hold := self.holds.pop(arn, None):
                hold.wait(PATIENCE_SECONDS)
        elif self.stops_of_recoveries.get(of) == state:
            del self.stops_of_recoveries[of]
        else:
            return
        self.stopped[arn] = state
        execution.stop(datetime.datetime.now(datetime.UTC), "Operator", f"stopped in {state}")

    def recovery_of(self, arn: str) -> str:
        return wait_until(
            lambda: next((other for other in list(self.inputs) if self._is_recovery(other, arn)), None),
            f"the recovery of {arn}",
        )

    def _is_recovery(self, arn: str, of: str) -> bool:
        """Return whether an execution is a recovery. The next stage's execution also has a promotion in its input."""
        return of in self.inputs[arn] and arn.rsplit(":", 1)[0] == of.rsplit(":", 1)[0]


Scenario = Callable[["EndpointUnderTest", str | None], list[str]]


@dataclasses.dataclass
class EndpointUnderTest:
    """A test endpoint that serves "good", and the promotions to it."""

    stage: Stage
    application: str
    watch: Watch
    jobs: dict[str, str]
    runs: int = 0

    def start(self, label: str, stop_in: str | None = None, stop_recovery_in: str | None = None) -> str:
        return self.start_with(
            {"training_job": self.jobs[label], "application": self.application}, stop_in, stop_recovery_in
        )

    def arn_of_run(self, number: int) -> str:
        """Return the ARN of the execution that the `number`th start makes."""
        machine = self.stage.state_machine.replace(":stateMachine:", ":execution:")
        return f"{machine}:{self.application}-{number:03}"

    def start_with(self, given: Any, stop_in: str | None, stop_recovery_in: str | None = None) -> str:
        self.runs += 1
        arn = self.arn_of_run(self.runs)
        if stop_in:
            self.watch.stops[arn] = stop_in
        if stop_recovery_in:
            self.watch.stops_of_recoveries[arn] = stop_recovery_in
        self.stage.client("stepfunctions").start_execution(
            stateMachineArn=self.stage.state_machine, name=arn.rsplit(":", 1)[-1], input=json.dumps(given)
        )
        return arn

    def snapshot(self) -> dict[str, Any]:
        found = self.stage.endpoint(self.application)
        return {
            "endpoint": found
            and {
                "status": found["EndpointStatus"],
                "config": found["EndpointConfigName"],
                "instances": [v["DesiredInstanceCount"] for v in found["ProductionVariants"]],
            },
            "scaling": self.stage.scaling(self.application),
            "lock": self.stage.running(self.application),
            "live": self.stage.live(self.application),
        }

    def settled(self, arn: str) -> list[str]:
        """Return the execution and the recoveries of a stopped one, once all have ended."""
        status = self.stage.ended(arn).status
        return [arn, *(self.settled(self.watch.recovery_of(arn)) if status == "ABORTED" else [])]


def promoted(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    """Promote a newer candidate for other instances, so that the autoscaling must be removed."""
    return [target.start("next", stop_in)]


def slow(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    """Promote a candidate with a slow deployment; without a stop it is stopped at the end of the deployment."""
    return [target.start("slow", stop_in or "Run smoke test")]


def live_already(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    return [target.start("good", stop_in)]


def too_old(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    return [target.start("old", stop_in)]


def recovered(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    """Stop a promotion, and then its recovery as well."""
    return [target.start("next", "Run smoke test", stop_in)]


def waiting(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    """Start two promotions at once; the first is stopped in the end, so that neither succeeds."""
    second_waits = threading.Event()
    target.watch.holds[target.arn_of_run(target.runs + 1)] = second_waits
    target.watch.releases[target.arn_of_run(target.runs + 2)] = second_waits
    first = target.start("next", "Run smoke test")
    wait_until(lambda: "Inspect endpoint" in target.watch.entered.get(first, []) or None, "the first of two")
    second = target.start("next", stop_in or "Wait for endpoint lock")
    return [first, second]


def unapproved(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    """Promote a candidate into a stage that requires approval."""
    return [target.start_with({"model": target.jobs["model"], "application": target.application}, stop_in)]


def previewed(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    given = {"preview": True, "training_job": target.jobs["next"], "application": target.application}
    return [target.start_with(given, stop_in)]


def refused(target: EndpointUnderTest, stop_in: str | None) -> list[str]:
    """Start with the event of a training job whose application is not registered."""
    completed = {"TrainingJobName": target.jobs["unregistered"], "TrainingJobStatus": "Completed"}
    return [target.start_with(event("SageMaker Training Job State Change", completed), stop_in)]


# Each on a target of its kind.
SCENARIOS: dict[Scenario, str] = {
    promoted: "changing",
    slow: "changing",
    live_already: "steady",
    too_old: "steady",
    recovered: "changing",
    waiting: "changing",
    unapproved: "asking",
    previewed: "steady",
    refused: "steady",
}


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    with step_functions.watched(watch):
        yield watch


@pytest.fixture
def jobs(lab: Lab, application: str) -> dict[str, str]:
    scripts = {"old": ECHO_LABEL, "good": ECHO_LABEL, "next": ECHO_LABEL, "slow": SLOW_TO_LOAD}
    jobs = {label: lab.train(application, label, script=script, tagged=False) for label, script in scripts.items()}
    return jobs | {"unregistered": lab.train(f"{application}-unregistered", "good")}


def make_target(qa: Stage, watch: Watch, jobs: dict[str, str], application: str, changes: bool) -> EndpointUnderTest:
    register(qa, application, SmokeTest=SUITE)
    target = EndpointUnderTest(qa, application, watch, jobs)
    arn = target.start("good")
    assert qa.ended(arn).status == "SUCCEEDED", qa.ended(arn).cause
    if changes:
        scale_manually(qa, application)
        configure(qa, application, SmokeTest=SUITE, EndpointConfig=instances("ml.c5.large"))
    return target


def test_an_execution_stopped_in_any_state_is_recovered(
    stacks: EmbeddedAws,
    copying: Stage,
    production: Stage,
    application: str,
    watch: Watch,
    jobs: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stacks.pace, "endpoint_change", 0.1)
    qa = copying  # with every feature of a stage
    # Each state after the record uses up a target.
    names = [f"{application}{number}" for number in range(5)]
    with ThreadPoolExecutor(len(names) + 1) as pool:
        made = list(pool.map(lambda n: make_target(qa, watch, jobs, n, changes=n != names[0]), names))
        live = qa.live(names[0]) or {}
        free: dict[str, queue.Queue[EndpointUnderTest]] = {kind: queue.Queue() for kind in SCENARIOS.values()}
        free["steady"].put(made[0])
        free["asking"].put(EndpointUnderTest(production, application, watch, {"model": live["model_name"]}))
        for target in made[1:]:
            free["changing"].put(target)
        # What made the targets was a promotion, too.
        entered: dict[Scenario, list[str]] = {promoted: watch.entered[live["execution"]]}
        scouted: list[Scenario] = [scenario for scenario in SCENARIOS if scenario is not promoted]
        entered |= dict(zip(scouted, pool.map(lambda scenario: scout(free, scenario), scouted), strict=True))
        plan = planned(entered)
        # The longest first.
        longest = sorted(plan.items(), key=lambda item: list(SCENARIOS).index(item[1]), reverse=True)
        problems = list(pool.map(lambda item: differences_after(free, *item), longest))

    assert not any(problems), "\n".join(filter(None, problems))


def scout(free: dict[str, queue.Queue[EndpointUnderTest]], scenario: Scenario) -> list[str]:
    """Return the states in which a scenario can be stopped: those of its last execution, or of the recovery."""
    target = free[SCENARIOS[scenario]].get(timeout=3 * PATIENCE_SECONDS)
    settled = [target.settled(arn) for arn in scenario(target, None)]
    free[SCENARIOS[scenario]].put(target)
    executions = settled[-1][1:] if scenario is recovered else settled[-1][:1]
    return [state for arn in executions for state in target.watch.entered[arn]]


def planned(entered: dict[Scenario, list[str]]) -> dict[str, Scenario]:
    """Return, for each state that does something, the first scenario that enters it."""
    states = [name for name, state in Project.read().states() if state["Type"] in STOPPABLE]
    plan = {state: scenario for state in states for scenario in reversed(entered) if state in entered[scenario]}
    assert set(states) - set(plan) == set(), "no scenario enters these states: write one"
    return plan


def differences_after(free: dict[str, queue.Queue[EndpointUnderTest]], state: str, scenario: Scenario) -> str:
    """Return how an endpoint differs after an execution was stopped in `state`; "" if it does not."""
    target = free[SCENARIOS[scenario]].get(timeout=3 * PATIENCE_SECONDS)
    before = target.snapshot()
    try:
        executions = [settled for arn in scenario(target, state) for settled in target.settled(arn)]
    except AssertionError as error:
        free[SCENARIOS[scenario]].put(target)
        return f"stopped in {state}: {error}"
    after = target.snapshot()
    if after["live"] and after["live"]["execution"] in executions:
        # It was on record already: then the endpoint serves "next" for good, and the target is of no more use.
        serving = after["endpoint"]["config"] == after["live"]["endpoint_config_name"] and not after["lock"]
        return "" if serving else f"stopped in {state}, which is on record: {after}"
    free[SCENARIOS[scenario]].put(target)
    if state not in [target.watch.stopped.get(arn) for arn in executions]:
        return f"no execution was stopped in {state}: {[target.watch.entered[arn] for arn in executions]}"
    changes = [f"{part} {before[part]} became {after[part]}" for part in before if before[part] != after[part]]
    return f"stopped in {state}: {'; '.join(changes)}" if changes else ""
