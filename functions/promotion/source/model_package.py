"""Model packages, expanded to containers so that a promoted model does not depend on the upstream account.

Each field in the response of DescribeModelPackage is used, ignored because it does not affect inference, or rejected.
"""

from __future__ import annotations

import re
from typing import Any

from promotion.errors import PromotionRefusedError
from promotion.source.containers import EXPANDED_IN_CONTAINER, lower_first, refused_field, unknown_field

USED_IN_PACKAGE = {
    "AdditionalInferenceSpecifications",
    "CreationTime",
    "InferenceSpecification",
    "ModelApprovalStatus",
    "ModelMetrics",
    "ModelPackageArn",
    "ModelPackageStatus",
}
IGNORED_IN_PACKAGE = {
    "ApprovalDescription",
    "CertifyForMarketplace",
    "CreatedBy",
    "CustomerMetadataProperties",
    "Domain",
    "DriftCheckBaselines",
    "LastModifiedBy",
    "LastModifiedTime",
    "ManagedStorageType",
    "MetadataProperties",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageDescription",
    "ModelPackageGroupName",
    "ModelPackageName",
    "ModelPackageRegistrationType",
    "ModelPackageStatusDetails",
    "ModelPackageVersion",
    "ResponseMetadata",
    "SamplePayloadUrl",
    "SecurityConfig",
    "SkipModelValidation",
    "SourceUri",
    "Task",
    "ValidationSpecification",
}
REFUSED_IN_PACKAGE = {
    "SourceAlgorithmSpecification": "it is based on an algorithm resource, which cannot be copied",
}
# The only storage of SageMaker whose artifacts cannot be read. Any other package has artifacts in S3.
_CLOSED = "Restricted"
_WHY_CLOSED = "its artifacts are in restricted storage of SageMaker, from which they cannot be copied"
USED_IN_SPECIFICATION = {"Containers", "Name"}
IGNORED_IN_SPECIFICATION = {
    "Description",
    "SupportedContentTypes",
    "SupportedRealtimeInferenceInstanceTypes",
    "SupportedResponseMIMETypes",
    "SupportedTransformInstanceTypes",
}
CARRIED_FROM_PACKAGE_CONTAINER = {
    "AdditionalModelDataSources",
    "ContainerHostname",
    "Environment",
    "Image",
    "ModelDataSource",
    "ModelDataUrl",
}
REPLACED_IN_PACKAGE_CONTAINER = {"ImageDigest", "ModelDataETag"}
"""The digest is added to the image URI, and an artifact whose ETag differs is rejected."""

IGNORED_IN_PACKAGE_CONTAINER = {"Framework", "FrameworkVersion", "ModelInput", "NearestModelName"}
REFUSED_IN_PACKAGE_CONTAINER = {
    "AdditionalS3DataSource": "a model cannot have this kind of additional data, only a model package. Register the "
    "model package with AdditionalModelDataSources",
    "BaseModel": "it was fine-tuned from a model of a hub, and AWS does not document whether its artifacts contain "
    "that model. Create a model from it with ModelBuilder of the SageMaker Python SDK, and promote that model",
    "IsCheckpoint": "its artifacts are a checkpoint of a training. Create a model from it with ModelBuilder of the "
    "SageMaker Python SDK, and promote that model",
    "ProductId": "it is an AWS Marketplace product and cannot be copied. Subscribe to the product in this account",
}

_S3_ETAG = re.compile(r'"?([0-9a-f]{32}(-[0-9]+)?)"?')


def names(containers: list[dict[str, Any]], what: str, account: str) -> list[str]:
    """Return the names of the packages in `containers`; raise PromotionRefusedError for one outside `account`."""
    found = [container["ModelPackageName"] for container in containers if container.get("ModelPackageName")]
    for name in found:
        if name.startswith("arn:") and name.split(":")[4] != account:
            raise PromotionRefusedError(
                f"{what} uses the model package {name} in account {name.split(':')[4]}. Only a model package in "
                f"account {account} can be copied, not an AWS Marketplace product, a gated model of JumpStart or a "
                "shared model package."
            )
    return found


def expanded(
    containers: list[dict[str, Any]], what: str, packages: dict[str, dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return `containers` with each model package replaced by its containers, and the ETags that packages require.

    `packages` are the responses of DescribeModelPackage by the names in the containers. The keys of the ETags are the
    container's number and the field: "0/ModelDataUrl".
    """
    whole: list[dict[str, Any]] = []
    etags: dict[str, str] = {}
    for container in containers:
        package = packages.get(container.get("ModelPackageName", ""))
        if package is None:
            whole.append(container)
            continue
        offered = _containers(package, container.get("InferenceSpecificationName"))
        for each in _overlaid(offered, container, what):
            etags |= _etags(len(whole), each)
            whole.append(_with_pinned_image(each))
    return whole, etags


def group_arn(package: dict[str, Any]) -> str | None:
    """Return the ARN of a package's group, whose tags apply to the package, or None if it is in no group."""
    if not package.get("ModelPackageGroupName"):
        return None
    kind, _, name = package["ModelPackageArn"].partition(":model-package/")
    return f"{kind}:model-package-group/{name.rpartition('/')[0]}"


def assert_usable(package: dict[str, Any], life_cycle: dict[str, str] | None = None) -> None:
    """Raise PromotionRefusedError if a package is not completed or not approved in its account, as `not_approved`."""
    arn, status = package["ModelPackageArn"], package["ModelPackageStatus"]
    if status != "Completed":
        raise PromotionRefusedError(
            f"The model package {arn} is {status}. Only a Completed model package can be promoted."
        )
    if why := not_approved(package, life_cycle):
        raise PromotionRefusedError(why)


def not_approved(package: dict[str, Any], life_cycle: dict[str, str] | None = None) -> str | None:
    """Return why a package's approval forbids its promotion, or None if it does not.

    `life_cycle` are the members of ModelLifeCycle that approve a package instead of its approval status, or None.
    """
    # Only a package in a group has an approval status.
    approval = package.get("ModelApprovalStatus", "Approved")
    if life_cycle is not None and approval != "Rejected":
        actual = package.get("ModelLifeCycle", {})
        if all(actual.get(member) == value for member, value in life_cycle.items()):
            return None
        stage, status = (actual.get(member) or "none" for member in ("Stage", "StageStatus"))
        return (
            f"The model package {package['ModelPackageArn']} has the life cycle stage {stage} and the status {status}, "
            f"not {' and '.join(life_cycle.values())}, which Sources.ModelLifeCycle in the settings requires. Update "
            "the life cycle of the model package in its account first."
        )
    if approval == "Approved":
        return None
    return (
        f"The model package {package['ModelPackageArn']} has the approval status {approval}. Approve the model package "
        "in its account first."
    )


def _containers(package: dict[str, Any], specification_name: str | None) -> list[dict[str, Any]]:
    """Return the containers of the package's inference specification, or of the additional one with that name."""
    what = f"The model package {package['ModelPackageArn']}"
    _check_fields(what, package, USED_IN_PACKAGE | IGNORED_IN_PACKAGE, REFUSED_IN_PACKAGE)
    if package.get("ManagedStorageType") == _CLOSED:
        raise refused_field(what, "ManagedStorageType", _WHY_CLOSED)
    specifications = [
        *([package["InferenceSpecification"]] if package.get("InferenceSpecification") else []),
        *package.get("AdditionalInferenceSpecifications", []),
    ]
    chosen = [one for one in specifications if one.get("Name") == specification_name]
    if not chosen:
        named = f" with the name {specification_name}" if specification_name else ""
        raise PromotionRefusedError(
            f"{what} has no inference specification{named}, which defines its containers. Register it with one."
        )
    _check_fields(what, chosen[0], USED_IN_SPECIFICATION | IGNORED_IN_SPECIFICATION, {})
    known = CARRIED_FROM_PACKAGE_CONTAINER | REPLACED_IN_PACKAGE_CONTAINER | IGNORED_IN_PACKAGE_CONTAINER
    if not chosen[0].get("Containers"):
        raise PromotionRefusedError(
            f"The inference specification of {lower_first(what)} has no containers. Register it with a container."
        )
    for container in chosen[0]["Containers"]:
        _check_fields(what, container, known, REFUSED_IN_PACKAGE_CONTAINER)
    kept = CARRIED_FROM_PACKAGE_CONTAINER | REPLACED_IN_PACKAGE_CONTAINER
    return [{field: value for field, value in one.items() if field in kept} for one in chosen[0]["Containers"]]


def _check_fields(what: str, found: dict[str, Any], known: set[str], refused: dict[str, str]) -> None:
    for field, value in found.items():
        if value and field in refused:
            raise refused_field(what, field, refused[field])
        if value and field not in known:
            raise unknown_field(what, field)


def _overlaid(offered: list[dict[str, Any]], container: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """Return a package's containers, updated with the fields that the model's container sets itself."""
    # DescribeModel may return the package's own values here.
    repeated = {"Image", "ModelDataSource", "ModelDataUrl"}
    own = {field: value for field, value in container.items() if value and field not in EXPANDED_IN_CONTAINER}
    own = {field: value for field, value in own.items() if field not in repeated}
    if own.get("Mode") == "SingleModel":
        del own["Mode"]
    if not own:
        return offered
    if len(offered) > 1:
        raise PromotionRefusedError(
            f"{what} sets {', '.join(sorted(own))} for a model package with {len(offered)} containers, and AWS does "
            "not define which container they apply to. Set them in the model package."
        )
    environment = offered[0].get("Environment", {}) | own.get("Environment", {})
    return [offered[0] | own | ({"Environment": environment} if environment else {})]


def _with_pinned_image(container: dict[str, Any]) -> dict[str, Any]:
    """Return the container for a model, with its image pinned to the digest in the package."""
    kept = {field: value for field, value in container.items() if field not in REPLACED_IN_PACKAGE_CONTAINER}
    if (digest := container.get("ImageDigest")) and container.get("Image"):
        registry, _, name = container["Image"].rpartition("/")
        kept["Image"] = f"{registry}/{re.split('[:@]', name)[0]}@{digest.lower()}".lstrip("/")
    return kept


def _etags(number: int, container: dict[str, Any]) -> dict[str, str]:
    """Return the required ETags of artifacts that are one object, ignoring values that are not S3 ETags."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    of_source = source.get("ETag", "") if source.get("S3DataType") == "S3Object" else ""
    required = {
        f"{number}/ModelDataUrl": container.get("ModelDataETag", ""),
        f"{number}/ModelDataSource/S3DataSource/S3Uri": of_source,
    }
    return {slot: match[1] for slot, etag in required.items() if (match := _S3_ETAG.fullmatch(etag))}
