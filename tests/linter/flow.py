"""Rules for the control flow of the state machine: transitions, waits, errors and ends."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.linter.project import Project, objects, texts
from tests.linter.rules import rule

# A retry after one of these errors fails again. States.ALL does not even catch the last two (Step Functions developer
# guide, "Handling errors in Step Functions workflows").
PERMANENT = {
    "InvalidInputError",
    "InvalidRequestError",
    "PromotionRefusedError",
    "DynamoDB.ConditionalCheckFailedException",
    "States.Permissions",
    "States.DataLimitExceeded",
    "States.Runtime",
}

# States whose failure may be ignored, and the reason.
IGNORED_FAILURES = {
    "Remove superseded models": "the promotion has succeeded, and the failure sets off the alarm FailedRetention",
    "Record publication": "WatchPromotionsFunction publishes the event again",
    "Publish failure": "the execution ends with the failure that was not published, which sets off an alarm",
}

Transition = tuple[str, str, dict[str, Any]]


def transitions(machine: Mapping[str, Any]) -> list[Transition]:
    """Return each transition: its source, its target, and the rule or state that contains it."""
    found = []
    for name, state in machine["States"].items():
        for place in (state, *state.get("Choices", []), *state.get("Catch", [])):
            found += [(name, place[key], place) for key in ("Next", "Default") if key in place]
    return found


def loops(steps: Iterable[Transition]) -> list[set[str]]:
    """Return the loops: for each, the set of its states."""
    after: dict[str, set[str]] = {}
    for start, end, _ in steps:
        after.setdefault(start, set()).add(end)
    reached = {name: _reached(after, name) for name in after}
    found = {
        frozenset(other for other in reached[name] if name in reached.get(other, ()))
        for name in after
        if name in reached[name]
    }
    return sorted(map(set, found), key=sorted)


def _reached(after: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = set(after[start])
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= after.get(name, set()) - found
    return found


def _in(loop: set[str], steps: Iterable[Transition]) -> list[Transition]:
    return [step for step in steps if {step[0], step[1]} <= loop]


@rule
def task_without_time_out(project: Project) -> Iterator[str]:
    longest = project.definition.get("TimeoutSeconds", float("inf"))
    for name, state in project.states("Task"):
        seconds = state.get("TimeoutSeconds")
        if not isinstance(seconds, int) or not 0 < seconds < longest:
            yield f"{name}: TimeoutSeconds is {seconds}, so it can wait as long as the whole execution."


@rule
def state_machine_without_time_out(project: Project) -> Iterator[str]:
    if not isinstance(project.definition.get("TimeoutSeconds"), int):
        yield "The state machine has no TimeoutSeconds, so an execution can run for a year."


@rule
def choice_without_default(project: Project) -> Iterator[str]:
    for name, state in project.states("Choice"):
        if "Default" not in state:
            yield f"{name}: has no Default. If no condition matches, the execution fails."


@rule
def fail_state_without_cause(project: Project) -> Iterator[str]:
    for name, state in project.states("Fail"):
        if not state.get("Error") or not state.get("Cause"):
            yield f"{name}: has no Error or no Cause for the operator."


@rule
def task_without_retry(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        if not state.get("Retry"):
            yield f"{name}: is not retried on transient errors."


@rule
def uncaught_error(project: Project) -> Iterator[str]:
    # A failure within a Map fails the Map.
    for name, state in project.definition["States"].items():
        caught = [error for catch in state.get("Catch", []) for error in catch["ErrorEquals"]]
        if state["Type"] in ("Task", "Map") and "States.ALL" not in caught:
            yield f"{name}: fails the execution directly: it has no Catch of States.ALL."


@rule
def states_all_not_alone_and_last(project: Project) -> Iterator[str]:
    for name, state in project.states():
        for kind in ("Retry", "Catch"):
            rules = state.get(kind, [])
            for number, found in enumerate(rules, start=1):
                if "States.ALL" in found["ErrorEquals"] and (len(found["ErrorEquals"]) > 1 or number < len(rules)):
                    yield f"{name}: States.ALL is not alone in the last {kind}."


@rule
def catch_that_discards_the_error(project: Project) -> Iterator[str]:
    """The Assign of a Catch keeps the error, or its Output does and the next state reads its input.

    Without an Output, the error is the output (CDK's API reference, JsonataCommonOptions; developer guide,
    "Transforming data with JSONata"). A Catch of a specific error does not need to keep it.
    """
    for machine in project.machines():
        for name, state in machine["States"].items():
            for catch in state.get("Catch", []):
                is_read = any("$states.input" in text for text in texts(machine["States"][catch["Next"]]))
                is_passed_on = _has_error(catch.get("Output", "{% $states.errorOutput %}"))
                is_needed = "States.ALL" in catch["ErrorEquals"] and name not in IGNORED_FAILURES
                if is_read and not is_passed_on:
                    yield f"{name}: its Catch does not pass the error on to {catch['Next']}, which reads it."
                elif is_needed and not is_read and not _has_error(catch.get("Assign")):
                    yield f"{name}: its Catch discards the error before {catch['Next']}."


def _has_error(value: Any) -> bool:
    return any("$states.errorOutput" in text for text in texts(value))


@rule
def unassigned_variable(project: Project) -> Iterator[str]:
    for name, variable in _unassigned(project.definition, set()):
        yield f"{name}: reads ${variable}, which not every path to it assigns."


def _unassigned(machine: Mapping[str, Any], around: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (state, variable) for each variable that may be unassigned; states in a Map can read those outside it."""
    for name, before in _assigned_before(machine, around).items():
        state = machine["States"][name]
        yield from ((name, variable) for variable in sorted(set(_variables(state)) - before))
        if "ItemProcessor" in state:
            yield from _unassigned(state["ItemProcessor"], before)


def _variables(state: dict[str, Any]) -> Iterator[str]:
    for text in texts(state):
        if "{%" in text:
            parameters = set(re.findall(r"\$(\w+)", " ".join(re.findall(r"function\(([^)]*)\)", text))))
            yield from set(re.findall(r"\$(\w+)\b(?!\()", text)) - parameters - {"states"}


def _assigned_before(machine: Mapping[str, Any], at_start: set[str]) -> dict[str, set[str]]:
    """Return for each state the variables that every path from the start assigns."""
    before = {machine["StartAt"]: at_start}
    waiting = [machine["StartAt"]]
    while waiting:
        name = waiting.pop()
        for _, follower, place in [step for step in transitions(machine) if step[0] == name]:
            known = before[name] | set(place.get("Assign", {}))
            narrowed = before.get(follower, known) & known
            if before.get(follower) != narrowed:
                before[follower] = narrowed
                waiting.append(follower)
    return before


@rule
def endless_loop(project: Project) -> Iterator[str]:
    """A loop must end with a Choice that compares the time with a deadline, which is set before the loop."""
    deadlines = _deadlines(project.definition)
    for machine in project.machines():
        for loop in loops(transitions(machine)):
            inside = _in(loop, transitions(machine))
            reassigned = {name for _, _, place in inside for name in place.get("Assign", {})}
            unbounded = [step for step in inside if not _deadline(step) & (deadlines - reassigned)]
            for endless in loops(unbounded):
                yield f"{', '.join(sorted(endless))}: this loop has no deadline."


def _deadline(transition: Transition) -> set[str]:
    """Return the variables whose time must be in the future for the transition."""
    condition = str(transition[2].get("Condition", ""))
    return set() if re.search(r"\bor\b", condition) else set(re.findall(r"\$millis\(\) < \$(\w+)", condition))


def _deadlines(machine: Mapping[str, Any]) -> set[str]:
    """Return the variables that are always assigned the current time plus a duration."""
    assigned = [place.get("Assign", {}).items() for place in objects(machine) if isinstance(place.get("Assign"), dict)]
    values = list(itertools.chain(*assigned))
    others = {name for name, value in values if not re.match(r"\{% \$millis\(\) \+ ", str(value))}
    return {name for name, _ in values} - others


@rule
def loop_without_wait(project: Project) -> Iterator[str]:
    for machine in project.machines():
        states = machine["States"]
        for loop in loops([step for step in transitions(machine) if states[step[0]]["Type"] != "Wait"]):
            yield f"{', '.join(sorted(loop))}: this loop has no Wait and fills the execution history."


@rule
def unlimited_retry(project: Project) -> Iterator[str]:
    longest = project.definition.get("TimeoutSeconds", float("inf"))
    for name, state in project.states():
        for retry in state.get("Retry", []):
            if "MaxAttempts" not in retry:
                yield f"{name}: a Retry of {', '.join(retry['ErrorEquals'])} has no MaxAttempts."
            elif _waits(retry, longest) >= longest:
                yield f"{name}: its Retry waits for longer than the TimeoutSeconds of the state machine."


def _waits(retry: Mapping[str, Any], limit: float) -> float:
    """Return the total of all delays of a Retry in seconds, at most `limit`."""
    total, wait = 0.0, float(retry.get("IntervalSeconds", 1))
    for _ in range(retry["MaxAttempts"]):
        total += min(wait, retry.get("MaxDelaySeconds", limit))
        wait = min(wait * retry.get("BackoffRate", 2.0), limit)
        if total >= limit:
            return limit
    return total


@rule
def retry_of_permanent_error(project: Project) -> Iterator[str]:
    for name, state in project.states():
        excluded = set()
        for retry in state.get("Retry", []):
            errors = set(retry["ErrorEquals"])
            if retry.get("MaxAttempts") == 0:
                excluded |= errors
                continue
            for error in sorted(errors & PERMANENT):
                yield f"{name}: retries {error}, which is permanent."
            if "States.ALL" in errors and str(state.get("Resource")).endswith(":lambda:invoke"):
                yield f"{name}: retries a function after any error (States.ALL), even a permanent one."
            is_excluded = any(error.endswith(".ConditionalCheckFailedException") for error in excluded)
            if "States.ALL" in errors and "ConditionExpression" in state.get("Arguments", {}) and not is_excluded:
                yield f"{name}: retries a write whose condition failed (States.ALL)."


@rule
def unused_task_token(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        waits = str(state["Resource"]).endswith(".waitForTaskToken")
        if waits and not any("$states.context.Task.Token" in text for text in texts(state.get("Arguments"))):
            yield f"{name}: waits for a callback, but passes the task token to no one."
