"""The tags of all SageMaker resources, by ARN: AddTags, ListTags and DeleteTags.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AddTags.html and the pages of the other operations.
"""

from __future__ import annotations

from typing import Any

from moto.sagemaker.models import SageMakerModelBackend

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.sagemaker.operations import Call, implement, invalid

_STORES = (
    "_models",
    "endpoint_configs",
    "endpoints",
    "inference_components",
    "training_jobs",
    "hyper_parameter_tuning_jobs",
    "auto_ml_jobs",
    "model_packages",
    "model_package_groups",
    "pipelines",
    "processing_jobs",
    "transform_jobs",
)

_REASON = "moto splits an ARN to find its resource, which fails for model packages and names with capital letters."

patches = Patches("5.2.5")
_resource_in_moto = SageMakerModelBackend._get_resource_from_arn


def of_resource(backend: SageMakerModelBackend, arn: str) -> dict[str, str]:
    """Return the tags of a resource, or no tags if it does not exist."""
    resource = _stored(backend, arn)
    return {tag["Key"]: tag["Value"] for tag in (resource.tags or [] if resource else [])}


def _stored(backend: SageMakerModelBackend, arn: str) -> Any:
    for store in _STORES:
        # moto's backend has no inference components until the first one is created.
        for resource in getattr(backend, store, {}).values():
            if resource.arn.lower() == arn.lower():
                return resource
    return None


@patches.replaces(SageMakerModelBackend, "_get_resource_from_arn", _REASON)
def _resource(backend: SageMakerModelBackend, arn: str) -> Any:
    return _stored(backend, arn) or _resource_in_moto(backend, arn)


def _tagged(call: Call) -> Any:
    arn = call.request["ResourceArn"]
    if ":model-package/" in arn and arn.partition(":model-package/")[2].count("/"):
        # Only CreateModelPackage is known to reject tags of a version. The same is assumed of the operations for tags.
        raise invalid("Tags are not supported in Model Package versions. Please add them to the Model Package Group.")
    try:
        resource = _resource(call.backend, arn)
    except (AttributeError, ValueError):  # moto raises them for an unknown type of resource
        resource = None
    if resource is None:
        raise invalid(f"Could not find resource {arn}.")
    resource.tags = resource.tags or []
    return resource


def _add_tags(call: Call) -> dict[str, Any]:
    resource = _tagged(call)
    new = {tag["Key"] for tag in call.request["Tags"]}
    resource.tags = [tag for tag in resource.tags if tag["Key"] not in new] + call.request["Tags"]
    return {"Tags": resource.tags}


def _list_tags(call: Call) -> dict[str, Any]:
    return {"Tags": _tagged(call).tags}


def _delete_tags(call: Call) -> dict[str, Any]:
    resource = _tagged(call)
    resource.tags = [tag for tag in resource.tags if tag["Key"] not in call.request["TagKeys"]]
    return {}


implement(patches, {"AddTags": _add_tags, "ListTags": _list_tags, "DeleteTags": _delete_tags}, _REASON)
