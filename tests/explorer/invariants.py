"""What must hold in every schedule. Each function returns what is wrong after a step, if anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.explorer.machine import Machine
from tests.explorer.schedules import Step
from tests.explorer.search import Invariant
from tests.explorer.world import World

_SUCCEEDED = "Model Promotion Succeeded"
_CHANGES = ("create_endpoint", "update_endpoint", "delete_endpoint")


def one_holder_changes(machine: Machine, step: Step) -> str | None:
    """A running execution keeps its lock until it releases it, and only the holder of its lock changes an endpoint.

    After an interruption, its function may do so until the recovery, which holds the lock by then, checks it.
    """
    before, after = step.before.world, step.after.world
    for endpoint in _endpoints(before):
        old, new = before.lock(endpoint), after.lock(endpoint)
        if old and new and old["execution"] != new["execution"] and before.executions[old["execution"]] is None:
            return f"{_short(new['execution'])} took the lock of {_short(old['execution'])}, which is running"
    changed = _changed_endpoint(step)
    lock = before.lock(changed) if changed else None
    if not changed or (lock and (lock["execution"] == step.caller or lock["execution"] not in before.described_by)):
        return None
    return (
        f"{_short(step.caller)} changed {changed}, which {_short(lock['execution']) if lock else 'nobody'} had locked"
    )


def success_is_true(machine: Machine, step: Step) -> str | None:
    """A success is recorded only while the endpoint has the config of the promotion."""
    if step.is_read:
        return None
    before, after = step.before.world, step.after.world
    for endpoint in _endpoints(after):
        live = after.live(endpoint)
        if live is None or live == before.live(endpoint):
            continue
        # Nobody can see a change that someone else makes after the last look and before the record.
        if after.changed_by_others and step.caller not in after.seen_by:
            continue
        found = after.endpoints.get(endpoint)
        if found is None or found.serves != live["endpoint_config_name"]:
            return f"{live['endpoint_config_name']} was recorded as live, but the endpoint has {found}"
    return None


def locks_end(machine: Machine, step: Step) -> str | None:
    """In the end, no endpoint is locked, or operators were paged."""
    world = step.after.world
    if not step.is_last or _operators_paged(machine, world):
        return None
    held = [endpoint for endpoint in _endpoints(world) if world.lock(endpoint)]
    return f"nobody knows that {held[0]} is locked by {world.lock(held[0])}" if held else None


def nothing_needed_is_removed(machine: Machine, step: Step) -> str | None:
    """What an endpoint serves, a record or a journal refers to, or a promotion is about to deploy still exists."""
    if step.is_read:
        return None
    world = step.after.world
    for what, config in _needed(step):
        model = world.configs.get(config)
        if model is None or model not in world.models or world.models[model] not in world.objects:
            return f"{what} needs the endpoint config {config}, its model and its artifacts"
    return None


def approvals_are_used_once(machine: Machine, step: Step) -> str | None:
    """Only one execution changes an endpoint with an approval."""
    changed = _changed_endpoint(step)
    lock = step.before.world.lock(changed) if changed else None
    record = lock["promotion"] if lock else {}
    approval = record.get("approval")
    if not approval or record["source_kind"] == "rollback":
        return None
    world = step.before.world
    for former in (each for endpoint in _endpoints(world) for each in world.history(endpoint)):
        is_same = (former.get("approval"), former["source_kind"]) == (approval, record["source_kind"])
        if is_same and former["execution"] != record["execution"] and "previous_endpoint_config_name" in former:
            return f"{_short(former['execution'])} and {_short(record['execution'])} used the approval {approval}"
    return None


def endings_are_published_once(machine: Machine, step: Step) -> str | None:
    """In the end, the event of every success was published, exactly once unless something was interrupted."""
    if not step.is_last:
        return None
    world = step.after.world
    interrupted = any(ended and ended.status != "SUCCEEDED" for ended in world.executions.values())
    published = [execution for kind, execution, _ in world.published if kind == _SUCCEEDED]
    for endpoint in _endpoints(world):
        live = world.live(endpoint)
        for record in world.history(endpoint):
            if record["status"] != "Succeeded" or record["execution"] not in world.executions:
                continue
            times = published.count(record["execution"])
            # The event of a promotion that died is no longer published after another one has replaced it.
            is_replaced = interrupted and live and live["execution"] != record["execution"]
            if times == 0 and not is_replaced:
                return f"{_short(record['execution'])} is on record, but its event was not published"
            if times > 1 and not interrupted and step.after.left.faults == step.after.bounds.faults:
                return f"the event of {_short(record['execution'])} was published {times} times"
    return None


def record_agrees(machine: Machine, step: Step) -> str | None:
    """While an endpoint is not locked, it has the config of its record, or operators were paged."""
    world = step.after.world
    if step.is_read or world.changed_by_others or _operators_paged(machine, world):
        return None
    for endpoint in _endpoints(world):
        if world.lock(endpoint):
            continue
        live, found = world.live(endpoint), world.endpoints.get(endpoint)
        recorded, serves = live["endpoint_config_name"] if live else None, found.serves if found else None
        if recorded != serves:
            return f"{endpoint} is not locked and serves {serves}, but {recorded} is on record"
    return None


INVARIANTS: dict[str, Invariant] = {
    function.__name__.replace("_", " "): function
    for function in (
        one_holder_changes,
        success_is_true,
        locks_end,
        nothing_needed_is_removed,
        approvals_are_used_once,
        endings_are_published_once,
        record_agrees,
    )
}


def _changed_endpoint(step: Step) -> str:
    """Return the name of the endpoint that a step has changed, or ""."""
    if not (step.call and step.call.operation in _CHANGES and step.succeeded):
        return ""
    return str(step.call.request["EndpointName"])


def _endpoints(world: World) -> list[str]:
    return sorted({key for kind, key in world.items if kind in ("live", "lock")} | set(world.endpoints))


def _operators_paged(machine: Machine, world: World) -> bool:
    return any(ended and ended.error in machine.pages_operators for ended in world.executions.values())


def _needed(step: Step) -> Iterator[tuple[str, str]]:
    """Yield who needs an endpoint config, and its name."""
    world = step.after.world
    for name, found in world.endpoints.items():
        yield f"the endpoint {name}", found.config
        yield f"the endpoint {name}", found.serves
    for endpoint in _endpoints(world):
        if live := world.live(endpoint):
            yield f"the live record of {endpoint}", live["endpoint_config_name"]
        if (lock := world.lock(endpoint)) and lock["promotion"].get("previous_endpoint_config_name"):
            yield f"the journal of {endpoint}", lock["promotion"]["previous_endpoint_config_name"]
    for execution in step.after.executions:
        promotion: dict[str, Any] | None = execution.variable("promotion")
        # The record of a recovery is that of the dead promotion, whose config it does not deploy.
        is_own = promotion is not None and _short(promotion["execution"]) == execution.name
        if promotion and is_own and "endpoint_config_name" in promotion:
            yield execution.name, promotion["endpoint_config_name"]


def _short(arn: str) -> str:
    return arn.rpartition(":")[2]
