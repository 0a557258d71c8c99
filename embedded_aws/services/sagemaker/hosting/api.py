"""The API of SageMaker endpoints, whose containers run as processes.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html and the pages of the other operations.
"""

from __future__ import annotations

import copy
from typing import Any

from embedded_aws.kernel import accounts, processes
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import models, tags
from embedded_aws.services.sagemaker.hosting import component_api, components, guardrails, invocations, scalable_targets
from embedded_aws.services.sagemaker.hosting.deployment import Deployments
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint, variant_summaries
from embedded_aws.services.sagemaker.operations import Call, implement, invalid, listing

patches = Patches("5.2.5")
_deployments: Deployments
_quotas: dict[tuple[str, str], int] = {}


def install(host: Host) -> None:
    """Apply the patches, and end the deployments and containers with the host."""
    global _deployments
    _deployments = Deployments(host.pace, host.directory / "endpoints")
    _quotas.clear()
    # Last in, first out: killing the containers first ends the waits of deployments. The second call kills the
    # containers that the deployments started in the meantime.
    host.exits.callback(processes.kill_all)
    host.exits.callback(_deployments.end)
    component_api.install(host)
    host.exits.callback(processes.kill_all)
    tags.patches.apply()
    invocations.install(host)
    patches.apply()


def maintain(account: str, endpoint_name: str, seconds: float) -> None:
    """Start SageMaker's maintenance, which no caller can request: the endpoint is SystemUpdating for some seconds."""
    endpoint = _find(Call(account, accounts.REGION, {}), endpoint_name)
    with endpoint.lock:
        _assert_changeable(endpoint)
        _deployments.maintain(endpoint, seconds)


def limit_instances(account: str, instance_type: str, count: int) -> None:
    """Set an account's service quota "<instance type> for endpoint usage", which is unlimited otherwise."""
    _quotas[account, instance_type] = count


def _create_endpoint(call: Call) -> dict[str, Any]:
    name = call.request["EndpointName"]
    arn = call.arn("endpoint", name)
    if name.lower() in call.backend.endpoints:
        raise invalid(f'Cannot create already existing endpoint "{arn}".')
    config = _find_config(call).request
    deployed = models.deployable(call, config)
    _check_quotas(call, config)
    endpoint = Endpoint(call.account, call.region, name, arn, call.request.get("Tags", []))
    endpoint.last_deployment_config = call.request.get("DeploymentConfig")
    call.backend.endpoints[name.lower()] = endpoint
    _deployments.create(endpoint, copy.deepcopy(config), deployed)
    return {"EndpointArn": arn}


def _update_endpoint(call: Call) -> dict[str, Any]:
    request = call.request
    endpoint = _find(call, request["EndpointName"])
    config = copy.deepcopy(_find_config(call).request)
    deployed = models.deployable(call, config)
    with endpoint.lock:
        _assert_changeable(endpoint)
        # The endpoint cannot be updated without its present config, either:
        # https://github.com/hashicorp/terraform-provider-aws/issues/40048.
        models.find_config(call, endpoint.config["EndpointConfigName"])
        _check_kind(endpoint, config)
        _check_autoscaling(endpoint, config)
        excluded = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
        retained = endpoint.variants if request.get("RetainAllVariantProperties") else []
        variants = variant_summaries(config, retained, frozenset(excluded))
        deployment_config = request.get("DeploymentConfig")
        if deployment_config is None and request.get("RetainDeploymentConfig"):
            deployment_config = endpoint.last_deployment_config
        if deployment_config:
            models_roles = [model["ExecutionRoleArn"] for model in deployed.values()]
            role_arn = models_roles[0] if models_roles else config["ExecutionRoleArn"]
            # *Assumed*: an endpoint that retains its properties is judged by the number of its instances.
            capacity = sum(variant["DesiredInstanceCount"] for variant in variants[: len(config["ProductionVariants"])])
            guardrails.check(deployment_config, endpoint.config, config, capacity, role_arn)
            endpoint.last_deployment_config = deployment_config
        _check_quotas(call, config)
        _deployments.update(endpoint, config, deployed, variants, deployment_config or {})
    return {"EndpointArn": endpoint.arn}


def _update_endpoint_weights_and_capacities(call: Call) -> dict[str, Any]:
    endpoint = _find(call, call.request["EndpointName"])
    with endpoint.lock:
        _assert_changeable(endpoint)
        variants = copy.deepcopy(endpoint.variants)
        by_name = {variant["VariantName"]: variant for variant in variants}
        for desired in call.request["DesiredWeightsAndCapacities"]:
            variant = by_name.pop(desired["VariantName"], None)
            if variant is None:
                raise invalid(
                    f'The variant name(s) "{desired["VariantName"]}" is/are not present within endpoint configuration '
                    f'"{endpoint.config["EndpointConfigName"]}", or named more than once.'
                )
            for member in ("DesiredWeight", "DesiredInstanceCount"):
                if member in desired:
                    variant[member] = desired[member]
            if "ServerlessUpdateConfig" in desired:
                variant["DesiredServerlessConfig"] = {
                    **variant.get("DesiredServerlessConfig", {}),
                    **desired["ServerlessUpdateConfig"],
                }
        _deployments.change_weights(endpoint, variants)
    return {"EndpointArn": endpoint.arn}


def _describe_endpoint_config(call: Call) -> dict[str, Any]:
    return _find_config(call).describe()


def _find_config(call: Call) -> models.Resource:
    """Return a config. Reads are eventually consistent: a new one may remain invisible (API_CreateEndpoint.html)."""
    return models.find_config(call, call.request["EndpointConfigName"], _deployments.pace.endpoint_config_lag)


def _describe_endpoint(call: Call) -> dict[str, Any]:
    return _find(call, call.request["EndpointName"]).describe()


def _delete_endpoint(call: Call) -> None:
    endpoint = _find(call, call.request["EndpointName"])

    def remove() -> None:
        call.backend.endpoints.pop(endpoint.name.lower(), None)
        scalable_targets.deregister(endpoint)

    with endpoint.lock:
        if endpoint.busy:
            raise _in_progress(endpoint)
        # AWS documents neither the refusal nor its message. Users report it:
        # https://github.com/aws/amazon-sagemaker-feedback/issues/49
        if hosted := [component.name for component in components.on_endpoint(call.backend, endpoint)]:
            raise invalid(
                f'Cannot delete endpoint "{endpoint.arn}" that hosts inference components: {", ".join(hosted)}.'
            )
        _deployments.delete(endpoint, remove)


def _list_endpoints(call: Call) -> dict[str, Any]:
    return listing(call, "Endpoints", call.backend.endpoints.values())


def _find(call: Call, name: str) -> Endpoint:
    endpoint: Endpoint | None = call.backend.endpoints.get(name.lower())
    if endpoint is None:
        raise invalid(f'Could not find endpoint "{call.arn("endpoint", name)}".')
    return endpoint


def _in_progress(endpoint: Endpoint) -> ApiError:
    return invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def _assert_changeable(endpoint: Endpoint) -> None:
    if endpoint.busy:
        raise _in_progress(endpoint)
    if endpoint.status == "Failed":
        raise invalid(
            f'Cannot update endpoint "{endpoint.arn}" in Failed status. DeleteEndpoint is the only operation that can '
            "be performed on a failed endpoint."
        )


def _check_kind(endpoint: Endpoint, new: dict[str, Any]) -> None:
    """Raise an error if the kind of an endpoint would change in a way that SageMaker does not support.

    Between instance-based and serverless: serverless-endpoints.html. From asynchronous:
    https://github.com/aws/sagemaker-python-sdk/pull/3124, where the rest of the message is cut. Assumed: an endpoint
    cannot change between models of its own and inference components either.
    """
    old = endpoint.config
    kinds = [any("ServerlessConfig" in variant for variant in config["ProductionVariants"]) for config in (old, new)]
    if kinds[0] != kinds[1]:
        raise invalid(
            "Cannot convert an endpoint between serverless and instance-based. Create a new endpoint instead."
        )
    if "AsyncInferenceConfig" in old and "AsyncInferenceConfig" not in new:
        raise invalid(f"The AsyncInferenceConfig parameter cannot be removed from this endpoint {endpoint.name}.")
    have_models = ["ModelName" in config["ProductionVariants"][0] for config in (old, new)]
    if have_models[0] != have_models[1]:
        raise invalid(
            "Cannot convert an endpoint between hosting models and hosting inference components. Create a new endpoint "
            "instead."
        )


def _check_autoscaling(endpoint: Endpoint, config: dict[str, Any]) -> None:
    """Raise an error if a scalable target would lose its name or instance type (endpoint-scaling-update.html)."""
    scaled = scalable_targets.variants(endpoint)
    new = {variant["VariantName"]: variant.get("InstanceType") for variant in config["ProductionVariants"]}
    broken = [
        variant["VariantName"]
        for variant in endpoint.config["ProductionVariants"]
        if variant["VariantName"] in scaled and new.get(variant["VariantName"]) != variant.get("InstanceType")
    ]
    if broken:
        raise invalid(
            f'The variant(s) "{broken}" must be deregistered as a scalable target with AutoScaling before they can be '
            "removed or have their instance type updated."
        )


def _check_quotas(call: Call, config: dict[str, Any]) -> None:
    """Raise ResourceLimitExceeded if the new instances and the old ones together exceed a quota."""
    for (account, instance_type), quota in _quotas.items():
        used = sum(
            _instances(endpoint.config, instance_type)
            for endpoint in call.backend.endpoints.values()
            if endpoint.status != "Failed"
        )
        requested = _instances(config, instance_type)
        if account == call.account and requested and used + requested > quota:
            raise ApiError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{instance_type} for endpoint usage' is {quota} Instances, with "
                f"current utilization of {used} Instances and a request delta of {requested} Instances. Please use AWS "
                "Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact "
                "AWS support to request an increase for this quota.",
            )


def _instances(config: dict[str, Any], instance_type: str) -> int:
    return sum(
        variant["InitialInstanceCount"]
        for variant in config["ProductionVariants"]
        if variant.get("InstanceType") == instance_type
    )


implement(
    patches,
    {
        "CreateModel": models.create_model,
        "DescribeModel": models.describe_model,
        "DeleteModel": models.delete_model,
        "ListModels": models.list_models,
        "CreateEndpointConfig": models.create_endpoint_config,
        "DescribeEndpointConfig": _describe_endpoint_config,
        "DeleteEndpointConfig": models.delete_endpoint_config,
        "ListEndpointConfigs": models.list_endpoint_configs,
    },
    "moto overwrites existing resources, validates little and does not store all members.",
)
implement(
    patches,
    {
        "CreateEndpoint": _create_endpoint,
        "UpdateEndpointWeightsAndCapacities": _update_endpoint_weights_and_capacities,
        "DescribeEndpoint": _describe_endpoint,
        "DeleteEndpoint": _delete_endpoint,
        "ListEndpoints": _list_endpoints,
    },
    "moto runs no containers: an endpoint is immediately InService.",
)
implement(patches, {"UpdateEndpoint": _update_endpoint}, "moto lacks it.", adds=True)
