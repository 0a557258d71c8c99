"""The scalable targets of an endpoint in Application Auto Scaling: read, registered and deregistered."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message, none_if_not_found
from promotion.endpoint import autoscaling
from promotion.endpoint.autoscaling import NAMESPACE, Target, key_of
from promotion.endpoint.sagemaker import variants_of
from promotion.errors import PromotionRefusedError, TransientError
from promotion.naming import VARIANT


def read(client: Any, endpoint: str, description: dict[str, Any] | None) -> list[Target]:
    """Return the targets of the variants of `endpoint`, by `description` (DescribeEndpoint's answer), and of ours."""
    variants = {v["VariantName"] for v in (description or {}).get("ProductionVariants", [])} | {VARIANT}
    resources = sorted(autoscaling.resource_id(endpoint, variant) for variant in variants)
    found = _all(client, "describe_scalable_targets", "ScalableTargets", ResourceIds=resources)
    return [_whole(client, target) for target in found]


def wanted(
    sagemaker: Any, endpoint: str, endpoint_config: str, settings: dict[str, Any] | None, previous: list[Target]
) -> list[Target]:
    """Return the targets that `endpoint` is to have with a new endpoint config, as `autoscaling.wanted` does.

    Raise TransientError if SageMaker does not know the endpoint config yet.
    """
    if settings is None and not previous:
        return []
    variants = variants_of(sagemaker, endpoint_config)
    if variants is None:
        raise TransientError(f"SageMaker does not know the endpoint config {endpoint_config} yet.")
    return autoscaling.wanted(endpoint, settings, previous, variants)


def deregister_blocking(client: Any, sagemaker: Any, endpoint: str, description: dict[str, Any], config: str) -> None:
    """Deregister the targets for which SageMaker would refuse to update the described endpoint to `config`."""
    targets = read(client, endpoint, description)
    if not targets:
        return
    old, new = (variants_of(sagemaker, name) for name in (description["EndpointConfigName"], config))
    for target in targets:
        if autoscaling.stands_in_the_way(target, old, new):
            _deregister(client, target)


def deregister_unknown(client: Any, endpoint: str, description: dict[str, Any] | None, known: list[Target]) -> None:
    """Deregister the targets of an endpoint that are not among the `known` ones."""
    keys = {key_of(target) for target in known}
    for target in read(client, endpoint, description):
        if key_of(target) not in keys:
            _deregister(client, target)


def restore_missing(client: Any, endpoint: str, description: dict[str, Any] | None, previous: list[Target]) -> str:
    """Register those `previous` targets that an endpoint in service lacks, whoever changed it.

    Return what to add to the message about the endpoint: a sentence if its scaling is not restored, or "".
    """
    if description is None or not previous:
        return ""
    actual = read(client, endpoint, description)
    known = {key_of(target) for target in actual}
    missing = [target for target in previous if key_of(target) not in known]
    if not missing:
        return ""
    if description["EndpointStatus"] != "InService":
        return " Its scaling was taken off and is off; what it was is in the promotion table, in the kind autoscaling."
    try:
        apply(client, actual, [*actual, *missing])
    except PromotionRefusedError as error:
        return f" {error}"
    return ""


def _deregister(client: Any, target: Target) -> None:
    """Deregister a target, and with it its policies and scheduled actions."""
    none_if_not_found(client.deregister_scalable_target, **_name(target))


def apply(client: Any, actual: list[Target], wanted: list[Target]) -> None:
    """Change the targets of an endpoint from the `actual` to the `wanted` ones.

    Raise TransientError if AWS does not know yet what was registered a moment ago, and PromotionRefusedError, with
    AWS's words, if it refuses something.
    """
    known, kept = {key_of(target): target for target in actual}, {key_of(target) for target in wanted}
    for target in actual:
        if key_of(target) not in kept:
            _deregister(client, target)
    for target in wanted:
        try:
            _make(client, known.get(key_of(target)), target)
        except ClientError as error:
            known_as = meaning(error)
            if known_as is Meaning.NOT_FOUND:
                raise TransientError(f"The scaling of {target['ResourceId']}: {message(error)}") from error
            # Of other services it is a limit of concurrent requests, of this one a quota of targets or policies.
            is_quota = error.response["Error"]["Code"] == "LimitExceededException"
            if known_as is Meaning.TRANSIENT and not is_quota:
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
