"""The registration of a promoted model in the model registry of the stage's account."""

from __future__ import annotations

from typing import Any

import pytest

from promotion.aws import service_model
from promotion.endpoint import registry
from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord

EXECUTION = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:one"
RECORD = PromotionRecord(
    stage="qa",
    execution=EXECUTION,
    endpoint="reviews-qa",
    model_name="reviews-qa-20261122-0942-1a2b3c4d",
    source_arn="arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-1",
    digest="0" * 64,
    register_into="reviews-live",
)
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/reviews@sha256:" + "0" * 64
SHAPE = service_model.input_shape("sagemaker", "CreateModelPackage")


class Registry:
    """SageMaker with one group of packages."""

    def __init__(self, *descriptions: str) -> None:
        self._found = [
            {"ModelPackageArn": f"arn:{text[-3:]}", "ModelPackageDescription": text} for text in descriptions
        ]

    def list_model_packages(self, **request: Any) -> dict[str, Any]:
        assert request["ModelPackageGroupName"] == "reviews-live"
        return {"ModelPackageSummaryList": [*self._found, {"ModelPackageArn": "arn:undescribed"}]}


@pytest.mark.parametrize(
    "container",
    [
        {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": {"A": "1"}},
        {"Image": IMAGE, "Mode": "MultiModel", "ImageConfig": {"RepositoryAccessMode": "Platform"}, "Environment": {}},
        {
            "Image": IMAGE,
            "ContainerHostname": "first",
            "ModelDataSource": {
                "S3DataSource": {"S3Uri": "s3://b/k/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            },
        },
    ],
    ids=["archive", "multi-model", "prefix"],
)
def test_the_request_is_valid_and_has_what_a_version_can_have(container: dict[str, Any]) -> None:
    request = registry.request(RECORD, [container])

    assert list(service_model.problems(SHAPE, request, "CreateModelPackage")) == []
    [carried] = request["InferenceSpecification"]["Containers"]
    assert carried.items() <= container.items()
    assert carried["Image"] == IMAGE
    assert request["MetadataProperties"] == {"GeneratedBy": EXECUTION}


def test_a_repeated_request_has_the_same_token_and_another_execution_another_one() -> None:
    tokens = [registry.request(RECORD | {"execution": name}, [])["ClientToken"] for name in ("one", "one", "two")]

    assert tokens[0] == tokens[1] != tokens[2]


def test_a_version_is_found_by_its_execution() -> None:
    assert registry.version_of(Registry("by hand", f"Promoted into qa by {EXECUTION}"), RECORD) == "arn:one"
    assert registry.version_of(Registry("by hand", f"Promoted into qa by {EXECUTION}-2"), RECORD) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1, "RegisterInto is 1, not a string"),
        ("", "RegisterInto has 0 characters"),
        ("a/b", "RegisterInto is 'a/b'"),
        ("arn:aws:sagemaker:eu-west-1:222222222222:model-package-group/reviews", "RegisterInto is an ARN"),
    ],
)
def test_only_the_name_of_a_group_is_valid(value: Any, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why):
        registry.validated(value, "RegisterInto")

    assert registry.validated("reviews-live", "RegisterInto") == "reviews-live"
