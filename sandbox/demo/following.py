"""Following what runs, state by state, as it happens: executions of a state machine and training jobs."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from sandbox.demo.accounts import Execution, Lab, Stage, TrainingJob, expect, wait_for
from sandbox.demo.screen import Screen, Steps

# They decide or note something in no time, so they are shown beside the state before them.
_ASIDES = ("ChoiceStateEntered", "PassStateEntered")
_TRAINING_ENDS = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded")
_ENDS = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")


class History:
    """Turns the events of an execution's history into steps."""

    def __init__(self, steps: Steps) -> None:
        self.last_state = ""
        self.ended = False
        self._steps = steps
        self._read = 0
        self._maps: list[str] = []

    def show(self, events: list[dict[str, Any]]) -> None:
        """Take what is new in `events`, the history so far."""
        for event in events[self._read :]:
            self._take(event)
        self._read = len(events)

    def _take(self, event: dict[str, Any]) -> None:
        kind, at = event["type"], event["timestamp"]
        if kind in _ENDS:
            self.ended = True
            self._steps.end(at)
        elif kind.endswith("StateEntered"):
            self._enter(kind, event["stateEnteredEventDetails"]["name"], at)
        elif kind.endswith("StateExited"):
            self._exit(kind, event["stateExitedEventDetails"]["name"], at)

    def _enter(self, kind: str, name: str, at: datetime.datetime) -> None:
        if not self._maps:
            self.last_state = name
        if self._maps or kind in _ASIDES:
            self._steps.aside(name)
        elif kind in ("SucceedStateEntered", "FailStateEntered"):
            self._steps.end(at)
        else:
            self._steps.begin(name, at)
        if kind == "MapStateEntered":
            self._maps.append(name)

    def _exit(self, kind: str, name: str, at: datetime.datetime) -> None:
        if kind == "MapStateExited":
            self._maps.remove(name)
        if not self._maps:
            self._steps.done(name, at)


def follow(
    screen: Screen, stage: Stage, text: str, last_state: str, meanwhile: Callable[[], None] = lambda: None
) -> Execution:
    """Show the next execution of a stage that has `text` in its input; it has to end in `last_state`.

    `meanwhile` is done again and again until then.
    """
    arn = wait_for(lambda: stage.execution_with(text), f"an execution of the state machine in {stage.label} for {text}")
    with screen.steps(f"{stage.label}, account {stage.number}: state machine model-promotion-{stage.name}") as steps:
        history = History(steps)

        def look() -> Execution | None:
            history.show(stage.history(arn))
            steps.tick()
            meanwhile()
            return stage.ended(arn, history.last_state) if history.ended else None

        execution = wait_for(look, f"the execution {arn} to end")
        steps.conclude(execution.last_state, execution.status == "SUCCEEDED")
    expect(
        execution.last_state == last_state,
        f"the promotion in {stage.label} to end in the state {last_state!r}",
        f"it ended {execution.status} in {execution.last_state!r}: {execution.error} {execution.cause}".strip(": "),
    )
    return execution


def follow_training(screen: Screen, lab: Lab, job: str) -> TrainingJob:
    """Show a training job until it has completed."""
    with screen.steps(f"{lab.label}, account {lab.number}: training job {job}") as steps:
        shown = 0

        def look() -> dict[str, Any] | None:
            nonlocal shown
            description = lab.describe(job)
            transitions = description.get("SecondaryStatusTransitions", [])
            for transition in transitions[shown:]:
                if transition["Status"] in _TRAINING_ENDS:
                    steps.end(transition["StartTime"])
                else:
                    steps.begin(transition["Status"], transition["StartTime"])
            shown = len(transitions)
            steps.tick()
            return description if description["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

        description = wait_for(look, f"the training job {job} to end")
        status = description["TrainingJobStatus"]
        steps.conclude(status, status == "Completed")
    expect(
        status == "Completed",
        f"the training job {job} to complete",
        f"it is {status}: {description.get('FailureReason', 'no reason was given')}",
    )
    return lab.trained(job)
