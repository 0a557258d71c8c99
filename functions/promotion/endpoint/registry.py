"""The registration of a promoted model as a version in a model package group of the stage's account.

SageMaker Studio shows it there. A version has no name: its description names the execution, so that a promotion is
registered once.
"""

from __future__ import annotations

import uuid
from typing import Any

from promotion.aws import service_model
from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord
from promotion.source.model_package import CARRIED_FROM_PACKAGE_CONTAINER

_NEWEST = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}


def validated(value: Any, where: str) -> str:
    """Return the setting: the name of a group. Raise InvalidRequestError, with its place `where`, if it is not one."""
    shape = service_model.input_shape("sagemaker", "CreateModelPackage").members["ModelPackageGroupName"]
    if problems := list(service_model.problems(shape, value, where)):
        raise InvalidRequestError(f"{service_model.listed(problems)}.")
    if value.startswith("arn:"):
        raise InvalidRequestError(f"{where} is an ARN. Give the name of a model package group in this account.")
    return str(value)


def version_of(sagemaker: Any, record: PromotionRecord) -> str | None:
    """Return the ARN of the version of a promotion among the newest 100 of its group, or None."""
    newest = sagemaker.list_model_packages(ModelPackageGroupName=record["register_into"], **_NEWEST)
    found = newest["ModelPackageSummaryList"]
    arns = [each["ModelPackageArn"] for each in found if each.get("ModelPackageDescription") == _description(record)]
    return arns[0] if arns else None


def request(record: PromotionRecord, containers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the request of CreateModelPackage for a promotion; `containers` are those of its model.

    The version is approved, because its model is live in the stage. It has no tag of this project, so that no stage
    promotes it. Assumed: SageMaker compares a ClientToken with those of earlier requests, and requires no permission of
    the caller for the image and the artifacts.
    """
    carried = [
        {key: value for key, value in each.items() if key in CARRIED_FROM_PACKAGE_CONTAINER and value}
        for each in containers
    ]
    return {
        "ModelPackageGroupName": record["register_into"],
        "ModelPackageDescription": _description(record),
        "InferenceSpecification": {"Containers": carried},
        "ModelApprovalStatus": "Approved",
        "ModelLifeCycle": {"Stage": record["stage"], "StageStatus": "Promoted"},
        "MetadataProperties": {"GeneratedBy": record["execution"]},
        "CustomerMetadataProperties": {
            "endpoint": record["endpoint"],
            "model": record["model_name"],
            "source": record["source_arn"],
            "digest": record["digest"],
        },
        "ClientToken": str(uuid.uuid5(uuid.NAMESPACE_URL, record["execution"])),
    }


def _description(record: PromotionRecord) -> str:
    return f"Promoted into {record['stage']} by {record['execution']}"
