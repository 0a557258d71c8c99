"""The containers of a model: every field of them is carried, or refused with its name and the reason."""

from __future__ import annotations

import copy
import re
from typing import Any

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
"""Replaced by the containers of the model package that they name (promotion.model_package)."""

CARRIED_FROM_S3_SOURCE = {"S3Uri", "S3DataType", "CompressionType"}
REPLACED_IN_S3_SOURCE = {"ETag", "ManifestEtag"}
REFUSED_IN_S3_SOURCE = {
    "HubAccessConfig": "it comes from a hub and may not be copied",
    "ManifestS3Uri": "its artifacts are listed in a manifest, of which AWS documents only that it is a CSV file, so "
    "that its addresses cannot be changed to those of a copy; name the artifacts by S3Uri alone",
    "ModelAccessConfig": "it is a gated model whose licence was accepted for the upstream account",
}

# AWS SDKs and Tools Reference Guide, "Settings reference": as whom a program calls AWS, and where.
_CREDENTIALS = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE|ROLE_ARN"
    r"|WEB_IDENTITY_TOKEN_FILE|CONTAINER_\w+|ENDPOINT_URL(_\w+)?)"
)
WHY_NOT = "says as whom or where the model calls AWS, which in a stage is the stage's role for SageMaker. Take it out"


def credentials_in(environment: dict[str, str]) -> list[str]:
    """The variables of an environment that would give a model other rights than its stage does."""
    return sorted(name for name in environment if _CREDENTIALS.fullmatch(name))


def checked(what: str, container: dict[str, Any]) -> dict[str, Any]:
    """A ContainerDefinition as CreateModel takes it, of one as DescribeModel gives it.

    `what` is what it belongs to, for messages: "The model reviews-1". Raises PromotionRefusedError for a field that
    may not be carried or is not known.
    """
    for field, value in container.items():
        if value and field not in CARRIED_FROM_CONTAINER:
            raise unknown_field(what, field)
    carried = copy.deepcopy({field: value for field, value in container.items() if value})
    if "Image" not in carried:
        raise PromotionRefusedError(f"{what} has a container without an Image, so nothing could serve it.")
    for name in credentials_in(carried.get("Environment", {})):
        raise PromotionRefusedError(f"{what} has an environment whose {name} {WHY_NOT}.")
    if carried.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc":
        why = "its image comes from a registry inside a VPC, which this stage cannot reach"
        raise refused_field(what, "ImageConfig", why)
    if carried.get("Mode") == "SingleModel":
        # DescribeModel says so of every container that is nothing else, whether it was asked for or not.
        del carried["Mode"]
    if "ModelDataSource" in carried:
        _check_s3_source(what, carried["ModelDataSource"])
        # DescribeModel gives both for one archive; CreateModel takes only one, and for several models the first.
        if "ModelDataUrl" in carried and (_is_one_archive(carried["ModelDataSource"]) or "Mode" in carried):
            del carried["ModelDataSource"]
        else:
            carried.pop("ModelDataUrl", None)
    for additional in carried.get("AdditionalModelDataSources", []):
        _check_s3_source(what, additional)
    return carried


def refused_field(what: str, field: str, why: str) -> PromotionRefusedError:
    return PromotionRefusedError(f"{what} cannot be promoted: {why} ({field}).")


def unknown_field(what: str, field: str) -> PromotionRefusedError:
    return PromotionRefusedError(
        f"{what} has the field {field}, which this version of Model Promotion does not know. Nothing is dropped in "
        "silence: update Model Promotion, or make the source without that field."
    )


def _is_one_archive(source: dict[str, Any]) -> bool:
    location = source["S3DataSource"]
    return bool(location["S3DataType"] == "S3Object" and location["CompressionType"] == "Gzip")


def _check_s3_source(what: str, source: dict[str, Any]) -> None:
    """Check one ModelDataSource or AdditionalModelDataSource, and take out of it what a copy has anew."""
    for field, value in source.items():
        if value and field not in {"S3DataSource", "ChannelName"}:
            raise unknown_field(what, field)
    location = source.get("S3DataSource", {})
    for field in sorted(CARRIED_FROM_S3_SOURCE - {field for field in location if location[field]}):
        raise PromotionRefusedError(f"{what} has a source of artifacts without {field} (S3DataSource.{field}).")
    for field, value in location.items():
        if not value or field in CARRIED_FROM_S3_SOURCE | REPLACED_IN_S3_SOURCE:
            continue
        if field in REFUSED_IN_S3_SOURCE:
            raise refused_field(what, field, REFUSED_IN_S3_SOURCE[field])
        raise unknown_field(what, field)
    for field in REPLACED_IN_S3_SOURCE & set(location):
        del location[field]
