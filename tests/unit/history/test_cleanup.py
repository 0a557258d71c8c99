"""The S3 URIs that a model of the account refers to."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.history.cleanup import _s3_uris
from tests.support.s3_faults import client_error, not_found

OWN, MARKETPLACE = "222222222222", "999999999999"


class SageMaker:
    """A SageMaker with a single model package."""

    def __init__(self, error: ClientError | None = None) -> None:
        self.error = error

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if self.error:
            raise self.error
        assert MARKETPLACE not in ModelPackageName
        return {"InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://stage/of-package"}]}}


def test_every_s3_uri_in_a_model_is_found() -> None:
    containers = [
        {"ModelDataUrl": "s3://stage/a", "Environment": {"CODE": "s3://stage/b", "THREADS": "2"}},
        {"ModelDataSource": {"S3DataSource": {"S3Uri": "s3://stage/c/", "S3DataType": "S3Prefix"}}},
        {"AdditionalModelDataSources": [{"S3DataSource": {"S3Uri": "s3://stage/d"}}], "SomethingNew": ["s3://stage/e"]},
    ]

    found = _s3_uris(SageMaker(), OWN, {"Containers": containers})

    assert found == {f"s3://stage/{name}" for name in ("a", "b", "c/", "d", "e")}


@pytest.mark.parametrize("name", ["reviews", f"arn:aws:sagemaker:eu-west-1:{OWN}:model-package/reviews/3"])
def test_a_model_refers_to_the_artifacts_of_its_model_package(name: str) -> None:
    model = {"PrimaryContainer": {"ModelPackageName": name, "ModelDataUrl": "s3://stage/a"}}

    assert _s3_uris(SageMaker(), OWN, model) == {"s3://stage/a", "s3://stage/of-package"}
    assert _s3_uris(SageMaker(not_found("model package", "reviews")), OWN, model) == {"s3://stage/a"}
    with pytest.raises(ClientError, match="AccessDenied"):
        _s3_uris(SageMaker(client_error("AccessDeniedException")), OWN, model)


def test_a_product_of_aws_marketplace_has_no_artifacts_in_the_account() -> None:
    name = f"arn:aws:sagemaker:eu-west-1:{MARKETPLACE}:model-package/product"

    assert _s3_uris(SageMaker(), OWN, {"PrimaryContainer": {"ModelPackageName": name}}) == set()
