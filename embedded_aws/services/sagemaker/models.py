"""SageMaker models and endpoint configs: stored as in the request, and validated as by SageMaker.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModel.html and API_CreateEndpointConfig.html
"""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from embedded_aws.kernel import accounts
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import images, model_packages
from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts
from embedded_aws.services.sagemaker.operations import Call, invalid, listing, now

# The families, besides those with a "d", whose storage is a local NVMe volume: `volume_size_supported` of the SageMaker
# Python SDK, https://github.com/aws/sagemaker-python-sdk/pull/4828.
_LOCAL_STORAGE = ("g5", "g6", "p5", "trn1")


class Resource:
    """A model or an endpoint config: the request that created it, and its ARN, tags and creation time."""

    def __init__(self, kind: str, arn: str, request: dict[str, Any]) -> None:
        self._name_member = f"{kind}Name"
        self._arn_member = f"{kind}Arn"
        self.request = copy.deepcopy(request)
        self.tags: list[dict[str, str]] = self.request.pop("Tags", [])
        self.arn = arn
        self.creation_time = self.last_modified_time = now()

    @property
    def name(self) -> str:
        """Return the name."""
        return str(self.request[self._name_member])

    @property
    def status(self) -> str:
        """Return an empty string: these resources have no status."""
        return ""

    def describe(self) -> dict[str, Any]:
        """Return the response of the Describe operation."""
        return {**self.request, self._arn_member: self.arn, "CreationTime": self.creation_time}

    def summary(self) -> dict[str, Any]:
        """Return the entry of the List operation."""
        return {self._name_member: self.name, self._arn_member: self.arn, "CreationTime": self.creation_time}


def find_model(call: Call, name: str) -> Resource:
    """Return a model. Raise SageMaker's error if it does not exist."""
    model: Resource | None = call.backend._models.get(name.lower())
    if model is None:
        raise invalid(f'Could not find model "{call.arn("model", name)}".')
    return model


def find_config(call: Call, name: str, lag: float = 0.0) -> Resource:
    """Return an endpoint config. Raise SageMaker's error if it does not exist, or was created within `lag` seconds."""
    config: Resource | None = call.backend.endpoint_configs.get(name.lower())
    if config is None or now() - config.creation_time < timedelta(seconds=lag):
        raise invalid(f'Could not find endpoint configuration "{call.arn("endpoint-config", name)}".')
    return config


def create_model(call: Call) -> dict[str, Any]:
    """Create a model: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModel.html."""
    name = call.request["ModelName"]
    arn = call.arn("model", name)
    if name.lower() in call.backend._models:
        raise invalid(f'Cannot create already existing model "{arn}".')
    containers = _containers(call.request)
    role_arn = call.request.get("ExecutionRoleArn")
    if role_arn is None:
        raise invalid("ExecutionRoleArn is required to create a model.")
    if accounts.account_of(role_arn) != call.account:
        raise ApiError("AccessDeniedException", "Cross-account pass role is not allowed.")
    for container in containers:
        _check_container(call, container, role_arn)
    call.backend._models[name.lower()] = Resource("Model", arn, call.request)
    return {"ModelArn": arn}


def describe_model(call: Call) -> dict[str, Any]:
    """Describe a model: the request with SageMaker's defaults, and with a ModelDataSource for each ModelDataUrl.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeModel.html
    """
    description = copy.deepcopy(find_model(call, call.request["ModelName"]).describe())
    description.setdefault("EnableNetworkIsolation", False)
    for container in _containers(description):
        if "ModelPackageName" in container:
            continue
        container.setdefault("Mode", "SingleModel")
        if "ModelDataUrl" in container and container["Mode"] == "SingleModel":
            source = {"S3Uri": container["ModelDataUrl"], "S3DataType": "S3Object", "CompressionType": "Gzip"}
            container["ModelDataSource"] = {"S3DataSource": source}
    return description


def delete_model(call: Call) -> None:
    """Delete a model: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteModel.html."""
    model = find_model(call, call.request["ModelName"])
    del call.backend._models[model.name.lower()]


def list_models(call: Call) -> dict[str, Any]:
    """List models: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListModels.html."""
    return listing(call, "Models", call.backend._models.values())


def create_endpoint_config(call: Call) -> dict[str, Any]:
    """Create a config: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html."""
    name = call.request["EndpointConfigName"]
    arn = call.arn("endpoint-config", name)
    if name.lower() in call.backend.endpoint_configs:
        raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
    variants = [*call.request["ProductionVariants"], *call.request.get("ShadowProductionVariants", [])]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise invalid(f"Variant names must be unique within an endpoint configuration: {names}.")
    without_model = [variant["VariantName"] for variant in variants if "ModelName" not in variant]
    if without_model:
        _check_host_of_components(call.request, variants, without_model)
    for variant in variants:
        model = find_model(call, variant["ModelName"]).request if "ModelName" in variant else None
        _check_variant(call, variant, model, len(variants))
    call.backend.endpoint_configs[name.lower()] = Resource("EndpointConfig", arn, call.request)
    return {"EndpointConfigArn": arn}


def delete_endpoint_config(call: Call) -> None:
    """Delete a config: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpointConfig.html."""
    config = find_config(call, call.request["EndpointConfigName"])
    del call.backend.endpoint_configs[config.name.lower()]


def list_endpoint_configs(call: Call) -> dict[str, Any]:
    """List configs: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListEndpointConfigs.html."""
    return listing(call, "EndpointConfigs", call.backend.endpoint_configs.values())


def deployable(call: Call, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the current models of a config by name, with the containers of their model packages."""
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    names = {variant["ModelName"] for variant in variants if "ModelName" in variant}
    return {name: with_packages(call, name) for name in names}


def with_packages(call: Call, name: str) -> dict[str, Any]:
    """Return a model with the containers of its model packages. Raise SageMaker's error if it does not exist."""
    model = copy.deepcopy(find_model(call, name).request)
    containers = [each for container in _containers(model) for each in _resolved(call, container)]
    is_alone = model.pop("PrimaryContainer", None) and len(containers) == 1
    return model | ({"PrimaryContainer": containers[0]} if is_alone else {"Containers": containers})


def _resolved(call: Call, container: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a container, or those of its model package, whose environment variables it overrides."""
    own = dict(container)
    package_name, specification = own.pop("ModelPackageName", None), own.pop("InferenceSpecificationName", None)
    if package_name is None:
        return [container]
    package = _package(call, package_name)
    specifications = [package.get("InferenceSpecification", {}), *package.get("AdditionalInferenceSpecifications", [])]
    in_package: list[dict[str, Any]] = next(
        (one["Containers"] for one in specifications if one.get("Name") == specification), []
    )
    environment = own.pop("Environment", {})
    return [{**each, **own, "Environment": {**each.get("Environment", {}), **environment}} for each in in_package]


def _containers(model: dict[str, Any]) -> list[dict[str, Any]]:
    primary, several = model.get("PrimaryContainer"), model.get("Containers")
    if bool(primary) == bool(several):
        raise invalid("You must provide either PrimaryContainer or Containers, and not both.")
    return several or [primary]


def _check_container(call: Call, container: dict[str, Any], role_arn: str) -> None:
    if package_name := container.get("ModelPackageName"):
        package = _package(call, package_name)
        if package.get("ModelApprovalStatus", "Approved") != "Approved":
            raise invalid(
                f"Model package {package['ModelPackageArn']} must be in Approved status to create a model from it."
            )
        return
    if "Image" not in container:
        raise invalid("Image is required for a container that has no ModelPackageName.")
    images.check(container["Image"], container.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc")
    images.check_manifest(container["Image"])
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise invalid("ModelDataUrl and ModelDataSource are mutually exclusive. Please provide only one of them.")
    several = container.get("Mode") == "MultiModel"
    if several and "ModelDataUrl" not in container:
        raise invalid("ModelDataUrl is required for a container in MultiModel mode.")
    for additional in container.get("AdditionalModelDataSources", []):
        _check_source(additional["S3DataSource"], role_arn)
    if source := container.get("ModelDataSource", {}).get("S3DataSource"):
        _check_source(source, role_arn)
    if url := container.get("ModelDataUrl"):
        _check_access(url, role_arn, prefix=several)


def _check_source(source: dict[str, Any], role_arn: str) -> None:
    prefix = source["S3DataType"] == "S3Prefix"
    if prefix and not source["S3Uri"].endswith("/"):
        raise invalid(f"S3Uri {source['S3Uri']} of S3DataType S3Prefix must end with a forward slash.")
    if prefix and source["CompressionType"] == "Gzip":
        raise invalid("CompressionType Gzip is only supported for S3DataType S3Object.")
    _check_access(source["S3Uri"], role_arn, prefix=prefix)


def _check_access(uri: str, role_arn: str, prefix: bool) -> None:
    try:
        artifacts = Artifacts(role_arn)
        (artifacts.assert_prefix if prefix else artifacts.assert_object)(uri)
    except ArtifactError as error:
        raise invalid(
            f'Could not access model data at {uri}. Please ensure that the role "{role_arn}" exists and that its '
            'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
            '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the object '
            f"is located in {accounts.REGION}. If your Model uses multiple models or uncompressed models, please "
            'ensure that the role has "s3:ListBucket" permission.'
        ) from error


def _package(call: Call, name_or_arn: str) -> dict[str, Any]:
    return model_packages.find(call, name_or_arn).describe()


def _check_instances(variant: dict[str, Any]) -> None:
    """Raise an error for a member that SageMaker does not accept on the instances of a variant that has a model.

    ManagedInstanceScaling: https://github.com/hashicorp/terraform-provider-aws/pull/45926. VolumeSizeInGB:
    https://github.com/autogluon/autogluon-cloud/pull/50; the name of the parameter is *assumed*.
    """
    if "ManagedInstanceScaling" in variant and "ModelName" in variant:
        raise invalid("ManagedInstanceScaling is only supported for inference component endpoints.")
    pools = [pool["InstanceType"] for pool in variant.get("InstancePools", [])]
    for instance_type in [variant["InstanceType"], *pools] if "InstanceType" in variant else pools:
        family = instance_type.split(".")[1]
        if "VolumeSizeInGB" in variant and ("d" in family or family.startswith(_LOCAL_STORAGE)):
            raise invalid(f"VolumeSizeInGB parameter is not allowed for the selected Instance type {instance_type}")


def _check_host_of_components(
    request: dict[str, Any], variants: list[dict[str, Any]], without_model: list[str]
) -> None:
    """Raise an error if variants without models cannot host inference components.

    Such an endpoint has an execution role and instances for real-time inference ("Deploy models for real-time
    inference", realtime-endpoints-deploy-models.html). AWS does not document the refusals; they are assumed.
    """
    if len(without_model) < len(variants):
        raise invalid(f"ModelName is required for all production variants or for none: {', '.join(without_model)}.")
    if "ExecutionRoleArn" not in request:
        raise invalid(
            f"ModelName is required for production variant {without_model[0]}, or ExecutionRoleArn for an endpoint "
            "that hosts inference components."
        )
    for member in ("AsyncInferenceConfig", "ShadowProductionVariants"):
        if member in request:
            raise invalid(f"{member} is not supported for endpoints that host inference components.")


def _check_variant(call: Call, variant: dict[str, Any], model: dict[str, Any] | None, count: int) -> None:
    name, serverless = variant["VariantName"], variant.get("ServerlessConfig")
    if serverless is None:
        # InstancePools: "Use instance pools to configure heterogeneous endpoints" (API_ProductionVariant.html).
        for member, instead in (("InstanceType", "InstancePools"), ("InitialInstanceCount", "")):
            if member not in variant and instead not in variant:
                raise invalid(f"{member} is required for production variant {name} without a ServerlessConfig.")
        _check_instances(variant)
        return
    if model is None:
        raise invalid(f"ServerlessConfig of production variant {name} does not support inference components.")
    # serverless-endpoints.html, "Feature exclusions"
    single = _containers(model)[0] if len(_containers(model)) == 1 else {}
    excluded = {
        "InstanceType": "InstanceType" in variant or "InitialInstanceCount" in variant,
        "more than one variant": count > 1,
        "DataCaptureConfig": "DataCaptureConfig" in call.request,
        "AsyncInferenceConfig": "AsyncInferenceConfig" in call.request,
        "a model with VpcConfig": "VpcConfig" in model,
        "a model with EnableNetworkIsolation": model.get("EnableNetworkIsolation", False),
        "a model with several containers": not single,
        "a multi-model container": single.get("Mode") == "MultiModel",
        "a model with ModelDataSource": "ModelDataSource" in single,
    }
    if conflicts := [feature for feature, present in excluded.items() if present]:
        raise invalid(f"ServerlessConfig of production variant {name} does not support {', '.join(conflicts)}.")
    if serverless["MemorySizeInMB"] % 1024:
        raise invalid(f"MemorySizeInMB of production variant {name} must be a multiple of 1024.")
