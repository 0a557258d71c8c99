"""The properties of an endpoint's variants that an update retains: the sizes and the weights that others have set.

RetainAllVariantProperties of UpdateEndpoint keeps both; ExcludeRetainedVariantProperties names those to take from the
new endpoint config instead (API reference, UpdateEndpoint and VariantProperty).
"""

from __future__ import annotations

from typing import Any

from promotion.endpoint import state
from promotion.endpoint.sagemaker import describe_endpoint_config


def properties(sagemaker: Any, description: dict[str, Any] | None, requested: str) -> dict[str, Any]:
    """Return the members of an UpdateEndpoint request for the endpoint of `description` (of DescribeEndpoint).

    An endpoint that was scaled out keeps its size, any other gets that of the endpoint config `requested`. Weights that
    someone has changed stay, unless the two endpoint configs differ in them.
    """
    config = describe_endpoint_config(sagemaker, description["EndpointConfigName"]) if description else None
    new = describe_endpoint_config(sagemaker, requested)
    if not (description and config and new):
        return {"RetainAllVariantProperties": False}
    kept = {
        "DesiredInstanceCount": state.is_scaled_out(description, config, new),
        "DesiredWeight": _has_own_weights(description, config, new),
    }
    excluded = [{"VariantPropertyType": name} for name, is_kept in kept.items() if not is_kept]
    if len(excluded) == len(kept):
        return {"RetainAllVariantProperties": False}
    return {"RetainAllVariantProperties": True} | ({"ExcludeRetainedVariantProperties": excluded} if excluded else {})


def _has_own_weights(description: dict[str, Any], config: dict[str, Any], requested: dict[str, Any]) -> bool:
    """Return whether the weights of an endpoint are neither those of its config nor changed by the config requested."""
    before, after = (
        {variant["VariantName"]: variant.get("InitialVariantWeight", 1.0) for variant in each["ProductionVariants"]}
        for each in (config, requested)
    )
    actual = {each["VariantName"]: each.get("DesiredWeight") for each in description.get("ProductionVariants", [])}
    is_changed = any(weight not in (None, before.get(name)) for name, weight in actual.items())
    return is_changed and before == after
