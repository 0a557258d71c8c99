"""An execution may be stopped in any state: after its recovery everything is as it was before the promotion.

The states are those of the definition. What brings an execution into them is a handful of scenarios, which are first
run to their end to see which states they enter; a state that none of them enters fails the test.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.stepfunctions import api as step_functions
from tests.linter import Project
from tests.support.scaling import scale_manually
from tests.support.settings import configure, instances
from tests.support.world import ECHO_LABEL, PATIENCE_SECONDS, Lab, Stage, wait_until

# In the others nothing is done and nobody can stop them: what is stopped there was stopped in the one before.
STOPPABLE = {"Task", "Wait", "Map", "Parallel"}
SUITE = {"cases": [{"name": "answers", "body": {}, "expect": "contains(['good', 'next', 'slow'], label)"}]}
SLOW_TO_LOAD = f"import time\ntime.sleep(4)\n{ECHO_LABEL}"


class Watch:
    """Sees what executions enter, and stops those it was told to, once each."""

    def __init__(self) -> None:
        self.entered: dict[str, list[str]] = {}
        self.inputs: dict[str, str] = {}
        self.stops: dict[str, str] = {}  # by the ARN of an execution
        self.stops_of_recoveries: dict[str, str] = {}  # by that of the execution which they recover
        self.stopped: dict[str, str] = {}

    def __call__(self, execution: Any, state: str) -> None:
        arn = execution.exec_arn
        self.entered.setdefault(arn, []).append(state)
        self.inputs[arn] = execution.execution_input
        of = next((other for other in list(self.stops_of_recoveries) if self._is_recovery(arn, other)), "")
        if self.stops.get(arn) == state:
            del self.stops[arn]
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
        """The next stage's execution has the promotion that it is told of in its input, too."""
        return of in self.inputs[arn] and arn.rsplit(":", 1)[0] == of.rsplit(":", 1)[0]


Scenario = Callable[["Lane", str | None], list[str]]


@dataclasses.dataclass
class Lane:
    """An endpoint of its own, which serves "good", with what starts promotions to it."""

    stage: Stage
    application: str
    watch: Watch
    jobs: dict[str, str]
    runs: int = 0

    def start(self, label: str, stop_in: str | None = None, stop_recovery_in: str | None = None) -> str:
        return self.start_with(
            {"training_job": self.jobs[label], "application": self.application}, stop_in, stop_recovery_in
        )

    def start_with(self, given: Any, stop_in: str | None, stop_recovery_in: str | None = None) -> str:
        self.runs += 1
        name = f"{self.application}-{self.runs:03}"
        arn = f"{self.stage.state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        if stop_in:
            self.watch.stops[arn] = stop_in
        if stop_recovery_in:
            self.watch.stops_of_recoveries[arn] = stop_recovery_in
        self.stage.client("stepfunctions").start_execution(
            stateMachineArn=self.stage.state_machine, name=name, input=json.dumps(given)
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
        """The execution and, where it was stopped, those that recovered it, once all have ended."""
        status = self.stage.ended(arn).status
        return [arn, *(self.settled(self.watch.recovery_of(arn)) if status == "ABORTED" else [])]


def promoted(lane: Lane, stop_in: str | None) -> list[str]:
    """A newer candidate for other instances, so that the scaling has to be taken off."""
    return [lane.start("next", stop_in)]


def slow(lane: Lane, stop_in: str | None) -> list[str]:
    """One whose deployment has to be waited for; without a stop it is stopped when that is over."""
    return [lane.start("slow", stop_in or "Run smoke test")]


def live_already(lane: Lane, stop_in: str | None) -> list[str]:
    return [lane.start("good", stop_in)]


def too_old(lane: Lane, stop_in: str | None) -> list[str]:
    return [lane.start("old", stop_in)]


def recovered(lane: Lane, stop_in: str | None) -> list[str]:
    """A promotion that was stopped, of which it is the recovery that is stopped as well."""
    return [lane.start("next", "Run smoke test", stop_in)]


def waiting(lane: Lane, stop_in: str | None) -> list[str]:
    """Two at once, of which the first is stopped in the end, so that nothing comes of either."""
    first = lane.start("next", "Run smoke test")
    wait_until(lambda: "Inspect endpoint" in lane.watch.entered.get(first, []) or None, "the first of two")
    second = lane.start("next", stop_in or "Wait for endpoint lock")
    return [first, second]


def unapproved(lane: Lane, stop_in: str | None) -> list[str]:
    """A candidate of a stage that asks for approval."""
    return [lane.start_with({"model": lane.jobs["model"], "application": lane.application}, stop_in)]


def previewed(lane: Lane, stop_in: str | None) -> list[str]:
    given = {"preview": True, "training_job": lane.jobs["next"], "application": lane.application}
    return [lane.start_with(given, stop_in)]


# Each on a lane of its kind.
SCENARIOS: dict[Scenario, str] = {
    promoted: "changing",
    slow: "changing",
    live_already: "steady",
    too_old: "steady",
    recovered: "changing",
    waiting: "changing",
    unapproved: "asking",
    previewed: "steady",
}


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    with step_functions.watched(watch):
        yield watch


@pytest.fixture
def jobs(lab: Lab, application: str) -> dict[str, str]:
    scripts = {"old": ECHO_LABEL, "good": ECHO_LABEL, "next": ECHO_LABEL, "slow": SLOW_TO_LOAD}
    return {label: lab.train(application, label, script=script, tagged=False) for label, script in scripts.items()}


def make_lane(qa: Stage, watch: Watch, jobs: dict[str, str], application: str, changes: bool) -> Lane:
    configure(qa, application, SmokeTest=SUITE)
    lane = Lane(qa, application, watch, jobs)
    arn = lane.start("good")
    assert qa.ended(arn).status == "SUCCEEDED", qa.ended(arn).cause
    if changes:
        scale_manually(qa, application)
        configure(qa, application, SmokeTest=SUITE, EndpointConfig=instances("ml.c5.large"))
    return lane


def test_whatever_state_an_execution_is_stopped_in_all_is_as_it_was(
    stacks: EmbeddedAws,
    copying: Stage,
    production: Stage,
    application: str,
    watch: Watch,
    jobs: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stacks.pace, "endpoint_change", 0.1)
    qa = copying  # with all that a stage can be told to do
    names = [f"{application}{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names) + 1) as pool:
        made = list(pool.map(lambda n: make_lane(qa, watch, jobs, n, changes=n != names[0]), names))
        live = qa.live(names[0]) or {}
        free: dict[str, queue.Queue[Lane]] = {kind: queue.Queue() for kind in SCENARIOS.values()}
        free["steady"].put(made[0])
        free["asking"].put(Lane(production, application, watch, {"model": live["model_name"]}))
        for lane in made[1:]:
            free["changing"].put(lane)
        # What made the lanes was a promotion, too.
        entered: dict[Scenario, list[str]] = {promoted: watch.entered[live["execution"]]}
        scouted: list[Scenario] = [scenario for scenario in SCENARIOS if scenario is not promoted]
        entered |= dict(zip(scouted, pool.map(lambda scenario: scout(free, scenario), scouted), strict=True))
        plan = planned(entered)
        # The longest first.
        longest = sorted(plan.items(), key=lambda item: list(SCENARIOS).index(item[1]), reverse=True)
        problems = list(pool.map(lambda item: what_is_wrong(free, *item), longest))

    assert [problem for problem in problems if problem] == []


def scout(free: dict[str, queue.Queue[Lane]], scenario: Scenario) -> list[str]:
    """The states in which a scenario can be stopped: those of what it starts last, or of the recovery."""
    lane = free[SCENARIOS[scenario]].get(timeout=3 * PATIENCE_SECONDS)
    settled = [lane.settled(arn) for arn in scenario(lane, None)]
    free[SCENARIOS[scenario]].put(lane)
    executions = settled[-1][1:] if scenario is recovered else settled[-1][:1]
    return [state for arn in executions for state in lane.watch.entered[arn]]


def planned(entered: dict[Scenario, list[str]]) -> dict[str, Scenario]:
    """For each state in which something is done, the first scenario that enters it."""
    states = [name for name, state in Project.read().states() if state["Type"] in STOPPABLE]
    plan = {state: scenario for state in states for scenario in reversed(entered) if state in entered[scenario]}
    assert set(states) - set(plan) == set(), "no scenario enters these states: write one"
    return plan


def what_is_wrong(free: dict[str, queue.Queue[Lane]], state: str, scenario: Scenario) -> str:
    """What an endpoint has become other than it was after an execution was stopped in `state`; "" if nothing."""
    lane = free[SCENARIOS[scenario]].get(timeout=3 * PATIENCE_SECONDS)
    before = lane.snapshot()
    try:
        executions = [settled for arn in scenario(lane, state) for settled in lane.settled(arn)]
    except AssertionError as error:
        free[SCENARIOS[scenario]].put(lane)
        return f"stopped in {state}: {error}"
    after = lane.snapshot()
    if after["live"] and after["live"]["execution"] in executions:
        # It was on record already: then the endpoint serves "next" for good, and the lane is of no more use.
        serving = after["endpoint"]["config"] == after["live"]["endpoint_config_name"] and not after["lock"]
        return "" if serving else f"stopped in {state}, which is on record: {after}"
    free[SCENARIOS[scenario]].put(lane)
    if state not in [lane.watch.stopped.get(arn) for arn in executions]:
        return f"no execution was stopped in {state}: {[lane.watch.entered[arn] for arn in executions]}"
    return "" if after == before else f"stopped in {state}: {before} became {after}"
