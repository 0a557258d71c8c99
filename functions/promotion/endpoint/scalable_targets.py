"""Asking Application Auto Scaling for the targets of an endpoint, and making them what they are to be."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.endpoint import autoscaling
from promotion.endpoint.autoscaling import NAMESPACE, Target, key_of
from promotion.endpoint.sagemaker import variants_of
from promotion.errors import PromotionRefusedError, TryAgainError
from promotion.naming import VARIANT


def read(client: Any, endpoint: str, description: dict[str, Any] | None) -> list[Target]:
    """The targets of the variants that `endpoint` has by `description` (DescribeEndpoint's answer), and of ours."""
    variants = {v["VariantName"] for v in (description or {}).get("ProductionVariants", [])} | {VARIANT}
    resources = sorted(autoscaling.resource_id(endpoint, variant) for variant in variants)
    found = _all(client, "describe_scalable_targets", "ScalableTargets", ResourceIds=resources)
    return [_whole(client, target) for target in found]


def make_way(client: Any, sagemaker: Any, endpoint: str, description: dict[str, Any], config: str) -> None:
    """Take off the targets for which SageMaker would refuse to update the described endpoint to `config`."""
    targets = read(client, endpoint, description)
    if not targets:
        return
    old, new = (variants_of(sagemaker, name) for name in (description["EndpointConfigName"], config))
    for target in targets:
        if autoscaling.stands_in_the_way(target, old, new):
            take_off(client, target)


def take_off(client: Any, target: Target) -> None:
    """Deregister a target, and with it its policies and scheduled actions."""
    try:
        client.deregister_scalable_target(**_name(target))
    except ClientError as error:
        if meaning(error) is not Meaning.NOT_FOUND:
            raise


def bring(client: Any, actual: list[Target], wanted: list[Target]) -> None:
    """Make the targets of an endpoint, which are `actual`, the `wanted` ones.

    Raises TryAgainError when AWS does not know yet what was registered a moment ago, and PromotionRefusedError when it
    refuses something, with its own words.
    """
    known, kept = {key_of(target): target for target in actual}, {key_of(target) for target in wanted}
    for target in actual:
        if key_of(target) not in kept:
            take_off(client, target)
    for target in wanted:
        try:
            _make(client, known.get(key_of(target)), target)
        except ClientError as error:
            known_as = meaning(error)
            if known_as is Meaning.NOT_FOUND:
                raise TryAgainError(f"The scaling of {target['ResourceId']}: {message(error)}") from error
            # Of other services it is a limit of concurrent requests, of this one a quota of targets or policies.
            is_quota = error.response["Error"]["Code"] == "LimitExceededException"
            if known_as is Meaning.TRY_AGAIN and not is_quota:
                raise
            raise PromotionRefusedError(
                f"The scaling of {target['ResourceId']} could not be set by {error.operation_name}: {message(error)}"
            ) from error


def _make(client: Any, actual: Target | None, target: Target) -> None:
    name = _name(target)
    of_target = {key: target[key] for key in ("MinCapacity", "MaxCapacity", "SuspendedState")}
    if actual is None or any(actual[key] != value for key, value in of_target.items()):
        client.register_scalable_target(**name, **of_target)
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


def _schedule(client: Any, name: dict[str, str], action: dict[str, Any]) -> None:
    try:
        client.put_scheduled_action(**name, **action)
    except ClientError as error:
        # The one moment it was for has come meanwhile.
        if not (autoscaling.happens_once(action) and error.response["Error"]["Code"] == "ValidationException"):
            raise


def _by_name(target: Target | None, members: str, name: str) -> dict[str, dict[str, Any]]:
    return {item[name]: item for item in (target or {}).get(members, [])}


def _whole(client: Any, found: dict[str, Any]) -> Target:
    of_it = {key: found[key] for key in ("ResourceId", "ScalableDimension")}
    return autoscaling.whole(
        found,
        list(_all(client, "describe_scaling_policies", "ScalingPolicies", **of_it)),
        list(_all(client, "describe_scheduled_actions", "ScheduledActions", **of_it)),
        datetime.datetime.now(datetime.UTC),
    )


def _all(client: Any, operation: str, members: str, **request: Any) -> Iterable[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(ServiceNamespace=NAMESPACE, **request):
        yield from page[members]


def _name(target: Target) -> dict[str, str]:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": target["ResourceId"],
        "ScalableDimension": target["ScalableDimension"],
    }
