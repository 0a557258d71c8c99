"""Live progress of executions and training jobs, state by state."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from sandbox.demo.accounts import DevAccount, Execution, Stage, TrainingJob, expect, wait_for
from sandbox.demo.screen import Screen, Steps

# States without a duration are shown as details of the previous step.
_DETAILS = ("ChoiceStateEntered", "PassStateEntered")
_FINAL_STATUSES = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded")
_FINAL_EVENTS = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")


class History:
    """The history of an execution, shown as steps."""

    def __init__(self, steps: Steps) -> None:
        self.last_state = ""
        self.ended = False
        self._steps = steps
        self._read = 0
        self._maps: list[str] = []

    def show(self, events: list[dict[str, Any]]) -> None:
        """Show the new events in `events`, the history so far."""
        for event in events[self._read :]:
            self._add(event)
        self._read = len(events)

    def _add(self, event: dict[str, Any]) -> None:
        kind, at = event["type"], event["timestamp"]
        if kind in _FINAL_EVENTS:
            self.ended = True
            self._steps.end(at)
        elif kind.endswith("StateEntered"):
            self._add_entered(kind, event["stateEnteredEventDetails"]["name"], at)
        elif kind.endswith("StateExited"):
            self._add_exited(kind, event["stateExitedEventDetails"]["name"], at)

    def _add_entered(self, kind: str, name: str, at: datetime.datetime) -> None:
        if not self._maps:
            self.last_state = name
        if self._maps or kind in _DETAILS:
            self._steps.add_detail(name)
        elif kind in ("SucceedStateEntered", "FailStateEntered"):
            self._steps.end(at)
        else:
            self._steps.begin(name, at)
        if kind == "MapStateEntered":
            self._maps.append(name)

    def _add_exited(self, kind: str, name: str, at: datetime.datetime) -> None:
        if kind == "MapStateExited":
            self._maps.remove(name)
        if not self._maps:
            self._steps.set_end(name, at)


def follow(
    screen: Screen, stage: Stage, text: str, last_state: str, meanwhile: Callable[[], None] = lambda: None
) -> Execution:
    """Show and return the next execution of a stage with `text` in its input.

    `meanwhile` is called repeatedly until the execution ends. Raises OutcomeError if it ends in another state.
    """
    arn = wait_for(lambda: stage.execution_with(text), f"an execution in {stage.label} with {text} in its input")
    with screen.steps(f"{stage.label}, account {stage.number}, state machine model-promotion-{stage.name}") as steps:
        history = History(steps)

        def poll() -> Execution | None:
            history.show(stage.history(arn))
            steps.tick()
            meanwhile()
            return stage.ended(arn, history.last_state) if history.ended else None

        execution = wait_for(poll, f"the execution {arn} to end")
        steps.conclude(execution.last_state, execution.status == "SUCCEEDED")
    expect(
        execution.last_state == last_state,
        f"the execution in {stage.label} to end with the state {last_state!r}",
        f"{execution.status} with the state {execution.last_state!r}: {execution.error} {execution.cause}".strip(": "),
    )
    return execution


def follow_training(screen: Screen, dev: DevAccount, job: str) -> TrainingJob:
    """Show a training job until it ends and return it; raise OutcomeError if it did not complete."""
    with screen.steps(f"{dev.label}, account {dev.number}, training job {job}") as steps:
        shown = 0

        def poll() -> dict[str, Any] | None:
            nonlocal shown
            description = dev.describe(job)
            transitions = description.get("SecondaryStatusTransitions", [])
            for transition in transitions[shown:]:
                if transition["Status"] in _FINAL_STATUSES:
                    steps.end(transition["StartTime"])
                else:
                    steps.begin(transition["Status"], transition["StartTime"])
            shown = len(transitions)
            steps.tick()
            return description if description["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

        description = wait_for(poll, f"the training job {job} to end")
        status = description["TrainingJobStatus"]
        steps.conclude(status, status == "Completed")
    expect(
        status == "Completed",
        f"the training job {job} to complete",
        f"{status}: {description.get('FailureReason', 'no failure reason')}",
    )
    return dev.completed(job)
