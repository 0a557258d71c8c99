"""Rules on how the state machine goes on, waits, fails and comes to an end."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.linter.project import Project, objects, texts
from tests.linter.rules import rule

# Tried again, these fail again; the last two States.ALL does not even catch (Step Functions developer guide, "Handling
# errors in Step Functions workflows").
PERMANENT = {
    "InvalidRequestError",
    "PromotionRefusedError",
    "DynamoDB.ConditionalCheckFailedException",
    "States.Permissions",
    "States.DataLimitExceeded",
    "States.Runtime",
}

# Whose failure may be forgotten, and why.
FORGIVEN = {
    "Remove superseded models": "the promotion has succeeded, and the alarm FailedRetention tells of it",
    "Publish failure": "what it failed to announce is how the execution ends, and that sets off an alarm by itself",
}

Way = tuple[str, str, dict[str, Any]]


def ways(machine: Mapping[str, Any]) -> list[Way]:
    """From which state to which, and the rule or state that leads there."""
    found = []
    for name, state in machine["States"].items():
        for place in (state, *state.get("Choices", []), *state.get("Catch", [])):
            found += [(name, place[key], place) for key in ("Next", "Default") if key in place]
    return found


def loops(around: Iterable[Way]) -> list[set[str]]:
    """The states that can be come back to, those of one loop together."""
    after: dict[str, set[str]] = {}
    for start, end, _ in around:
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


def _in(loop: set[str], around: Iterable[Way]) -> list[Way]:
    return [way for way in around if {way[0], way[1]} <= loop]


@rule
def task_without_time_out(project: Project) -> Iterator[str]:
    longest = project.definition.get("TimeoutSeconds", float("inf"))
    for name, state in project.states("Task"):
        seconds = state.get("TimeoutSeconds")
        if not isinstance(seconds, int) or not 0 < seconds < longest:
            yield f"{name}: TimeoutSeconds is {seconds}, so it may wait as long as the whole execution."


@rule
def machine_without_time_out(project: Project) -> Iterator[str]:
    if not isinstance(project.definition.get("TimeoutSeconds"), int):
        yield "The state machine has no TimeoutSeconds, so an execution may last a year."


@rule
def choice_without_default(project: Project) -> Iterator[str]:
    for name, state in project.states("Choice"):
        if "Default" not in state:
            yield f"{name}: has no Default; where no condition holds the execution dies."


@rule
def end_without_a_cause(project: Project) -> Iterator[str]:
    for name, state in project.states("Fail"):
        if not state.get("Error") or not state.get("Cause"):
            yield f"{name}: says no Error or no Cause to whoever has to mend it."


@rule
def task_without_retry(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        if not state.get("Retry"):
            yield f"{name}: is not tried again on passing troubles."


@rule
def failure_nobody_catches(project: Project) -> Iterator[str]:
    # What fails within a Map fails the Map.
    for name, state in project.definition["States"].items():
        caught = [error for catch in state.get("Catch", []) for error in catch["ErrorEquals"]]
        if state["Type"] in ("Task", "Map") and "States.ALL" not in caught:
            yield f"{name}: fails the execution by itself, since it has no Catch of States.ALL."


@rule
def all_errors_not_alone_and_last(project: Project) -> Iterator[str]:
    for name, state in project.states():
        for kind in ("Retry", "Catch"):
            rules = state.get(kind, [])
            for number, found in enumerate(rules, start=1):
                if "States.ALL" in found["ErrorEquals"] and (len(found["ErrorEquals"]) > 1 or number < len(rules)):
                    yield f"{name}: States.ALL does not stand alone in the last {kind}."


@rule
def catch_that_loses_the_error(project: Project) -> Iterator[str]:
    """An error is kept by the Assign of its Catch, or by its Output where the next state reads its input.

    Without an Output the error is the output (CDK's API reference, JsonataCommonOptions, as the developer guide's
    "Transforming data with JSONata"). A Catch of a certain error knows by its name what happened.
    """
    for machine in project.machines():
        for name, state in machine["States"].items():
            for catch in state.get("Catch", []):
                is_read = any("$states.input" in text for text in texts(machine["States"][catch["Next"]]))
                is_passed_on = _has_error(catch.get("Output", "{% $states.errorOutput %}"))
                is_needed = "States.ALL" in catch["ErrorEquals"] and name not in FORGIVEN
                if is_read and not is_passed_on:
                    yield f"{name}: its Catch does not pass the error on to {catch['Next']}, which reads it."
                elif is_needed and not is_read and not _has_error(catch.get("Assign")):
                    yield f"{name}: what it failed of is lost on the way to {catch['Next']}."


def _has_error(value: Any) -> bool:
    return any("$states.errorOutput" in text for text in texts(value))


@rule
def variable_nobody_writes(project: Project) -> Iterator[str]:
    for name, variable in _unassigned(project.definition, set()):
        yield f"{name}: reads ${variable}, which not every way there has assigned."


def _unassigned(machine: Mapping[str, Any], around: set[str]) -> Iterator[tuple[str, str]]:
    """Which state reads which variable in vain; within a Map, those around it can be read."""
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
    """By state: the variables that every way from the start to it has assigned."""
    before = {machine["StartAt"]: at_start}
    waiting = [machine["StartAt"]]
    while waiting:
        name = waiting.pop()
        for _, follower, place in [way for way in ways(machine) if way[0] == name]:
            known = before[name] | set(place.get("Assign", {}))
            narrowed = before.get(follower, known) & known
            if before.get(follower) != narrowed:
                before[follower] = narrowed
                waiting.append(follower)
    return before


@rule
def endless_loop(project: Project) -> Iterator[str]:
    """A loop ends by a Choice that compares the time with a deadline which was set before the loop."""
    deadlines = _deadlines(project.definition)
    for machine in project.machines():
        for loop in loops(ways(machine)):
            inside = _in(loop, ways(machine))
            moved = {name for _, _, place in inside for name in place.get("Assign", {})}
            unbounded = [way for way in inside if not _deadline(way) & (deadlines - moved)]
            for endless in loops(unbounded):
                yield f"{', '.join(sorted(endless))}: nothing ends this loop."


def _deadline(way: Way) -> set[str]:
    """The variables that the time must not have reached, so that a way is taken."""
    condition = str(way[2].get("Condition", ""))
    return set() if re.search(r"\bor\b", condition) else set(re.findall(r"\$millis\(\) < \$(\w+)", condition))


def _deadlines(machine: Mapping[str, Any]) -> set[str]:
    """The variables that are never anything but so many milliseconds from when they were assigned."""
    assigned = [place.get("Assign", {}).items() for place in objects(machine) if isinstance(place.get("Assign"), dict)]
    values = list(itertools.chain(*assigned))
    others = {name for name, value in values if not re.match(r"\{% \$millis\(\) \+ ", str(value))}
    return {name for name, _ in values} - others


@rule
def loop_that_does_not_wait(project: Project) -> Iterator[str]:
    for machine in project.machines():
        states = machine["States"]
        for loop in loops([way for way in ways(machine) if states[way[0]]["Type"] != "Wait"]):
            yield f"{', '.join(sorted(loop))}: this loop turns without a Wait until the history is full."


@rule
def retry_without_end(project: Project) -> Iterator[str]:
    longest = project.definition.get("TimeoutSeconds", float("inf"))
    for name, state in project.states():
        for retry in state.get("Retry", []):
            if "MaxAttempts" not in retry:
                yield f"{name}: a Retry of {', '.join(retry['ErrorEquals'])} does not say how often (MaxAttempts)."
            elif _waits(retry, longest) >= longest:
                yield f"{name}: its Retry waits for longer than the state machine runs."


def _waits(retry: Mapping[str, Any], limit: float) -> float:
    """The seconds that all the waits of a Retry come to, or the limit."""
    total, wait = 0.0, float(retry.get("IntervalSeconds", 1))
    for _ in range(retry["MaxAttempts"]):
        total += min(wait, retry.get("MaxDelaySeconds", limit))
        wait = min(wait * retry.get("BackoffRate", 2.0), limit)
        if total >= limit:
            return limit
    return total


@rule
def retry_of_what_stays_wrong(project: Project) -> Iterator[str]:
    for name, state in project.states():
        left = set()
        for retry in state.get("Retry", []):
            errors = set(retry["ErrorEquals"])
            if retry.get("MaxAttempts") == 0:
                left |= errors
                continue
            for error in sorted(errors & PERMANENT):
                yield f"{name}: tries again what stays wrong, {error}."
            if "States.ALL" in errors and str(state.get("Resource")).endswith(":lambda:invoke"):
                yield f"{name}: tries a function again whatever it raised (States.ALL), also what stays wrong."
            is_left = any(error.endswith(".ConditionalCheckFailedException") for error in left)
            if "States.ALL" in errors and "ConditionExpression" in state.get("Arguments", {}) and not is_left:
                yield f"{name}: tries a write again whose condition does not hold (States.ALL)."


@rule
def token_nobody_gets(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        waits = str(state["Resource"]).endswith(".waitForTaskToken")
        if waits and not any("$states.context.Task.Token" in text for text in texts(state.get("Arguments"))):
            yield f"{name}: waits for an answer, but gives nobody the token to answer with."
