"""The deletion of resources: what must precede it, and when it is complete."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

_GONE = (
    "NoSuchEntity",
    "NoSuchBucket",
    "NotFound",
    "NonExistentQueue",
    "QueueDoesNotExist",
    "DoesNotExist",
    "does not exist",
    "Could not find",
    "couldn't be found",
    "InvalidDocument",
    "no longer exists",
    "is pending deletion",
    # It has already ended.
    "InvalidAutomationStatusUpdate",
    "training job is in status",
)
# How resources are deleted that a stack retains: the service, the method, and its parameter for the physical ID.
_RETAINED: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "AWS::S3::Bucket": ("s3", "delete_bucket", "Bucket", {}),
    "AWS::DynamoDB::Table": ("dynamodb", "delete_table", "TableName", {}),
    "AWS::ECR::Repository": ("ecr", "delete_repository", "repositoryName", {"force": True}),
    "AWS::KMS::Key": ("kms", "schedule_key_deletion", "KeyId", {"PendingWindowInDays": 7}),
    "AWS::IAM::Role": ("iam", "delete_role", "RoleName", {}),
    "AWS::Logs::LogGroup": ("logs", "delete_log_group", "logGroupName", {}),
}
_DESCRIPTIONS = {
    ("sagemaker", "delete_endpoint"): "describe_endpoint",
    ("sagemaker", "delete_inference_component"): "describe_inference_component",
    ("cloudformation", "delete_stack"): "describe_stacks",
}


def is_gone(error: Exception) -> bool:
    """Return whether an error of AWS says that the resource does not exist."""
    text = f"{error.response['Error']['Code']} {error}" if isinstance(error, ClientError) else str(error)
    return any(word in text for word in _GONE)


def retained(cloudformation: Any, stack: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the service, the operation and the parameters that delete each resource that a stack may retain."""
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] in _RETAINED and resource.get("PhysicalResourceId"):
                service, operation, parameter, more = _RETAINED[resource["ResourceType"]]
                yield service, operation, {parameter: resource["PhysicalResourceId"], **more}


def delete(client: Any, service: str, operation: str, parameters: dict[str, Any]) -> None:
    """Delete a resource, and before it everything that is inside it."""
    if special := _SPECIAL.get((service, operation)):
        special(client, parameters)
        return
    if prepare := _PREPARATIONS.get((service, operation)):
        prepare(client, parameters)
    getattr(client, operation)(**parameters)


def wait_until_gone(
    client: Any, service: str, operation: str, parameters: dict[str, Any], ends: float, pause: float
) -> str:
    """Wait for a deletion that others depend on, and return why it failed, or an empty string."""
    describe = _DESCRIPTIONS.get((service, operation))
    while describe is not None:
        try:
            found = getattr(client, describe)(**parameters)
        except ClientError as error:
            return "" if is_gone(error) else str(error)
        stacks = found.get("Stacks", [])
        if stacks and stacks[0]["StackStatus"] == "DELETE_COMPLETE":
            return ""
        if (stacks and stacks[0]["StackStatus"] == "DELETE_FAILED") or time.monotonic() > ends:
            return str(stacks[0].get("StackStatusReason", "") if stacks else "it still exists")
        time.sleep(pause)
    return ""


def _empty_bucket(s3: Any, parameters: dict[str, Any]) -> None:
    bucket = parameters["Bucket"]
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            with contextlib.suppress(ClientError):
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def _unprotect_table(dynamodb: Any, parameters: dict[str, Any]) -> None:
    dynamodb.update_table(TableName=parameters["TableName"], DeletionProtectionEnabled=False)


def _remove_targets(events: Any, parameters: dict[str, Any]) -> None:
    rule = {"Rule": parameters["Name"], "EventBusName": parameters.get("EventBusName", "default")}
    targets = [target["Id"] for target in events.list_targets_by_rule(**rule)["Targets"]]
    if targets:
        events.remove_targets(**rule, Ids=targets)


def _remove_policies(iam: Any, parameters: dict[str, Any]) -> None:
    role = parameters["RoleName"]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])


def _delete_models(sagemaker: Any, parameters: dict[str, Any]) -> None:
    """Delete all endpoint configs and models whose names begin with a prefix."""
    for operation, members, member in (
        ("endpoint_config", "EndpointConfigs", "EndpointConfigName"),
        ("model", "Models", "ModelName"),
    ):
        pages = sagemaker.get_paginator(f"list_{operation}s").paginate(NameContains=parameters["Prefix"])
        for name in [each[member] for page in pages for each in page[members]]:
            if name.startswith(parameters["Prefix"]):
                getattr(sagemaker, f"delete_{operation}")(**{member: name})


def _delete_alarms(cloudwatch: Any, parameters: dict[str, Any]) -> None:
    """Delete all alarms whose names begin with a prefix."""
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=parameters["Prefix"])["MetricAlarms"]
    if alarms:
        cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"] for alarm in alarms])


_SPECIAL: dict[tuple[str, str], Callable[[Any, dict[str, Any]], None]] = {
    ("sagemaker", "delete_models_and_configs"): _delete_models,
    ("cloudwatch", "delete_alarms_with_prefix"): _delete_alarms,
}
_PREPARATIONS: dict[tuple[str, str], Callable[[Any, dict[str, Any]], None]] = {
    ("s3", "delete_bucket"): _empty_bucket,
    ("dynamodb", "delete_table"): _unprotect_table,
    ("events", "delete_rule"): _remove_targets,
    ("iam", "delete_role"): _remove_policies,
}
