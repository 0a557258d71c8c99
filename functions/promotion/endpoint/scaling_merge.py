"""The three-way merge of an endpoint's autoscaling, so that a promotion undoes no change that others make meanwhile.

`base` are the targets from which a promotion starts, `ours` those that it wants, `theirs` those that are found when it
applies them. Whatever is found as it was in `base` becomes as in `ours`; whatever someone else has changed stays.
"""

from __future__ import annotations

from typing import Any

from promotion.endpoint.autoscaling import Target, key_of

_CAPACITIES = ("MinCapacity", "MaxCapacity")
_LISTS = {"ScalingPolicies": "PolicyName", "ScheduledActions": "ScheduledActionName"}


def merged(base: list[Target], ours: list[Target], theirs: list[Target]) -> list[Target]:
    """Return the targets to apply.

    A target that is not in `ours` is kept only if someone else has registered it. A target that someone else has
    deregistered stays so.
    """
    before, wanted, found = ({key_of(target): target for target in targets} for targets in (base, ours, theirs))
    result = []
    for key in dict.fromkeys([*wanted, *found]):
        if key not in wanted:
            if key not in before:
                result.append(found[key])
        elif key in found:
            result.append(_merged(before.get(key), wanted[key], found[key]))
        elif key not in before:
            result.append(wanted[key])
    return result


def with_deregistered(actual: list[Target], deregistered: list[Target]) -> list[Target]:
    """Return the `actual` targets with what was lost with those that the promotion has `deregistered` itself.

    A target may have been registered again meanwhile, but not all of its policies and actions.
    """
    found = {key_of(target): target for target in actual}
    lost = {key_of(target): target for target in deregistered}
    return [
        lost[key] | target | {kind: [*(_named(lost[key], kind) | _named(target, kind)).values()] for kind in _LISTS}
        if key in lost
        else target
        for key, target in (lost | found).items()
    ]


def _merged(base: Target | None, ours: Target, theirs: Target) -> Target:
    before = base or {}
    return theirs | {
        **_capacities(before, ours, theirs),
        "SuspendedState": _each(before.get("SuspendedState", {}), ours["SuspendedState"], theirs["SuspendedState"]),
        **{kind: [*_each(*(_named(each, kind) for each in (before, ours, theirs))).values()] for kind in _LISTS},
    }


def _capacities(base: Target, ours: Target, theirs: Target) -> dict[str, Any]:
    """Return the capacities; those that a scheduled action has set stay until the next action changes them."""
    kept = {
        member: theirs[member]
        for member in _CAPACITIES
        if theirs[member] != base.get(member) or _is_scheduled(base, ours, member)
    }
    result = {member: ours[member] for member in _CAPACITIES} | kept
    is_valid = result["MinCapacity"] <= result["MaxCapacity"]
    return result if is_valid else {member: ours[member] for member in _CAPACITIES}


def _is_scheduled(base: Target, ours: Target, member: str) -> bool:
    """Return whether a scheduled action that stays could have set the present capacity."""
    before, after = (_named(target, "ScheduledActions") for target in (base, ours))
    return any(
        before[name].get("ScalableTargetAction", {}).get(member) == base[member] for name in before.keys() & after
    )


def _each(base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the merged members of a mapping: each is present in the result unless its side does not have it."""
    result = {}
    for name in dict.fromkeys([*theirs, *ours]):
        side = ours if _is_unchanged(base.get(name), theirs.get(name)) else theirs
        if name in side:
            result[name] = side[name]
    return result


def _is_unchanged(given: Any, found: Any) -> bool:
    """Return whether `found` is as `given`; AWS may add members with empty or false values to a description."""
    if not (isinstance(given, dict) and isinstance(found, dict)):
        return bool(given == found)
    return all(_is_unchanged(value, found.get(key)) for key, value in given.items()) and not any(
        value for key, value in found.items() if key not in given
    )


def _named(target: Target, kind: str) -> dict[str, Any]:
    return {item[_LISTS[kind]]: item for item in target.get(kind, [])}
