"""The scalable targets of an endpoint in Application Auto Scaling: read, registered and deregistered."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message, none_if_not_found
from promotion.endpoint import autoscaling, scaling_merge
from promotion.endpoint.autoscaling import NAMESPACE, Target, key_of
from promotion.endpoint.sagemaker import variants_of
from promotion.endpoint.tagging import Changes
from promotion.errors import PromotionRefusedError, TransientError
from promotion.naming import VARIANT

_ROLE_CHECKS, _ROLE_CHECK_SECONDS = 12, 5


def read(
    client: Any, endpoint: str, description: dict[str, Any] | None, *, to_restore_whole: bool = False
) -> list[Target]:
    """Return the targets of `endpoint`, for its variants in `description` (of DescribeEndpoint) and for AllTraffic.

    The description of an inference component (of `target`) has only the component's target.

    Raises PromotionRefusedError if a target `to_restore_whole` has a member that this version does not know.
    """
    variants = {v["VariantName"] for v in (description or {}).get("ProductionVariants", [])} | {VARIANT}
    resources = sorted(autoscaling.resource_id(endpoint, variant) for variant in variants)
    if component := (description or {}).get("InferenceComponentName"):
        resources = [autoscaling.component_id(component)]
    descriptions = _all(client, "describe_scalable_targets", "ScalableTargets", ResourceIds=resources)
    return [_target(client, each, to_restore_whole) for each in descriptions]


def wanted(
    sagemaker: Any, endpoint: str, endpoint_config: str, settings: dict[str, Any] | None, previous: list[Target]
) -> list[Target]:
    """Return the targets of `endpoint` with a new endpoint config, as `autoscaling.wanted` does.

    Raises TransientError if the endpoint config is not visible in SageMaker yet.
    """
    if settings is None and not previous:
        return []
    variants = variants_of(sagemaker, endpoint_config)
    if variants is None:
        raise TransientError(f"The endpoint config {endpoint_config} is not visible in SageMaker yet.")
    return autoscaling.wanted(endpoint, settings, previous, variants)


def deregister_blocking(client: Any, sagemaker: Any, endpoint: str, description: dict[str, Any], config: str) -> None:
    """Deregister the targets with which SageMaker would refuse the update of the endpoint to `config`."""
    targets = read(client, endpoint, description)
    for target in _blocking(sagemaker, targets, description["EndpointConfigName"], config):
        _deregister(client, target)


def _blocking(sagemaker: Any, targets: list[Target], old: str | None, new: str | None) -> list[Target]:
    """Return those of the `targets` that a promotion deregisters for an update between two endpoint configs."""
    if not targets:
        return []
    variants = [variants_of(sagemaker, name) if name else None for name in (old, new)]
    return [target for target in targets if autoscaling.blocks_update(target, *variants)]


@dataclasses.dataclass(frozen=True)
class Change:
    """The change of an endpoint by a promotion: its targets before and after it, both configs, and the changed tags."""

    previous: list[Target]
    wanted: list[Target]
    previous_config: str | None
    config: str
    tags: Changes = dataclasses.field(default_factory=dict)

    def deregistered(self, sagemaker: Any) -> list[Target]:
        """Return the previous targets that the promotion may have deregistered itself."""
        return _blocking(sagemaker, self.previous, self.previous_config, self.config)


def to_apply(sagemaker: Any, actual: list[Target], change: Change) -> list[Target]:
    """Return the targets to apply after the deployment: the wanted ones, with what others have changed meanwhile."""
    theirs = scaling_merge.with_deregistered(actual, change.deregistered(sagemaker))
    return scaling_merge.merged(change.previous, change.wanted, theirs)


def to_restore(sagemaker: Any, actual: list[Target], change: Change) -> list[Target]:
    """Return the targets to restore in a rollback: the previous ones, with what others have changed meanwhile."""
    theirs = scaling_merge.with_deregistered(actual, change.deregistered(sagemaker))
    return scaling_merge.merged(change.wanted, change.previous, theirs)


def deregister_unknown(client: Any, endpoint: str, description: dict[str, Any] | None, known: list[Target]) -> None:
    """Deregister the targets of an endpoint that are not among the `known` ones."""
    keys = {key_of(target) for target in known}
    for target in read(client, endpoint, description):
        if key_of(target) not in keys:
            _deregister(client, target)


def restore_missing(
    client: Any, sagemaker: Any, endpoint: str, description: dict[str, Any] | None, change: Change
) -> str:
    """Register the targets again that the promotion has deregistered, even if someone else changed the endpoint.

    Return a sentence for the message about the endpoint if its autoscaling is not restored, otherwise "".
    """
    if description is None or not change.previous:
        return ""
    actual = read(client, endpoint, description)
    known = {key_of(target) for target in actual}
    missing = [target for target in change.deregistered(sagemaker) if key_of(target) not in known]
    if not missing:
        return ""
    if description["EndpointStatus"] != "InService":
        return (
            " Its autoscaling was removed and has not been restored. The previous autoscaling is in the promotion "
            "table, in the item of the kind autoscaling."
        )
    try:
        apply(client, actual, [*actual, *missing])
    except PromotionRefusedError as error:
        return f" {error}"
    return ""


def waking_policy(client: Any, targets: list[Target]) -> str | None:
    """Return the ARN of the policy that wakes a component which scales to zero, or None if none does.

    It is the one that `autoscaling.waking` chooses.
    """
    for target in targets:
        if target["MinCapacity"] == 0 and (name := autoscaling.waking(target["ScalingPolicies"])):
            policies = _all(
                client,
                "describe_scaling_policies",
                "ScalingPolicies",
                ResourceId=target["ResourceId"],
                ScalableDimension=target["ScalableDimension"],
            )
            return next((str(policy["PolicyARN"]) for policy in policies if policy["PolicyName"] == name), None)
    return None


def _deregister(client: Any, target: Target) -> None:
    """Deregister a target, which also deletes its policies and scheduled actions."""
    none_if_not_found(client.deregister_scalable_target, **_name(target))


def apply(client: Any, actual: list[Target], wanted: list[Target]) -> None:
    """Change the targets of an endpoint from `actual` to `wanted`.

    Raises TransientError if a new target is not visible yet, and PromotionRefusedError if AWS refuses a request.
    """
    known, kept = {key_of(target): target for target in actual}, {key_of(target) for target in wanted}
    for target in actual:
        if key_of(target) not in kept:
            _deregister(client, target)
    for target in wanted:
        try:
            _put(client, known.get(key_of(target)), target)
        except ClientError as error:
            kind = meaning(error)
            if kind in (Meaning.NOT_FOUND, Meaning.NOT_YET_VISIBLE):
                raise TransientError(
                    f"The autoscaling of {target['ResourceId']} was not set. {message(error)}"
                ) from error
            # In other services this code means too many concurrent requests, here a quota of targets or policies.
            is_quota = error.response["Error"]["Code"] == "LimitExceededException"
            if kind is Meaning.TRANSIENT and not is_quota:
                raise
            raise PromotionRefusedError(
                f"AWS refused {error.operation_name} for the autoscaling of {target['ResourceId']}. {message(error)}"
            ) from error


def _put(client: Any, actual: Target | None, target: Target) -> None:
    name = _name(target)
    of_target = {key: target[key] for key in ("MinCapacity", "MaxCapacity", "SuspendedState")}
    if actual is None or any(actual[key] != value for key, value in of_target.items()):
        _register(client, **name, **of_target)
    old, new = (_by_name(t, "ScalingPolicies", "PolicyName") for t in (actual, target))
    for policy, given in old.items():
        if policy not in new or new[policy]["PolicyType"] != given["PolicyType"]:
            client.delete_scaling_policy(**name, PolicyName=policy)
    for policy, given in new.items():
        if old.get(policy) != given:
            client.put_scaling_policy(**name, **given)
    old, new = (_by_name(t, "ScheduledActions", "ScheduledActionName") for t in (actual, target))
    for action in old.keys() - new.keys():
        client.delete_scheduled_action(**name, ScheduledActionName=action)
    for action, given in new.items():
        if old.get(action) != given:
            _schedule(client, name, given)


def _register(client: Any, **request: Any) -> None:
    """Register a target, and wait for the service-linked role that the first target of an account creates.

    For about a minute, Application Auto Scaling may be unable to assume it.
    """
    for _ in range(_ROLE_CHECKS):
        try:
            client.register_scalable_target(**request)
        except ClientError as error:
            if meaning(error) is not Meaning.NOT_YET_VISIBLE:
                raise
            time.sleep(_ROLE_CHECK_SECONDS)
        else:
            return
    client.register_scalable_target(**request)


def _schedule(client: Any, name: dict[str, str], action: dict[str, Any]) -> None:
    try:
        client.put_scheduled_action(**name, **action)
    except ClientError as error:
        # The time of a one-time action may have passed meanwhile.
        if not (autoscaling.is_one_time(action) and error.response["Error"]["Code"] == "ValidationException"):
            raise


def _by_name(target: Target | None, members: str, name: str) -> dict[str, dict[str, Any]]:
    return {item[name]: item for item in (target or {}).get(members, [])}


def _target(client: Any, description: dict[str, Any], to_restore_whole: bool) -> Target:
    name = {key: description[key] for key in ("ResourceId", "ScalableDimension")}
    policies = list(_all(client, "describe_scaling_policies", "ScalingPolicies", **name))
    actions = list(_all(client, "describe_scheduled_actions", "ScheduledActions", **name))
    if to_restore_whole:
        autoscaling.assert_known(description, policies, actions)
    return autoscaling.from_description(description, policies, actions, datetime.datetime.now(datetime.UTC))


def _all(client: Any, operation: str, members: str, **request: Any) -> Iterable[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(ServiceNamespace=NAMESPACE, **request):
        yield from page[members]


def _name(target: Target) -> dict[str, str]:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": target["ResourceId"],
        "ScalableDimension": target["ScalableDimension"],
    }
