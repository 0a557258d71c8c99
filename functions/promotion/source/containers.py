"""The containers of a model: each of their fields is copied or rejected by name, with the reason."""

from __future__ import annotations

import copy
import re
from typing import Any

from promotion.aws import service_model
from promotion.errors import PromotionRefusedError

CARRIED_FROM_CONTAINER = {
    "AdditionalModelDataSources",
    "ContainerHostname",
    "ContainerMetricsConfig",
    "Environment",
    "Image",
    "ImageConfig",
    "Mode",
    "ModelDataSource",
    "ModelDataUrl",
    "MultiModelConfig",
}
EXPANDED_IN_CONTAINER = {"ModelPackageName", "InferenceSpecificationName"}
"""Replaced by the containers of the model package (promotion.source.model_package)."""

CARRIED_FROM_S3_SOURCE = {"S3Uri", "S3DataType", "CompressionType", "ModelAccessConfig"}
_REQUIRED_IN_S3_SOURCE = CARRIED_FROM_S3_SOURCE - {"ModelAccessConfig"}
REPLACED_IN_S3_SOURCE = {"ETag", "ManifestEtag"}
REFUSED_IN_S3_SOURCE = {
    "HubAccessConfig": "it refers to a model of JumpStart through a private hub, which gives access in its own account "
    "only. Create the model from a copy of its artifacts in a bucket of your own, and promote that model",
    "ManifestS3Uri": "a manifest lists its artifacts. AWS does not document its format, so its URIs cannot be "
    "rewritten for a copy. Specify the artifacts by S3Uri",
}

# AWS SDKs and Tools Reference Guide, "Settings reference": the settings for credentials and endpoints.
_CREDENTIALS = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE|ROLE_ARN"
    r"|WEB_IDENTITY_TOKEN_FILE|CONTAINER_\w+|ENDPOINT_URL(_\w+)?)"
)
CREDENTIALS_REASON = (
    "sets credentials or an endpoint of AWS. A promoted model uses the serving role of its application. Remove the "
    "variable"
)


def credentials_in(environment: dict[str, str]) -> list[str]:
    """Return the variables of an environment that would replace the credentials or endpoints of the stage."""
    return sorted(name for name in environment if _CREDENTIALS.fullmatch(name))


def checked(what: str, container: dict[str, Any]) -> dict[str, Any]:
    """Return a ContainerDefinition for CreateModel from one of DescribeModel.

    `what` is its owner in messages: "The model reviews-1". Raise PromotionRefusedError for a field that cannot be
    copied or is unknown.
    """
    for field, value in container.items():
        if value and field not in CARRIED_FROM_CONTAINER:
            raise unknown_field(what, field)
    carried = copy.deepcopy({field: value for field, value in container.items() if value})
    if "Image" not in carried:
        raise PromotionRefusedError(
            f"{what} has a container without an image. Specify the image (Image) of each container."
        )
    for name in credentials_in(carried.get("Environment", {})):
        raise PromotionRefusedError(f"The environment variable {name} of {lower_first(what)} {CREDENTIALS_REASON}.")
    if carried.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc":
        why = "its image is in a registry inside a VPC, which this stage cannot reach. Push the image to Amazon ECR"
        raise refused_field(what, "ImageConfig", why)
    if carried.get("Mode") == "SingleModel":
        # DescribeModel returns this default even if CreateModel did not set it.
        del carried["Mode"]
    if "ModelDataSource" in carried:
        _check_s3_source(what, carried["ModelDataSource"])
        # DescribeModel returns both for one archive. CreateModel accepts only one; multi-model needs ModelDataUrl.
        is_same = _is_one_archive(carried["ModelDataSource"]) or "Mode" in carried
        if "ModelDataUrl" in carried and is_same and not _accepts_license(carried["ModelDataSource"]):
            del carried["ModelDataSource"]
        else:
            carried.pop("ModelDataUrl", None)
    for additional in carried.get("AdditionalModelDataSources", []):
        _check_s3_source(what, additional)
    shape = service_model.output_shape("sagemaker", "DescribeModel").members["PrimaryContainer"]
    for unknown in service_model.unknown_members(shape, carried):
        raise unknown_field(what, unknown)
    return carried


def assert_known(what: str, operation: str, description: dict[str, Any], member: str) -> None:
    """Raise PromotionRefusedError if a member of the response of `operation` has a member that this version lacks."""
    shape = service_model.output_shape("sagemaker", operation).members[member]
    for unknown in service_model.unknown_members(shape, description.get(member), member):
        raise unknown_field(what, unknown)


def accepted_licenses(containers: list[dict[str, Any]]) -> list[str]:
    """Return the paths of the artifacts in `containers` for which the source accepts the license of a gated model."""
    places = [
        (f"Containers[{index}].{member}", source)
        for index, container in enumerate(containers)
        for member, source in (
            ("ModelDataSource", container.get("ModelDataSource", {})),
            *(
                (f"AdditionalModelDataSources[{number}]", additional)
                for number, additional in enumerate(container.get("AdditionalModelDataSources", []))
            ),
        )
    ]
    return [path for path, source in places if _accepts_license(source)]


def _accepts_license(source: dict[str, Any]) -> bool:
    return bool(source.get("S3DataSource", {}).get("ModelAccessConfig", {}).get("AcceptEula"))


def refused_field(what: str, field: str, why: str) -> PromotionRefusedError:
    """Return the error for a field that cannot be copied."""
    return PromotionRefusedError(f"{what} cannot be promoted because of its field {field}: {why}.")


def unknown_field(what: str, field: str) -> PromotionRefusedError:
    """Return the error for a field that this version does not support."""
    return PromotionRefusedError(
        f"{what} has the field {field}, which this version of Model Promotion does not support. No field is dropped "
        "silently. Update Model Promotion, or re-create the source without the field."
    )


def lower_first(text: str) -> str:
    """Return `text` with a lowercase first letter, for use inside a sentence."""
    return text[0].lower() + text[1:]


def _is_one_archive(source: dict[str, Any]) -> bool:
    location = source["S3DataSource"]
    return bool(location["S3DataType"] == "S3Object" and location["CompressionType"] == "Gzip")


def _check_s3_source(what: str, source: dict[str, Any]) -> None:
    """Check one ModelDataSource or AdditionalModelDataSource, and remove the members that its copy replaces."""
    for field, value in source.items():
        if value and field not in {"S3DataSource", "ChannelName"}:
            raise unknown_field(what, field)
    location = source.get("S3DataSource", {})
    for field in sorted(_REQUIRED_IN_S3_SOURCE - {field for field in location if location[field]}):
        raise PromotionRefusedError(
            f"{what} has an artifact source without {field} (S3DataSource.{field}). Specify it."
        )
    for field, value in location.items():
        if not value or field in CARRIED_FROM_S3_SOURCE | REPLACED_IN_S3_SOURCE:
            continue
        if field in REFUSED_IN_S3_SOURCE:
            raise refused_field(what, field, REFUSED_IN_S3_SOURCE[field])
        raise unknown_field(what, field)
    for field in REPLACED_IN_S3_SOURCE & set(location):
        del location[field]
