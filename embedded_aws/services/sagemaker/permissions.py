"""The permissions that calls to SageMaker and its runtime require."""

from __future__ import annotations

import dataclasses
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, key, pass_role, tags
from embedded_aws.services.sagemaker.tags import of_resource

_KINDS = {
    "AutoMLJobV2": "automl-job",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "InferenceComponent": "inference-component",
    "ModelPackageGroup": "model-package-group",
    "ModelPackage": "model-package",
    "Model": "model",
    "TrainingJob": "training-job",
}
_TAGGING_ACTION = "sagemaker:taggingaction"


def _required(call: Call) -> Needs:
    request, operation = call.parameters, call.operation
    if operation in ("AddTags", "DeleteTags", "ListTags"):
        # sagemaker:TaggingAction is the operation that adds tags on creation; a request for AddTags itself has none.
        known = tags(request) | ({"aws:tagkeys": list(request["TagKeys"])} if "TagKeys" in request else {})
        context = known | _resource_tags(call, request["ResourceArn"]) | {_TAGGING_ACTION: None}
        yield Need(f"sagemaker:{operation}", (request["ResourceArn"],), context)
        return
    if operation.startswith("List"):
        yield Need(f"sagemaker:{operation}", ("*",))
        return
    if operation.startswith("Invoke"):
        endpoint = call.arn("sagemaker", f"endpoint/{request['EndpointName'].lower()}")
        yield Need(f"sagemaker:{operation}", (endpoint,), {"sagemaker:targetmodel": request.get("TargetModel")})
        if operation == "InvokeEndpointWithResponseStream":
            # Assumed: both are required. The API reference of the operation names this action, the service
            # authorization reference one with the operation's own name.
            yield Need("sagemaker:InvokeEndpoint", (endpoint,), {"sagemaker:targetmodel": None})
        if component := request.get("InferenceComponentName"):
            # The reference lists it as an optional resource. Assumed: it is required if the request names one.
            arn = call.arn("sagemaker", f"inference-component/{component.lower()}")
            yield Need(f"sagemaker:{operation}", (arn,), {"sagemaker:targetmodel": request.get("TargetModel")})
    if operation == "UpdateInferenceComponentRuntimeConfig":
        component = _arn(call, "InferenceComponent")
        yield Need(f"sagemaker:{operation}", (component,), _resource_tags(call, component))
        return
    kind = next((kind for kind in _KINDS if operation.endswith(kind)), None)
    if kind is None or operation.removesuffix(kind) not in ("Create", "Delete", "Describe", "Stop", "Update"):
        return
    resource = _arn(call, kind)
    context = tags(request) | _resource_tags(call, resource)
    if operation in ("CreateModelPackage", "UpdateModelPackage"):
        context |= _of_package(request)
    yield Need(f"sagemaker:{operation}", (resource,), context)
    if operation == "CreateInferenceComponent":
        # The permission is required for both types of resources.
        endpoint = call.arn("sagemaker", f"endpoint/{request['EndpointName'].lower()}")
        model = (request.get("Specification") or {}).get("ModelName")
        known = {"sagemaker:modelarn": call.arn("sagemaker", f"model/{model.lower()}") if model else None}
        yield Need(f"sagemaker:{operation}", (endpoint,), known | tags(request) | _resource_tags(call, endpoint))
    if operation in ("CreateEndpoint", "UpdateEndpoint"):
        # The permission is required for both types of resources.
        name = request["EndpointConfigName"].lower()
        config = call.arn("sagemaker", f"endpoint-config/{name}")
        yield Need(f"sagemaker:{operation}", (config,), tags(request) | _resource_tags(call, config))
        stored = sagemaker_backends[call.account][call.region].endpoint_configs.get(name)
        if stored and "KmsKeyId" in stored.request:
            # "Amazon SageMaker API permissions reference" (api-permissions-reference), CreateEndpoint.
            use = key("CreateGrant", stored.request["KmsKeyId"], call.account, call.region, "sagemaker")
            yield dataclasses.replace(use, context={**use.context, "kms:grantisforawsresource": "true"})
    if operation.startswith("Create"):
        if request.get("Tags"):
            yield Need("sagemaker:AddTags", (resource,), tags(request) | {_TAGGING_ACTION: operation})
        definitions = [request.get("TrainingJobDefinition"), *(request.get("TrainingJobDefinitions") or [])]
        roles = {request.get("ExecutionRoleArn"), request.get("RoleArn")}
        for role_arn in roles | {definition["RoleArn"] for definition in definitions if definition}:
            yield from pass_role(role_arn, "sagemaker.amazonaws.com", resource)


def _of_package(request: dict[str, Any]) -> dict[str, str | list[str] | None]:
    """Return the condition keys of a request for a model package: service authorization reference, SageMaker."""
    return {
        "sagemaker:modelapprovalstatus": request.get("ModelApprovalStatus"),
        "sagemaker:customermetadatapropertiestoremove": request.get("CustomerMetadataPropertiesToRemove"),
    }


def _resource_tags(call: Call, arn: str) -> dict[str, str | list[str] | None]:
    """Return the aws:ResourceTag condition keys of a resource."""
    values = of_resource(sagemaker_backends[call.account][call.region], arn)
    return {"aws:resourcetag/": None, **{f"aws:resourcetag/{key}".lower(): value for key, value in values.items()}}


def _arn(call: Call, kind: str) -> str:
    """Return the ARN of the request's resource, in lower case as in policies."""
    name = str(call.parameters.get(f"{kind.removesuffix('V2')}Name") or call.parameters.get(f"{kind}Arn") or "")
    if kind == "ModelPackage" and not name:
        name = f"{call.parameters.get('ModelPackageGroupName', '')}/*"
    if name.startswith("arn:"):
        return name
    return call.arn("sagemaker", f"{_KINDS[kind]}/{name.lower()}")


PERMISSIONS = {"sagemaker": Permissions(_required)}
