"""Other models of the account that variants of the settings name, shadow variants or variants of an A/B test.

A promotion does not create these models, but its approval covers what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.endpoint.sagemaker import describe_model

KINDS = ("ProductionVariants", "ShadowProductionVariants")


def names(endpoint_config: dict[str, Any], kind: str, own: str = "") -> list[str]:
    """Return the names of the models that the variants of a `kind` name, except `own`."""
    named = {variant.get("ModelName", own) for variant in endpoint_config.get(kind, [])}
    return sorted(named - {own})


def refusals(sagemaker: Any, endpoint_config: dict[str, Any]) -> Iterator[str]:
    """Yield the reasons why variants of the settings cannot serve the models that they name."""
    for kind in KINDS:
        for index, variant in enumerate(endpoint_config.get(kind, [])):
            name = variant.get("ModelName")
            if name and describe_model(sagemaker, name) is None:
                yield (
                    f"EndpointConfig.{kind}[{index}].ModelName is {name!a}, but this account has no such model. "
                    "Correct the name, or remove ModelName to serve the promoted model."
                )
