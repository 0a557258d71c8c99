"""Model packages: stored completely, with versions, approvals and events.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
"""

from __future__ import annotations

import copy
import json
from datetime import datetime
from typing import Any

from embedded_aws.kernel import accounts
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.events import api as events
from embedded_aws.services.sagemaker.operations import Call, implement, invalid, listing, now

patches = Patches("5.2.5")
# The members that UpdateModelPackage replaces: API_UpdateModelPackage.html.
_REPLACEABLE = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


class ModelPackage:
    """A model package; `group` and `version` are None if it is not versioned."""

    def __init__(self, call: Call, arn: str, group: str | None, version: int | None) -> None:
        self.account, self.region, self.arn = call.account, call.region, arn
        self.request = copy.deepcopy(call.request)
        self.tags: list[dict[str, str]] = self.request.pop("Tags", [])
        self.token = self.request.pop("ClientToken", None)
        self.group, self.version = group, version
        if group:
            self.request["ModelPackageGroupName"] = group
            self.request["ModelPackageVersion"] = version
            self.request.setdefault("ModelApprovalStatus", "PendingManualApproval")
        self.creation_time = self.last_modified_time = now()

    @property
    def name(self) -> str:
        """Return the name of the group or, without a group, of the package."""
        return str(self.group or self.request["ModelPackageName"])

    @property
    def status(self) -> str:
        """Return the ModelPackageStatus, which is always Completed."""
        return "Completed"

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeModelPackage."""
        return {
            "CertifyForMarketplace": False,
            **copy.deepcopy(self.request),
            "ModelPackageArn": self.arn,
            "ModelPackageStatus": self.status,
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
        }

    def summary(self) -> dict[str, Any]:
        """Return the entry of the package in ListModelPackages."""
        members = (
            "ModelPackageName",
            "ModelPackageGroupName",
            "ModelPackageVersion",
            "ModelPackageArn",
            "ModelPackageDescription",
            "CreationTime",
            "ModelPackageStatus",
            "ModelApprovalStatus",
        )
        return {member: value for member, value in self.describe().items() if member in members}

    def emit_event(self, updated: list[str]) -> None:
        """Emit the package's event, in which times are in ISO 8601.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        detail = json.loads(json.dumps(self.describe(), default=_iso)) | {"UpdatedModelPackageFields": updated}
        events.emit(
            self.account,
            "aws.sagemaker",
            "SageMaker Model Package State Change",
            detail,
            [self.arn],
            region=self.region,
        )


def install(host: Host) -> None:
    """Apply the patches."""
    patches.apply()


def find(call: Call, name_or_arn: str) -> ModelPackage:
    """Return a package by its ARN, in any account, or one without a group by its name."""
    owner, arn = call, name_or_arn
    if name_or_arn.startswith("arn:"):
        owner = Call(accounts.account_of(name_or_arn), call.region, {})
    else:
        arn = call.arn("model-package", name_or_arn)
    package: ModelPackage | None = owner.backend.model_packages.get(arn)
    if package is None:
        raise invalid(f"ModelPackage {arn} does not exist.")
    return package


def _create_model_package(call: Call) -> dict[str, Any]:
    name, group = call.request.get("ModelPackageName"), call.request.get("ModelPackageGroupName")
    if bool(name) == bool(group):
        raise invalid("You must provide either ModelPackageName or ModelPackageGroupName, and not both.")
    token = call.request.get("ClientToken")
    if repeated := [each for each in _all(call) if token and each.token == token]:
        return {"ModelPackageArn": repeated[0].arn}
    version = None
    if group:
        if "Tags" in call.request:
            # AWS does not document the message; this is what users report.
            raise invalid(
                "Tags are not supported in Model Package versions. Please add them to the Model Package Group."
            )
        group = group.rpartition("/")[2]
        groups = {name.lower(): name for name in call.backend.model_package_groups}
        if group.lower() not in groups:
            raise invalid(f"ModelPackageGroup {call.arn('model-package-group', group)} does not exist.")
        group = groups[group.lower()]
        versions = [package.version for package in _all(call) if package.group == group]
        version = max((number for number in versions if number), default=0) + 1
    arn = call.arn("model-package", f"{group}/{version}" if group else str(name))
    if arn in call.backend.model_packages:
        raise invalid(f"Model package {arn} already exists.")
    package = ModelPackage(call, arn, group, version)
    call.backend.model_packages[arn] = package
    package.emit_event([])
    return {"ModelPackageArn": arn}


def _describe_model_package(call: Call) -> dict[str, Any]:
    return _own(call, "ModelPackageName").describe()


def _update_model_package(call: Call) -> dict[str, Any]:
    package, request = _own(call, "ModelPackageArn"), call.request
    updated = [member for member in _REPLACEABLE if member in request]
    package.request |= {member: copy.deepcopy(request[member]) for member in updated}
    if added := request.get("AdditionalInferenceSpecificationsToAdd"):
        package.request.setdefault("AdditionalInferenceSpecifications", []).extend(copy.deepcopy(added))
        updated.append("AdditionalInferenceSpecifications")
    if "CustomerMetadataProperties" in request or "CustomerMetadataPropertiesToRemove" in request:
        properties = package.request.get("CustomerMetadataProperties", {}) | request.get(
            "CustomerMetadataProperties", {}
        )
        removed = request.get("CustomerMetadataPropertiesToRemove", [])
        package.request["CustomerMetadataProperties"] = {k: v for k, v in properties.items() if k not in removed}
        updated.append("CustomerMetadataProperties")
    package.last_modified_time = now()
    package.emit_event(updated)
    return {"ModelPackageArn": package.arn}


def _delete_model_package(call: Call) -> None:
    del call.backend.model_packages[_own(call, "ModelPackageName").arn]


def _delete_model_package_group(call: Call) -> None:
    """Delete a group without versions; the API reference names no error for one that has some."""
    name = call.request["ModelPackageGroupName"]
    group = call.backend.model_package_groups.get(name)
    if group is None:
        raise invalid(f"ModelPackageGroup {call.arn('model-package-group', name)} does not exist.")
    if any(package.group == name for package in _all(call)):
        raise ApiError("ConflictException", f"ModelPackageGroup {name} contains model packages. Delete them first.")
    del call.backend.model_package_groups[name]


def _list_model_packages(call: Call) -> dict[str, Any]:
    group = call.request.get("ModelPackageGroupName", "").rpartition("/")[2]
    kind = "Versioned" if group else call.request.get("ModelPackageType", "Unversioned")
    packages = [
        package
        for package in _all(call)
        if (not group or (package.group or "").lower() == group.lower())
        and kind in ("Both", "Versioned" if package.group else "Unversioned")
        and call.request.get("ModelApprovalStatus") in (None, package.request.get("ModelApprovalStatus"))
    ]
    return listing(call, "ModelPackageSummaryList", packages)


def _own(call: Call, member: str) -> ModelPackage:
    """Return the package of a request. Raise AccessDeniedException if another account owns it.

    Resource policies of groups are not implemented.
    """
    package = find(call, call.request[member])
    if package.account != call.account:
        raise ApiError(
            "AccessDeniedException",
            f"The caller is not authorized on resource {package.arn}, because no resource-based policy allows it",
        )
    return package


def _all(call: Call) -> list[ModelPackage]:
    return list(call.backend.model_packages.values())


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


implement(
    patches,
    {
        "CreateModelPackage": _create_model_package,
        "DescribeModelPackage": _describe_model_package,
        "UpdateModelPackage": _update_model_package,
        "ListModelPackages": _list_model_packages,
    },
    "moto does not store all members of a package, and emits no event when its approval changes.",
)
implement(
    patches,
    {"DeleteModelPackage": _delete_model_package, "DeleteModelPackageGroup": _delete_model_package_group},
    "moto lacks them.",
    adds=True,
)
