"""What SageMaker does not accept in an endpoint config, and which conversions of a live endpoint: rules as tables.

Each rule names its source. A refusal names the path, the reason and the remedy.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from promotion.endpoint import guardrails
from promotion.endpoint.config import is_asynchronous, is_serverless

REAL_TIME, ASYNCHRONOUS, SERVERLESS = "real-time", "asynchronous", "serverless"
VARIANTS = ("ProductionVariants", "ShadowProductionVariants")


@dataclasses.dataclass(frozen=True)
class Rule:
    """A member of a variant or of the whole config that is not accepted.

    `kinds` are the kinds of endpoints that do not accept it, `types` matches the instance types that do not; without
    both, no endpoint that hosts models itself accepts it. The text "{types}" in `reason` stands for the instance types.
    """

    member: str
    reason: str
    remedy: str
    source: str
    kinds: frozenset[str] = frozenset()
    types: str = ""


OF_VARIANTS = (
    Rule(
        "ManagedInstanceScaling",
        "is only for endpoints that host inference components",
        "Remove it, and set Autoscaling, which scales the variant",
        '"ManagedInstanceScaling is only supported for inference component endpoints" (CreateEndpointConfig), '
        "https://github.com/hashicorp/terraform-provider-aws/pull/45926",
    ),
    Rule(
        "InstancePools[].ModelNameOverride",
        "would serve another model than the promoted one on the instances of this pool",
        "Remove it. The promotion deploys its model to all pools",
        "API_InstancePool.html: the model to use for this instance pool instead of the variant's",
    ),
    Rule(
        "VolumeSizeInGB",
        "is not accepted for {types}, whose storage is a local NVMe volume of a fixed size",
        "Remove it, or use another instance type",
        "`volume_size_supported` of the SageMaker Python SDK, https://github.com/aws/sagemaker-python-sdk/pull/4828",
        types=r"ml\.([^.]*d|g5|g6|p5|trn1)[^.]*\..*",
    ),
)
OF_CONFIGS = (
    Rule(
        "CrossRegionTrafficConfig",
        "limits requests of inference routers, which SageMaker sends only to real-time endpoints on instances",
        "Remove it",
        "API_CrossRegionTrafficConfig.html: the cap follows from the number of InService instances",
        kinds=frozenset({ASYNCHRONOUS, SERVERLESS}),
    ),
)

# The conversions that are refused, from one kind to another, and the reason. The rest of the pairs are accepted.
# Sources: serverless-endpoints.html; "The AsyncInferenceConfig parameter cannot be removed from this endpoint"
# (UpdateEndpoint), https://github.com/aws/sagemaker-python-sdk/pull/3124.
_NOT_SUPPORTED, _NO_ROLLBACK = "which SageMaker does not support", "which SageMaker cannot roll back"
CONVERSIONS = {
    (REAL_TIME, SERVERLESS): _NOT_SUPPORTED,
    (ASYNCHRONOUS, SERVERLESS): _NOT_SUPPORTED,
    (ASYNCHRONOUS, REAL_TIME): _NOT_SUPPORTED,
    (SERVERLESS, REAL_TIME): _NO_ROLLBACK,
    (SERVERLESS, ASYNCHRONOUS): _NO_ROLLBACK,
    (REAL_TIME, ASYNCHRONOUS): _NO_ROLLBACK,
}


def kind_of(endpoint_config: dict[str, Any]) -> str:
    """Return the kind of endpoint that an endpoint config describes."""
    if is_serverless(endpoint_config):
        return SERVERLESS
    return ASYNCHRONOUS if is_asynchronous(endpoint_config) else REAL_TIME


def refusals(endpoint_config: dict[str, Any], *, hosts_components: bool = False) -> Iterator[str]:
    """Yield the reasons why SageMaker would not accept members of an endpoint config, `EndpointConfig` of settings.

    An endpoint that hosts inference components accepts what one that hosts models itself does not.
    """
    of_variants = tuple(rule for rule in OF_VARIANTS if rule.types or not hosts_components)
    kind = kind_of(endpoint_config)
    yield from _refused(OF_CONFIGS, endpoint_config, "EndpointConfig", kind, [])
    for variants in VARIANTS:
        for index, variant in enumerate(endpoint_config.get(variants, [])):
            path, types = f"EndpointConfig.{variants}[{index}]", guardrails.instance_types(variant)
            yield from _refused(of_variants, variant, path, kind, types)


def conversion_refusals(endpoint: str, live: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield the reason why `endpoint` cannot change from the `live` endpoint config to the `new` one, if any."""
    before, after = kind_of(live), kind_of(new)
    if reason := CONVERSIONS.get((before, after)):
        yield (
            f"The endpoint {endpoint} is {before} and would become {after}, {reason}. Delete the endpoint first (it is "
            "unavailable until the promotion has created it again), or promote the model under another application "
            "name."
        )


def _refused(rules: tuple[Rule, ...], given: dict[str, Any], path: str, kind: str, types: list[str]) -> Iterator[str]:
    for rule in rules:
        matching = [name for name in types if rule.types and re.fullmatch(rule.types, name)]
        applies = kind in rule.kinds or bool(matching) or not (rule.kinds or rule.types)
        for place in _places(given, rule.member, path) if applies else ():
            # A kind is named, because it may come from another part of the settings.
            of_kind = f" This endpoint is {kind}." if rule.kinds else ""
            yield f"{place} {rule.reason.format(types=', '.join(matching))}.{of_kind} {rule.remedy}."


def _places(value: dict[str, Any], member: str, path: str) -> Iterator[str]:
    """Yield the paths at which `value` has a member, such as `KmsKeyId` or `InstancePools[].ModelNameOverride`."""
    name, _, rest = member.partition("[].")
    if name not in value:
        return
    if not rest:
        yield f"{path}.{name}"
        return
    for index, item in enumerate(value[name]):
        yield from _places(item, rest, f"{path}.{name}[{index}]")
