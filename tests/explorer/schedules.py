"""The moves of a schedule: the calls of concurrent executions, the passing of time, and what interrupts them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from tests.explorer.answers import Answer, Call, dumps
from tests.explorer.functions import Invocation, run
from tests.explorer.machine import START, Execution, Machine
from tests.explorer.world import Ended, Endpoint, Request, World, event_of

# Calls whose answers do not depend on the schedule, and which change nothing that another call depends on.
_INDEPENDENT = {
    ("ssm", "get_parameter"),
    ("s3", "get_object"),
    ("cloudwatch", "describe_alarms"),
    ("cloudwatch", "put_metric_alarm"),
    ("application-autoscaling", "describe_scalable_targets"),
    ("sagemaker", "list_inference_components"),
    ("sagemaker", "list_tags"),
    ("sagemaker", "add_tags"),
}
# Only retention changes their answers.
_OF_RESOURCES = {
    ("sagemaker", "describe_endpoint_config"),
    ("sagemaker", "describe_model"),
    ("sagemaker", "list_endpoint_configs"),
    ("sagemaker", "list_endpoints"),
    ("sagemaker", "list_models"),
    ("s3", "list_objects_v2"),
}
_READS = ("describe", "get", "list", "query")
# A call fails once, as often as all retries of a state repeat it, or only its answer is lost.
_TROUBLES = {1: "fails", 7: "fails 7 times", -1: "loses its answer"}
_ROUNDS = 3
_HOUR = 3600
OTHERS_CONFIG = "someone-elses"


@dataclasses.dataclass(frozen=True)
class Bounds:
    """How often, at most, a schedule has each interruption; a switch is one of a process that could continue."""

    switches: int = 0
    aborts: int = 0
    faults: int = 0
    retries: int = 0
    others: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in vars(self).items() if count) or "none"


@dataclasses.dataclass(frozen=True)
class Function:
    """A function that no execution waits for: that of a dead execution, or the watch."""

    name: str
    caller: str
    invocation: Invocation

    @property
    def is_hung(self) -> bool:
        return self.caller != ""


@dataclasses.dataclass(frozen=True)
class Situation:
    """A world with its running executions and functions, what is left of the bounds, and who made the last move."""

    world: World
    executions: tuple[Execution, ...]
    functions: tuple[Function, ...]
    left: Bounds
    bounds: Bounds
    last: str = ""

    def key(self) -> int:
        return hash((self.world.key(), self.executions, self.functions, self.left, self.last))


@dataclasses.dataclass(frozen=True)
class Step:
    """A move, with the call that it made for `caller`, if any. `is_last` is the end of a schedule."""

    before: Situation
    after: Situation
    label: str
    call: Call | None = None
    caller: str = ""
    succeeded: bool = False
    is_last: bool = False

    @property
    def is_read(self) -> bool:
        return self.call is not None and self.call.operation.startswith(_READS)


class Moves:
    """The moves from a situation."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def of(self, situation: Situation) -> Iterator[Step]:
        running = [each for each in situation.executions if each.waits_until is None]
        active = [each for each in running if each.name == situation.last]
        active += [each for each in situation.functions if each.name == situation.last]  # type: ignore[misc]
        others: list[Any] = [*running, *situation.functions]
        for process in active:
            yield from self._steps(situation, process)
        if switched := _spend(situation, "switches") if active else situation:
            for process in others:
                if process not in active:
                    yield from self._steps(switched, process)
        if switched := _spend(situation, "switches") if active else situation:
            for request in situation.world.requests:
                yield self._begin(switched, request)
        is_blocked = not running and not active
        if is_blocked or (situation.left.switches and (running or active)):
            yield from self._time(situation if is_blocked else _spend(situation, "switches"))
        if spent := _spend(situation, "aborts"):
            # A stop changes nothing for others until they see it, so it always follows a step of the same execution.
            for execution in situation.executions:
                if situation.last in ("", execution.name):
                    yield self._abort(spent, execution)
        if spent := _spend(situation, "others"):
            yield from _others(spent)

    def _begin(self, before: Situation, request: Request) -> Step:
        world = before.world.copy()
        world.requests = tuple(each for each in world.requests if each != request)
        if request.arn not in world.executions:
            world.start(request.arn, request.given)
        started = self._machine.start(world, request.arn, at=request.at or START, **json.loads(request.variables))
        begun = self._machine.begin(world, started)
        after = self._with(
            dataclasses.replace(before, executions=(*before.executions, started)), world, started, begun, request.name
        )
        return Step(before, after, f"{request.name} starts")

    def _steps(self, situation: Situation, process: Execution | Function) -> Iterator[Step]:
        """Yield the next call of a process, and the ways in which it can fail."""
        yield self._step(situation, process)
        call = _call_of(process)
        if not call.operation.startswith(_READS) and (spent := _spend(situation, "faults")):
            for times, what in _TROUBLES.items():
                world = spent.world.copy()
                world.troubles[call.service, call.operation] = times
                yield self._step(dataclasses.replace(spent, world=world), process, f" {what}")
        spent = _spend(situation, "retries")
        if spent and isinstance(process, Execution) and isinstance(process.doing, Invocation):
            world = spent.world.copy()
            hung = Function(f"{process.doing.identifier}'s function", process.arn, process.doing)
            waiting = self._machine.fail(world, process, "Lambda.SdkClientException")
            after = self._with(spent, world, process, waiting, process.name)
            after = dataclasses.replace(after, functions=(*after.functions, hung))
            yield Step(situation, after, f"{process.name}: its function does not answer")

    def _step(self, before: Situation, process: Execution | Function, what: str = "") -> Step:
        world, call, current = before.world.copy(), _call_of(process), process
        caller = process.arn if isinstance(process, Execution) else process.caller
        answer = world.call(call, caller)
        after: Execution | Function | Ended | None = self._answered(world, current, answer)
        while after and not isinstance(after, Ended) and not getattr(after, "waits_until", None):
            following = _call_of(after)
            place = following.service, following.operation
            if place not in _INDEPENDENT and (world.contested or place not in _OF_RESOURCES):
                break
            after = self._answered(world, after, world.call(following, caller))
        label = f"{process.name}: {call}{what}"
        succeeded = not answer.code
        return Step(before, self._with(before, world, process, after, process.name), label, call, caller, succeeded)

    def _answered(self, world: World, process: Any, answer: Answer) -> Any:
        if isinstance(process, Execution):
            return self._machine.proceed(world, process, answer)
        answers = (*process.invocation.answers, answer)
        invocation = dataclasses.replace(process.invocation, answers=answers)
        is_suspended = isinstance(run(invocation), Call)
        return dataclasses.replace(process, invocation=invocation) if is_suspended else None

    def _with(self, before: Situation, world: World, old: Any, new: Any, last: str) -> Situation:
        """Return the situation with the process `old` replaced by `new`, and with the executions that it started."""
        executions, hung = list(before.executions), list(before.functions)
        if isinstance(old, Function):
            hung[hung.index(old) : hung.index(old) + 1] = [new] if new else []
        elif isinstance(new, Ended):
            executions.remove(old)
            self._end(world, old, new)
        elif old is not None:
            executions[executions.index(old)] = new
        return self._started(dataclasses.replace(before, functions=tuple(hung)), world, executions, last)

    def _started(self, before: Situation, world: World, executions: list[Execution], last: str) -> Situation:
        known = {execution.arn for execution in executions} | {request.arn for request in world.requests}
        while new := [arn for arn, ended in world.executions.items() if ended is None and arn not in known]:
            for arn in new:
                known.add(arn)
                started = self._machine.begin(world, self._machine.start(world, arn))
                if isinstance(started, Ended):
                    world.executions[arn] = started
                else:
                    executions.append(started)
        return dataclasses.replace(before, world=world, executions=tuple(executions), last=last)

    def _end(self, world: World, execution: Execution, ended: Ended) -> None:
        """End an execution; a rule starts another one with the event of an end that is not a success."""
        world.executions[execution.arn] = ended
        if ended.status != "SUCCEEDED":
            event = event_of(execution.arn, ended, execution.input, world.now)
            world.requests = (*world.requests, Request(f"{execution.name}-ended", event))

    def _abort(self, spent: Situation, execution: Execution) -> Step:
        world = spent.world.copy()
        after = self._with(spent, world, execution, Ended("ABORTED"), execution.name)
        if isinstance(execution.doing, Invocation):
            hung = Function(f"{execution.doing.identifier}'s function", execution.arn, execution.doing)
            after = dataclasses.replace(after, functions=(*after.functions, hung))
        return Step(spent, after, f"someone stops {execution.name} in {execution.state}")

    def _time(self, situation: Situation | None) -> Iterator[Step]:
        """Yield the move to the next end of a wait, or to the next run of the watch after all executions have ended."""
        if situation is None:
            return
        world = situation.world.copy()
        waits = [each.waits_until for each in situation.executions if each.waits_until is not None]
        if waits:
            world.now = max(world.now, min(waits))
        elif situation.executions or world.requests:
            return
        elif situation.functions:
            world.now = max(each.invocation.started + each.invocation.timeout for each in situation.functions) + 1
        elif world.watched == _ROUNDS or world.found_by_watch == hash((world.state(), situation.left)):
            yield Step(situation, situation, "the end", is_last=True)
            return
        else:
            world.now += _HOUR
            world.watched += 1
            world.found_by_watch = hash((world.state(), situation.left))
            # No trouble lasts for an hour.
            world.troubles = {}
            yield Step(situation, self._watch(situation, world), "an hour later, the watch runs")
            return
        for name, endpoint in world.endpoints.items():
            world.endpoints[name] = dataclasses.replace(endpoint, descriptions=min(endpoint.descriptions, 2))
        alive = [each for each in situation.functions if not _is_over(each.invocation, world)]
        if len(alive) < len(situation.functions):
            world.found_by_watch = 0
        after = dataclasses.replace(situation, functions=tuple(alive))
        for execution in situation.executions:
            new: Execution | Ended | None = None
            if execution.waits_until is not None and execution.waits_until <= world.now:
                new = self._machine.wake(world, execution)
            elif isinstance(execution.doing, Invocation) and _is_over(execution.doing, world):
                new = self._machine.fail(world, execution, "Sandbox.Timedout")
            if new:
                after = self._with(after, world, execution, new, "")
        yield Step(situation, dataclasses.replace(after, world=world, last=""), f"it is {world.now} s")

    def _watch(self, situation: Situation, world: World) -> Situation:
        handler, timeout = self._machine.functions["WatchPromotionsFunction"]
        event = dumps({"stage": "qa", "table": "PromotionTable", "bus": "PromotionBus", "upstream_stage": "dev"})
        name = f"watch {world.watched}"
        watch = Function(name, "", Invocation(handler, event, name, world.now, timeout))
        return dataclasses.replace(situation, world=world, functions=(*situation.functions, watch), last=name)


def _call_of(process: Execution | Function) -> Call:
    doing = process.doing if isinstance(process, Execution) else process.invocation
    call = run(doing) if isinstance(doing, Invocation) else doing
    assert isinstance(call, Call), call
    return call


def _is_over(invocation: Invocation, world: World) -> bool:
    return invocation.started + invocation.timeout < world.now


def _spend(situation: Situation, kind: str) -> Situation | None:
    left = getattr(situation.left, kind) - 1
    return (
        dataclasses.replace(situation, left=dataclasses.replace(situation.left, **{kind: left})) if left >= 0 else None
    )


def _others(situation: Situation) -> Iterator[Step]:
    """Yield what someone else can do to an endpoint, or SageMaker to its update."""
    for name, endpoint in situation.world.endpoints.items():
        changes: dict[str, Endpoint | None] = {}
        if not endpoint.pending:
            changes["someone updates"] = Endpoint(endpoint.config, OTHERS_CONFIG, 2)
            changes["someone deletes"] = None
        elif endpoint.pending != endpoint.config and endpoint.descriptions <= 2:
            changes["SageMaker rolls back"] = Endpoint(endpoint.config, failure="The alarm.")
        for what, changed in changes.items():
            world = situation.world.copy()
            if changed:
                world.endpoints[name] = changed
            else:
                del world.endpoints[name]
            if what.startswith("someone"):
                world.changed_by_others, world.seen_by = True, frozenset()
            yield Step(situation, dataclasses.replace(situation, world=world), f"{what} {name}")
