"""AutoML jobs of the embedded AWS, which have a best candidate if its artifacts exist."""

from __future__ import annotations

from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.sagemaker_account import Account, archive, refused
from tests.support.waiting import wait_for


@pytest.fixture
def dev(aws: EmbeddedAws, name: str) -> Account:
    return Account("dev", name)


def request(dev: Account) -> dict[str, Any]:
    s3 = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{dev.bucket}/data/"}}
    return {
        "AutoMLJobName": dev.name[:32].rstrip("-"),
        "AutoMLJobInputDataConfig": [{"ChannelType": "training", "DataSource": s3}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{dev.bucket}/out/"},
        "AutoMLProblemTypeConfig": {"TabularJobConfig": {"TargetAttributeName": "label"}},
        "RoleArn": dev.role_arn,
        "Tags": [{"Key": "team", "Value": "search"}],
    }


def ended(dev: Account) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = dev.sagemaker.describe_auto_ml_job_v2(AutoMLJobName=request(dev)["AutoMLJobName"])
        return dict(found) if found["AutoMLJobStatus"] != "InProgress" else None

    return dict(wait_for(look))


@pytest.mark.parametrize("count", [1, 3])
def test_the_best_candidate_has_a_container_for_each_archive(dev: Account, count: int) -> None:
    job = request(dev)["AutoMLJobName"]
    uris = [dev.put(f"out/{job}/{number}/model.tar.gz", archive({"a": "1"})) for number in range(count)]

    arn = dev.sagemaker.create_auto_ml_job_v2(**request(dev))["AutoMLJobArn"]
    found = ended(dev)

    assert found["AutoMLJobStatus"] == "Completed"
    assert found["AutoMLProblemTypeConfigName"] == "Tabular"
    containers = found["BestCandidate"]["InferenceContainers"]
    assert [each["ModelDataUrl"] for each in containers] == uris
    assert ["xgboost" in each["Image"] for each in containers] == ([True] if count == 1 else [False, True, False])
    assert dev.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "search"}]


def test_a_job_without_artifacts_fails(dev: Account) -> None:
    dev.sagemaker.create_auto_ml_job_v2(**request(dev))

    found = ended(dev)

    assert found["AutoMLJobStatus"] == "Failed"
    assert "no artifacts of a candidate" in found["FailureReason"]
    assert "BestCandidate" not in found


def test_a_name_exists_once_and_an_unknown_one_not_at_all(dev: Account) -> None:
    with pytest.raises(dev.sagemaker.exceptions.ResourceNotFound):
        dev.sagemaker.describe_auto_ml_job_v2(AutoMLJobName="nothing")
    dev.sagemaker.create_auto_ml_job_v2(**request(dev))

    assert refused(dev.sagemaker.create_auto_ml_job_v2, **request(dev))[0] == "ResourceInUse"
