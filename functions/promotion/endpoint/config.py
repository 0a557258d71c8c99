"""Build the CreateEndpointConfig request of a stage."""

from __future__ import annotations

from typing import Any

from promotion.endpoint.model import tag_list
from promotion.naming import SHADOW_VARIANT, VARIANT, resource_name, sha256_of
from promotion.source.candidate import Candidate


def is_serverless(endpoint_config: dict[str, Any]) -> bool:
    """Return whether a variant of an endpoint config is serverless."""
    return any("ServerlessConfig" in variant for variant in endpoint_config["ProductionVariants"])


def is_asynchronous(description: dict[str, Any]) -> bool:
    """Return whether an endpoint config, or the endpoint of a DescribeEndpoint response, is asynchronous."""
    return bool(description.get("AsyncInferenceConfig"))


def host_config(settings: dict[str, Any], role_arn: str) -> dict[str, Any]:
    """Return the content of the config of an endpoint that hosts the component of `settings`: no model, but a role.

    The containers of a component are in the VPC and in the isolation of the endpoint config.
    """
    config, model = settings["EndpointConfig"], settings.get("Model", {})
    isolated = {"EnableNetworkIsolation": True} if model.get("EnableNetworkIsolation") else {}
    return {
        **config,
        "ProductionVariants": [{"VariantName": VARIANT, **variant} for variant in config["ProductionVariants"]],
        "ExecutionRoleArn": role_arn,
        **({"VpcConfig": model["VpcConfig"]} if "VpcConfig" in model else {}),
        **isolated,
    }


def create_endpoint_config_request(
    candidate: Candidate, model_name: str, *, stage: str, endpoint_config: dict[str, Any], tags: dict[str, str]
) -> dict[str, Any]:
    """Return the CreateEndpointConfig request for `model_name`; `endpoint_config` comes from the settings."""
    request = with_names(endpoint_config, model_name)
    name = resource_name(candidate.application, stage, candidate.created_at, sha256_of(request))
    return {"EndpointConfigName": name, **request, "Tags": tag_list(tags)}


def served_before(live: dict[str, Any], new: dict[str, Any], model_name: str) -> str | None:
    """Return the model of the live endpoint config on the variant on which the `new` one serves `model_name`.

    The model of a component has the name of the config of its endpoint.
    """
    names = [variant["VariantName"] for variant in new["ProductionVariants"] if variant.get("ModelName") == model_name]
    variants = sorted(live["ProductionVariants"], key=lambda variant: variant["VariantName"] not in names)
    served: str | None = variants[0].get("ModelName", live["EndpointConfigName"])
    return served


def with_names(endpoint_config: dict[str, Any], model_name: str) -> dict[str, Any]:
    """Return `endpoint_config` with the names of the model and of unnamed variants, which the promotion sets."""
    own = {
        kind: [{"VariantName": name, "ModelName": model_name, **variant} for variant in endpoint_config[kind]]
        for kind, name in (("ProductionVariants", VARIANT), ("ShadowProductionVariants", SHADOW_VARIANT))
        if kind in endpoint_config
    }
    return {**endpoint_config, **own}
