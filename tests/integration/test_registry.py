"""A stage registers what it promotes in the model registry of its own account, if the settings say so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.settings import configure
from tests.support.waiting import wait_until
from tests.support.world import Lab, Stage


def versions(qa: Stage, group: str) -> list[dict[str, Any]]:
    """Return the versions of a group, oldest first."""
    sagemaker = qa.client("sagemaker")
    listed = sagemaker.list_model_packages(ModelPackageGroupName=group, SortOrder="Ascending")
    found = [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]]
    return [sagemaker.describe_model_package(ModelPackageName=arn) for arn in found]


def registered(qa: Stage, group: str, count: int) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]] | None:
        found = versions(qa, group)
        return found if len(found) >= count else None

    return wait_until(look, f"{count} versions in {group}")


def publish(qa: Stage, record: dict[str, Any]) -> None:
    """Publish the event of a promotion again, as EventBridge may deliver it twice."""
    entry = {"Source": "model-promotion", "DetailType": "Model Promotion Succeeded", "Detail": json.dumps(record)}
    qa.client("events").put_events(Entries=[entry | {"EventBusName": "model-promotion-qa"}])


def test_each_promotion_is_registered_once_and_a_rollback_is_not(lab: Lab, qa: Stage, application: str) -> None:
    group = f"{application}-live"
    qa.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
    configure(qa, application, RegisterInto=group)
    first = qa.execution_of(lab.train(application, "first")).output
    [version] = registered(qa, group, 1)

    publish(qa, first)
    assert qa.execution_of(lab.train(application, "second")).status == "SUCCEEDED"
    assert qa.promote({"rollback": f"{application}-qa"}).status == "SUCCEEDED"
    third = qa.execution_of(lab.train(application, "third")).output

    found = registered(qa, group, 3)
    model = qa.client("sagemaker").describe_model(ModelName=first["model_name"])["PrimaryContainer"]
    [container] = version["InferenceSpecification"]["Containers"]
    assert container.items() <= model.items()
    assert (container["Image"], container["ModelDataSource"]) == (model["Image"], model["ModelDataSource"])
    assert version["ModelPackageDescription"] == f"Promoted into qa by {first['execution']}"
    assert version["ModelLifeCycle"] == {"Stage": "qa", "StageStatus": "Promoted"}
    assert version["ModelApprovalStatus"] == "Approved"
    assert version["CustomerMetadataProperties"]["source"] == first["source_arn"]
    assert [each["MetadataProperties"]["GeneratedBy"] for each in found[::2]] == [
        first["execution"],
        third["execution"],
    ]


def test_a_failed_registration_is_reported_and_changes_no_promotion(lab: Lab, qa: Stage, application: str) -> None:
    configure(qa, application, RegisterInto=f"{application}-missing")

    execution = qa.execution_of(lab.train(application, "good"))

    assert execution.status == "SUCCEEDED"
    assert qa.answer(application) == {"label": "good"}
    sqs, url = qa.client("sqs"), qa.physical_id("DeadLetters")

    def look() -> str | None:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
        return next((each["Body"] for each in found if execution.output["execution"] in each["Body"]), None)

    reported = wait_until(look, "the event in the dead-letter queue")
    assert f"{application}-missing does not exist" in reported
    handles = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for each in handles:
        if execution.output["execution"] in each["Body"]:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])


def test_the_function_neither_changes_nor_deletes_a_version(qa: Stage, application: str) -> None:
    sagemaker = qa.trying_as("RegisterModelFunction", "sagemaker")
    arn = f"arn:aws:sagemaker:eu-west-1:{qa.account}:model-package/{application}/1"

    for operation, request in (
        ("update_model_package", {"ModelPackageArn": arn, "ModelApprovalStatus": "Rejected"}),
        ("delete_model_package", {"ModelPackageName": arn}),
        (
            "create_model",
            {"ModelName": f"{application}-qa-20260101-0000-00000000", "ExecutionRoleArn": qa.role("StartRole")},
        ),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(sagemaker, operation)(**request)
