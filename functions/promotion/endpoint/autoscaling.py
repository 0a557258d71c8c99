"""The autoscaling of an endpoint's variants or inference component, and how it changes with an update.

A *target* is a scalable target of Application Auto Scaling with its policies and actions, in the vocabulary of its API:

    {"ResourceId": "endpoint/<endpoint>/variant/<variant>", "ScalableDimension": …, "MinCapacity": 1, "MaxCapacity": 4,
     "SuspendedState": {…}, "ScalingPolicies": [of PutScalingPolicy], "ScheduledActions": [of PutScheduledAction]}

The copies of an inference component have the resource ID "inference-component/<component>".
"""

from __future__ import annotations

import datetime
from typing import Any

from promotion.aws import service_model
from promotion.aws.input_checks import did_you_mean
from promotion.errors import InvalidRequestError, PromotionRefusedError

Target = dict[str, Any]

NAMESPACE = "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
COPIES = "sagemaker:inference-component:DesiredCopyCount"

POLICY_MEMBERS = (
    "PolicyName",
    "PolicyType",
    "StepScalingPolicyConfiguration",
    "TargetTrackingScalingPolicyConfiguration",
)
ACTION_MEMBERS = ("ScheduledActionName", "Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")

_TARGET_MEMBERS = ("MinCapacity", "MaxCapacity", "SuspendedState")
STEP = "StepScaling"
# SageMaker has no predictive scaling (Application Auto Scaling user guide, "Amazon SageMaker AI").
_CONFIGURATION_OF = {
    STEP: "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
}
_NOT_SUSPENDED = dict.fromkeys(
    ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
)


def validated(value: Any, where: str) -> dict[str, Any]:
    """Return `value` if it is valid as `Autoscaling` of an application's settings.

    `value` has MinCapacity, MaxCapacity and SuspendedState of RegisterScalableTarget, and the lists ScalingPolicies and
    ScheduledActions with members of PutScalingPolicy and PutScheduledAction. Raises InvalidRequestError, with the path
    of the problem (`where` is the path of `value`), if it is not valid.
    """
    known = {*_TARGET_MEMBERS, "ScalingPolicies", "ScheduledActions"}
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{where} is not an object.")
    for key in sorted(set(value) - known):
        raise InvalidRequestError(
            f"{where} has the unknown key {key!a:.100}{did_you_mean(key, known)}. Valid keys: "
            f"{', '.join(sorted(known))}."
        )
    for key in ("MinCapacity", "MaxCapacity"):
        if key not in value:
            raise InvalidRequestError(f"{where}.{key} is missing.")
    _check(where, "RegisterScalableTarget", {key: value[key] for key in _TARGET_MEMBERS if key in value})
    if not 0 <= value["MinCapacity"] <= value["MaxCapacity"]:
        raise InvalidRequestError(
            f"{where}.MinCapacity is {value['MinCapacity']}. It must be from 0 to MaxCapacity, which is "
            f"{value['MaxCapacity']}."
        )
    for member, operation, name in (
        ("ScalingPolicies", "PutScalingPolicy", "PolicyName"),
        ("ScheduledActions", "PutScheduledAction", "ScheduledActionName"),
    ):
        items = value.get(member, [])
        if not isinstance(items, list):
            raise InvalidRequestError(f"{where}.{member} is not a list.")
        for index, item in enumerate(items):
            _check(f"{where}.{member}[{index}]", operation, item)
        names = [item[name] for item in items]
        for duplicate in sorted({each for each in names if names.count(each) > 1}):
            raise InvalidRequestError(f"{where}.{member} has the {name} {duplicate!a:.100} twice. Rename one of them.")
    for index, policy in enumerate(value.get("ScalingPolicies", [])):
        expected = _CONFIGURATION_OF.get(policy.get("PolicyType"))
        if expected is None or expected not in policy:
            raise InvalidRequestError(
                f"{where}.ScalingPolicies[{index}] requires a PolicyType ({' or '.join(_CONFIGURATION_OF)}) and its "
                f"configuration ({' or '.join(_CONFIGURATION_OF.values())})."
            )
    return dict(value)


def _check(where: str, operation: str, given: Any) -> None:
    """Validate `given` against the service model of `operation`, without the members that name the variant."""
    filled_in = {"ServiceNamespace": NAMESPACE, "ResourceId": "filled-in", "ScalableDimension": INSTANCES}
    if not isinstance(given, dict):
        raise InvalidRequestError(f"{where} is not an object.")
    for key in sorted(filled_in.keys() & given.keys()):
        raise InvalidRequestError(f"{where}.{key} is set by the promotion. Remove it.")
    shape = service_model.input_shape("application-autoscaling", operation)
    problems = list(service_model.problems(shape, given | filled_in, where))
    if problems:
        raise InvalidRequestError(f"{service_model.listed(problems)}.")


def waking(policies: list[dict[str, Any]]) -> str | None:
    """Return the name of the policy that starts a copy of a component without one: the first step scaling policy.

    Target tracking has no metrics of a component without copies (endpoint-auto-scaling-zero-instances.html).
    """
    return next((str(policy["PolicyName"]) for policy in policies if policy["PolicyType"] == STEP), None)


def resource_id(endpoint: str, variant: str) -> str:
    """Return the resource ID of a variant in Application Auto Scaling."""
    return f"endpoint/{endpoint}/variant/{variant}"


def component_id(component: str) -> str:
    """Return the resource ID of an inference component in Application Auto Scaling."""
    return f"inference-component/{component}"


def key_of(target: Target) -> tuple[str, str]:
    """Return the resource ID and the dimension, which identify a target within the namespace."""
    return (target["ResourceId"], target["ScalableDimension"])


def from_description(
    description: dict[str, Any], policies: list[dict[str, Any]], actions: list[dict[str, Any]], now: datetime.datetime
) -> Target:
    """Return the described target with its policies and actions, without the members that AWS generates.

    A StartTime before `now`, and an action that ended before `now`, are left out, because they cannot be restored.
    """
    return {
        "ResourceId": description["ResourceId"],
        "ScalableDimension": description["ScalableDimension"],
        "MinCapacity": description["MinCapacity"],
        "MaxCapacity": description["MaxCapacity"],
        "SuspendedState": _NOT_SUSPENDED | description.get("SuspendedState", {}),
        "ScalingPolicies": sorted((_members(p, POLICY_MEMBERS) for p in policies), key=lambda p: str(p["PolicyName"])),
        "ScheduledActions": sorted(
            (_action(a, now) for a in actions if a.get("EndTime", now) >= now),
            key=lambda a: str(a["ScheduledActionName"]),
        ),
    }


def assert_known(description: dict[str, Any], policies: list[dict[str, Any]], actions: list[dict[str, Any]]) -> None:
    """Raise PromotionRefusedError if a response has a member that this version lacks, and could not restore."""
    for operation, member, found in (
        ("DescribeScalableTargets", "ScalableTargets", [description]),
        ("DescribeScalingPolicies", "ScalingPolicies", policies),
        ("DescribeScheduledActions", "ScheduledActions", actions),
    ):
        shape = service_model.output_shape("application-autoscaling", operation).members[member]
        for unknown in service_model.unknown_members(shape, found, member):
            raise PromotionRefusedError(
                f"The autoscaling of {description['ResourceId']} has the field {unknown}, which this version of Model "
                "Promotion does not support, and could not restore after a failure. Update Model Promotion, or create "
                "the autoscaling again without the field."
            )


def _action(description: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    action = _members(description, ACTION_MEMBERS)
    if "StartTime" in action and action["StartTime"] <= now:
        del action["StartTime"]
    return {key: value.isoformat() if isinstance(value, datetime.datetime) else value for key, value in action.items()}


def _members(description: dict[str, Any], members: tuple[str, ...]) -> dict[str, Any]:
    return {key: description[key] for key in members if key in description}


def is_one_time(action: dict[str, Any]) -> bool:
    """Return whether a scheduled action runs only once; that time may have passed."""
    return str(action.get("Schedule", "")).startswith("at(")


def are_equivalent(some: list[Target], others: list[Target]) -> bool:
    """Return whether both lists scale the same way from now on: order and one-time actions do not count."""
    return _recurring(some) == _recurring(others)


def _recurring(targets: list[Target]) -> list[Target]:
    return sorted(
        (
            target | {"ScheduledActions": [a for a in target["ScheduledActions"] if not is_one_time(a)]}
            for target in targets
        ),
        key=key_of,
    )


def blocks_update(target: Target, old: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None) -> bool:
    """Return whether SageMaker may refuse the update from the variants `old` to `new` while `target` is registered.

    It refuses to remove the variant or to change its instance type (SageMaker developer guide, "Update endpoints that
    use auto scaling"). None stands for the variants of a deleted config; then the result is True. The update of an
    inference component is not refused.
    """
    if target["ScalableDimension"] == COPIES:
        return False
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
    """Return the targets of `endpoint` once it serves `variants` (of CreateEndpointConfig).

    They come from `settings` (`Autoscaling` of the application's settings), which apply to each variant, or are the
    `previous` targets if that is None. Raises PromotionRefusedError if a previous target cannot be kept, because its
    variant is removed.
    """
    is_component = "ModelName" not in variants[0]
    if settings is None and is_component:
        return previous
    if settings is None:
        for target in previous:
            variant = _variant(variants, target)
            if variant is None or dimension(variant) != target["ScalableDimension"]:
                present = ", ".join(f"{each['VariantName']} ({dimension(each)})" for each in variants)
                raise PromotionRefusedError(
                    f"The autoscaling of {target['ResourceId']} ({target['ScalableDimension']}) cannot be kept: after "
                    f"this promotion, the endpoint has the variants {present}. "
                    "Set Autoscaling in the settings of the application or deregister the scalable target, then start "
                    "the promotion again."
                )
        return previous
    return [_of_settings(endpoint, settings, previous, variant) for variant in variants]


def _of_settings(endpoint: str, settings: dict[str, Any], previous: list[Target], variant: dict[str, Any]) -> Target:
    is_component = "ModelName" not in variant
    target = {
        "ResourceId": component_id(endpoint) if is_component else resource_id(endpoint, variant["VariantName"]),
        "ScalableDimension": dimension(variant),
    }
    # Operators suspend scaling in an emergency, so a promotion does not resume it.
    suspended: dict[str, bool] = next(
        (known["SuspendedState"] for known in previous if key_of(known) == key_of(target)), {}
    )
    return target | {
        "MinCapacity": settings["MinCapacity"],
        "MaxCapacity": settings["MaxCapacity"],
        "SuspendedState": _NOT_SUSPENDED | suspended | settings.get("SuspendedState", {}),
        "ScalingPolicies": settings.get("ScalingPolicies", []),
        "ScheduledActions": settings.get("ScheduledActions", []),
    }


def dimension(variant: dict[str, Any]) -> str:
    """Return the scalable dimension: instances, the provisioned concurrency of a serverless variant, or copies.

    A variant without a model is that of an endpoint that hosts an inference component.
    """
    if "ModelName" not in variant:
        return COPIES
    return CONCURRENCY if "ServerlessConfig" in variant else INSTANCES
