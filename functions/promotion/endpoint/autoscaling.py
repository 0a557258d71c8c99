"""What scales the variants of an endpoint, and what has to become of it when the endpoint changes.

A *target* is one scalable target of Application Auto Scaling with all that hangs on it, in AWS's own words:

    {"ResourceId": "endpoint/<endpoint>/variant/<variant>", "ScalableDimension": …, "MinCapacity": 1, "MaxCapacity": 4,
     "SuspendedState": {…}, "ScalingPolicies": [PutScalingPolicy's members], "ScheduledActions": [PutScheduledAction's]}
"""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws import service_model
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.naming import VARIANT

Target = dict[str, Any]

NAMESPACE = "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"

POLICY_MEMBERS = (
    "PolicyName",
    "PolicyType",
    "StepScalingPolicyConfiguration",
    "TargetTrackingScalingPolicyConfiguration",
)
ACTION_MEMBERS = ("ScheduledActionName", "Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")

_TARGET_MEMBERS = ("MinCapacity", "MaxCapacity", "SuspendedState")
# "Amazon SageMaker AI and Application Auto Scaling" of its user guide: no predictive scaling.
_CONFIGURATION_OF = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
}
_NOT_SUSPENDED = dict.fromkeys(
    ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
)


def validated(value: Any, where: str) -> dict[str, Any]:
    """`value` if it is good as the `Autoscaling` of an application's settings.

    It holds RegisterScalableTarget's MinCapacity, MaxCapacity and SuspendedState, and the lists ScalingPolicies and
    ScheduledActions with members of PutScalingPolicy and PutScheduledAction. Raises InvalidRequestError, saying `where`
    and what is wrong, otherwise.
    """
    known = {*_TARGET_MEMBERS, "ScalingPolicies", "ScheduledActions"}
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{where} is not an object.")
    for key in sorted(set(value) - known):
        raise InvalidRequestError(f"{where} has the unknown key {key!a:.100}; known are {', '.join(sorted(known))}.")
    for key in ("MinCapacity", "MaxCapacity"):
        if key not in value:
            raise InvalidRequestError(f"{where} has no {key}.")
    _check(where, "RegisterScalableTarget", {key: value[key] for key in _TARGET_MEMBERS if key in value})
    if not 0 <= value["MinCapacity"] <= value["MaxCapacity"]:
        raise InvalidRequestError(f"{where}: MinCapacity has to be at least 0 and at most MaxCapacity.")
    for member, operation, name in (
        ("ScalingPolicies", "PutScalingPolicy", "PolicyName"),
        ("ScheduledActions", "PutScheduledAction", "ScheduledActionName"),
    ):
        given = value.get(member, [])
        if not isinstance(given, list):
            raise InvalidRequestError(f"{where}.{member} is not a list.")
        for index, item in enumerate(given):
            _check(f"{where}.{member}[{index}]", operation, item)
        names = [item[name] for item in given]
        for twice in sorted({found for found in names if names.count(found) > 1}):
            raise InvalidRequestError(f"{where}.{member} has two with the {name} {twice!a:.100}.")
    for index, policy in enumerate(value.get("ScalingPolicies", [])):
        expected = _CONFIGURATION_OF.get(policy.get("PolicyType"))
        if expected is None or expected not in policy:
            raise InvalidRequestError(
                f"{where}.ScalingPolicies[{index}] needs a PolicyType, which is one of {', '.join(_CONFIGURATION_OF)}, "
                "and the configuration of that type."
            )
    return dict(value)


def _check(where: str, operation: str, given: Any) -> None:
    """Validate against botocore's model of an operation, of which the promotion fills in what names the variant."""
    ours = {"ServiceNamespace": NAMESPACE, "ResourceId": "filled-in", "ScalableDimension": INSTANCES}
    if not isinstance(given, dict):
        raise InvalidRequestError(f"{where} is not an object.")
    for key in sorted(ours.keys() & given.keys()):
        raise InvalidRequestError(f"{where}.{key} is filled in by the promotion. Take it out.")
    shape = service_model.input_shape("application-autoscaling", operation)
    found = list(service_model.problems(shape, given | ours, where))
    if found:
        raise InvalidRequestError(f"{service_model.listed(found)}.")


def resource_id(endpoint: str, variant: str) -> str:
    return f"endpoint/{endpoint}/variant/{variant}"


def key_of(target: Target) -> tuple[str, str]:
    """What a scalable target is known by, beside the namespace."""
    return (target["ResourceId"], target["ScalableDimension"])


def whole(
    found: dict[str, Any], policies: list[dict[str, Any]], actions: list[dict[str, Any]], now: datetime.datetime
) -> Target:
    """The target of what Application Auto Scaling describes, without what it fills in itself.

    What a scheduled action has behind it at `now` is left out, since it could not be put back: a start that has been
    made, and an action that has ended.
    """
    return {
        "ResourceId": found["ResourceId"],
        "ScalableDimension": found["ScalableDimension"],
        "MinCapacity": found["MinCapacity"],
        "MaxCapacity": found["MaxCapacity"],
        "SuspendedState": _NOT_SUSPENDED | found.get("SuspendedState", {}),
        "ScalingPolicies": sorted((_members(p, POLICY_MEMBERS) for p in policies), key=lambda p: str(p["PolicyName"])),
        "ScheduledActions": sorted(
            (_action(a, now) for a in actions if a.get("EndTime", now) >= now),
            key=lambda a: str(a["ScheduledActionName"]),
        ),
    }


def _action(found: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    action = _members(found, ACTION_MEMBERS)
    if "StartTime" in action and action["StartTime"] <= now:
        del action["StartTime"]
    return {key: value.isoformat() if isinstance(value, datetime.datetime) else value for key, value in action.items()}


def _members(found: dict[str, Any], members: tuple[str, ...]) -> dict[str, Any]:
    return {key: found[key] for key in members if key in found}


def happens_once(action: dict[str, Any]) -> bool:
    """Whether a scheduled action is for one moment, which may have come meanwhile."""
    return str(action.get("Schedule", "")).startswith("at(")


def alike(some: list[Target], others: list[Target]) -> bool:
    """Whether both scale in the same way from now on."""
    return _lasting(some) == _lasting(others)


def _lasting(targets: list[Target]) -> list[Target]:
    return sorted(
        (
            target | {"ScheduledActions": [a for a in target["ScheduledActions"] if not happens_once(a)]}
            for target in targets
        ),
        key=key_of,
    )


def stands_in_the_way(target: Target, old: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None) -> bool:
    """Whether SageMaker refuses the update from the variants `old` to `new` while `target` is registered.

    It does when the variant goes or gets other instances (SageMaker developer guide, "Update endpoints that use auto
    scaling"). None stands for the variants of a config that is gone: then nobody knows.
    """
    if old is None or new is None:
        return True
    before, after = (_variant(variants, target) for variants in (old, new))
    return after is None or before is None or _hardware(before) != _hardware(after)


def _variant(variants: list[dict[str, Any]], target: Target) -> dict[str, Any] | None:
    name = target["ResourceId"].rsplit("/", 1)[-1]
    return next((variant for variant in variants if variant["VariantName"] == name), None)


def _hardware(variant: dict[str, Any]) -> tuple[Any, ...]:
    return (variant.get("InstanceType"), variant.get("InstancePools"), "ServerlessConfig" in variant)


def wanted(
    endpoint: str, settings: dict[str, Any] | None, previous: list[Target], variants: list[dict[str, Any]]
) -> list[Target]:
    """The targets that `endpoint` is to have once it serves `variants` (of CreateEndpointConfig).

    They are what `settings` (an application's `Autoscaling`) say, and otherwise the `previous` ones. Raises
    PromotionRefusedError when those cannot stay, because their variant goes.
    """
    if settings is None:
        for target in previous:
            variant = _variant(variants, target)
            if variant is None or dimension(variant) != target["ScalableDimension"]:
                raise PromotionRefusedError(
                    f"{target['ResourceId']} is scaled ({target['ScalableDimension']}), but after this promotion there "
                    f"is {VARIANT} alone. Say in the settings, as Autoscaling, how that is to scale, or deregister the "
                    "scalable target; then start again."
                )
        return previous
    variant = variants[0]
    target = {
        "ResourceId": resource_id(endpoint, variant["VariantName"]),
        "ScalableDimension": dimension(variant),
    }
    # Somebody who suspends scaling by hand does so in an emergency: a promotion does not end it.
    suspended: dict[str, bool] = next(
        (known["SuspendedState"] for known in previous if key_of(known) == key_of(target)), {}
    )
    return [
        target
        | {
            "MinCapacity": settings["MinCapacity"],
            "MaxCapacity": settings["MaxCapacity"],
            "SuspendedState": _NOT_SUSPENDED | suspended | settings.get("SuspendedState", {}),
            "ScalingPolicies": settings.get("ScalingPolicies", []),
            "ScheduledActions": settings.get("ScheduledActions", []),
        }
    ]


def dimension(variant: dict[str, Any]) -> str:
    """What of a variant scales: its instances, or a serverless one's provisioned concurrency."""
    return CONCURRENCY if "ServerlessConfig" in variant else INSTANCES
