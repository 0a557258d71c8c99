"""Build the CreateEndpointConfig request of a stage."""

from __future__ import annotations

from typing import Any

from promotion.endpoint.model import tag_list
from promotion.naming import SHADOW_VARIANT, VARIANT, resource_name, sha256_of
from promotion.source.candidate import Candidate


def is_serverless(endpoint_config: dict[str, Any]) -> bool:
    return any("ServerlessConfig" in variant for variant in endpoint_config["ProductionVariants"])


def is_asynchronous(description: dict[str, Any]) -> bool:
    """Of an endpoint config, or of DescribeEndpoint's answer."""
    return bool(description.get("AsyncInferenceConfig"))


def create_endpoint_config_request(
    candidate: Candidate, model_name: str, *, stage: str, endpoint_config: dict[str, Any], tags: dict[str, str]
) -> dict[str, Any]:
    """CreateEndpointConfig's members for `model_name`: the settings' `EndpointConfig` around it."""
    request = with_names(endpoint_config, model_name)
    name = resource_name(candidate.application, stage, candidate.created_at, sha256_of(request))
    return {"EndpointConfigName": name, **request, "Tags": tag_list(tags)}


def with_names(endpoint_config: dict[str, Any], model_name: str) -> dict[str, Any]:
    """The settings' `EndpointConfig` with the names of the model and the variants that they leave to the promotion."""
    own = {
        kind: [{"VariantName": name, "ModelName": model_name, **variant} for variant in endpoint_config[kind]]
        for kind, name in (("ProductionVariants", VARIANT), ("ShadowProductionVariants", SHADOW_VARIANT))
        if kind in endpoint_config
    }
    return {**endpoint_config, **own}
