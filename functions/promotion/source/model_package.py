"""Model packages: what serves is taken out of them, so that a promoted model has no tie to the upstream account.

Every field of DescribeModelPackage's answer is used, left behind because it says nothing of what serves, or refused.
"""

from __future__ import annotations

import re
from typing import Any

from promotion.errors import PromotionRefusedError
from promotion.source.containers import EXPANDED_IN_CONTAINER, refused_field, unknown_field

USED_OF_PACKAGE = {
    "AdditionalInferenceSpecifications",
    "CreationTime",
    "InferenceSpecification",
    "ModelApprovalStatus",
    "ModelMetrics",
    "ModelPackageArn",
    "ModelPackageStatus",
}
LEFT_OF_PACKAGE = {
    "ApprovalDescription",
    "CertifyForMarketplace",
    "CreatedBy",
    "CustomerMetadataProperties",
    "Domain",
    "DriftCheckBaselines",
    "LastModifiedBy",
    "LastModifiedTime",
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
    "ManagedStorageType": "its artifacts lie in SageMaker's own storage and may not be copied",
    "SourceAlgorithmSpecification": "it is made of an algorithm resource, which may not be copied",
}
USED_OF_SPECIFICATION = {"Containers", "Name"}
LEFT_OF_SPECIFICATION = {
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
"""The digest becomes part of the image, and the artifact is refused when it has not this ETag any more."""

LEFT_OF_PACKAGE_CONTAINER = {"Framework", "FrameworkVersion", "ModelInput", "NearestModelName"}
REFUSED_IN_PACKAGE_CONTAINER = {
    "AdditionalS3DataSource": "it has additional data of a kind that only a model package can have, not a model. "
    "Register it with AdditionalModelDataSources",
    "BaseModel": "it is based on a model of a hub and may not be copied",
    "IsCheckpoint": "it is a checkpoint of a model of a hub and may not be copied",
    "ProductId": "it is a product of the AWS Marketplace and may not be copied. Subscribe to it in this account",
}

_S3_ETAG = re.compile(r'"?([0-9a-f]{32}(-[0-9]+)?)"?')


def names(containers: list[dict[str, Any]], what: str, account: str) -> list[str]:
    """The model packages that `containers` of a model are made of, all in `account`."""
    found = [container["ModelPackageName"] for container in containers if container.get("ModelPackageName")]
    for name in found:
        if name.startswith("arn:") and name.split(":")[4] != account:
            raise PromotionRefusedError(
                f"{what} is made of the model package {name} of account {name.split(':')[4]}: a product of the AWS "
                f"Marketplace, or shared with account {account}, and not its own to be copied."
            )
    return found


def expanded(
    containers: list[dict[str, Any]], what: str, packages: dict[str, dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """`containers` with those of a model package in place of its name, and the ETags that the packages demand.

    `packages` are DescribeModelPackage's answers by the names in the containers; the ETags are by the container's
    number and the field, as "0/ModelDataUrl".
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
    """The ARN of the group that a package is a version of: the package has the group's tags."""
    if not package.get("ModelPackageGroupName"):
        return None
    kind, _, name = package["ModelPackageArn"].partition(":model-package/")
    return f"{kind}:model-package-group/{name.rpartition('/')[0]}"


def assert_usable(package: dict[str, Any]) -> None:
    """Raises PromotionRefusedError for a package that is not completed, or that was not approved upstream."""
    arn, status = package["ModelPackageArn"], package["ModelPackageStatus"]
    if status != "Completed":
        raise PromotionRefusedError(f"The model package {arn} is {status}; only a Completed one can be promoted.")
    if why := not_approved(package):
        raise PromotionRefusedError(why)


def not_approved(package: dict[str, Any]) -> str | None:
    """Why a package must not serve, by its account's own approval; None when it may."""
    # Only a package of a group has one.
    approval = package.get("ModelApprovalStatus", "Approved")
    if approval == "Approved":
        return None
    return f"The model package {package['ModelPackageArn']} is {approval}; approve it in its account first."


def _containers(package: dict[str, Any], specification_name: str | None) -> list[dict[str, Any]]:
    """The containers of the package's inference specification, or of the additional one of that name."""
    what = f"The model package {package['ModelPackageArn']}"
    _judge(what, package, USED_OF_PACKAGE | LEFT_OF_PACKAGE, REFUSED_IN_PACKAGE)
    assert_usable(package)
    specifications = [
        *([package["InferenceSpecification"]] if package.get("InferenceSpecification") else []),
        *package.get("AdditionalInferenceSpecifications", []),
    ]
    chosen = [one for one in specifications if one.get("Name") == specification_name]
    if not chosen:
        named = f" of the name {specification_name}" if specification_name else ""
        raise PromotionRefusedError(f"{what} has no inference specification{named}, so nothing could serve it.")
    _judge(what, chosen[0], USED_OF_SPECIFICATION | LEFT_OF_SPECIFICATION, {})
    known = CARRIED_FROM_PACKAGE_CONTAINER | REPLACED_IN_PACKAGE_CONTAINER | LEFT_OF_PACKAGE_CONTAINER
    if not chosen[0].get("Containers"):
        raise PromotionRefusedError(
            f"{what} has no Containers in its inference specification, so nothing could serve it."
        )
    for container in chosen[0]["Containers"]:
        _judge(what, container, known, REFUSED_IN_PACKAGE_CONTAINER)
    kept = CARRIED_FROM_PACKAGE_CONTAINER | REPLACED_IN_PACKAGE_CONTAINER
    return [{field: value for field, value in one.items() if field in kept} for one in chosen[0]["Containers"]]


def _judge(what: str, found: dict[str, Any], known: set[str], refused: dict[str, str]) -> None:
    for field, value in found.items():
        if value and field in refused:
            raise refused_field(what, field, refused[field])
        if value and field not in known:
            raise unknown_field(what, field)


def _overlaid(offered: list[dict[str, Any]], container: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """What a package offers with what the container of the model says beside the package's name."""
    # SageMaker may repeat the package's own here, in a model's description.
    repeated = {"Image", "ModelDataSource", "ModelDataUrl"}
    own = {field: value for field, value in container.items() if value and field not in EXPANDED_IN_CONTAINER}
    own = {field: value for field, value in own.items() if field not in repeated}
    if own.get("Mode") == "SingleModel":
        del own["Mode"]
    if not own:
        return offered
    if len(offered) > 1:
        raise PromotionRefusedError(
            f"{what} changes {', '.join(sorted(own))} of a model package of {len(offered)} containers, and AWS does "
            "not say of which."
        )
    environment = offered[0].get("Environment", {}) | own.get("Environment", {})
    return [offered[0] | own | ({"Environment": environment} if environment else {})]


def _with_pinned_image(container: dict[str, Any]) -> dict[str, Any]:
    """The container as a model has it: its image by the digest that the package names."""
    kept = {field: value for field, value in container.items() if field not in REPLACED_IN_PACKAGE_CONTAINER}
    if (digest := container.get("ImageDigest")) and container.get("Image"):
        registry, _, name = container["Image"].rpartition("/")
        kept["Image"] = f"{registry}/{re.split('[:@]', name)[0]}@{digest.lower()}".lstrip("/")
    return kept


def _etags(number: int, container: dict[str, Any]) -> dict[str, str]:
    """What S3 has to call the artifacts that are one object; what is no ETag of S3's says nothing."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    of_source = source.get("ETag", "") if source.get("S3DataType") == "S3Object" else ""
    demanded = {
        f"{number}/ModelDataUrl": container.get("ModelDataETag", ""),
        f"{number}/ModelDataSource/S3DataSource/S3Uri": of_source,
    }
    return {slot: match[1] for slot, etag in demanded.items() if (match := _S3_ETAG.fullmatch(etag))}
