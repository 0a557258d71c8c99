"""What else in the account refers to something is found, whatever it looks like."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.history.cleanup import _uris_of
from tests.support.s3_faults import client_error, not_found

OWN, MARKETPLACE = "222222222222", "999999999999"


class SageMaker:
    """One that knows a single package."""

    def __init__(self, refusal: ClientError | None = None) -> None:
        self.refusal = refusal

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        if self.refusal:
            raise self.refusal
        assert MARKETPLACE not in ModelPackageName
        return {"InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://stage/of-package"}]}}


def test_every_address_in_a_model_is_found() -> None:
    containers = [
        {"ModelDataUrl": "s3://stage/a", "Environment": {"CODE": "s3://stage/b", "THREADS": "2"}},
        {"ModelDataSource": {"S3DataSource": {"S3Uri": "s3://stage/c/", "S3DataType": "S3Prefix"}}},
        {"AdditionalModelDataSources": [{"S3DataSource": {"S3Uri": "s3://stage/d"}}], "SomethingNew": ["s3://stage/e"]},
    ]

    found = _uris_of(SageMaker(), OWN, {"Containers": containers})

    assert found == {f"s3://stage/{name}" for name in ("a", "b", "c/", "d", "e")}


@pytest.mark.parametrize("name", ["reviews", f"arn:aws:sagemaker:eu-west-1:{OWN}:model-package/reviews/3"])
def test_a_model_of_a_package_refers_to_what_the_package_does(name: str) -> None:
    model = {"PrimaryContainer": {"ModelPackageName": name, "ModelDataUrl": "s3://stage/a"}}

    assert _uris_of(SageMaker(), OWN, model) == {"s3://stage/a", "s3://stage/of-package"}
    assert _uris_of(SageMaker(not_found("model package", "reviews")), OWN, model) == {"s3://stage/a"}
    with pytest.raises(ClientError, match="AccessDenied"):
        _uris_of(SageMaker(client_error("AccessDeniedException")), OWN, model)


def test_a_product_of_the_marketplace_has_no_artifacts_here() -> None:
    name = f"arn:aws:sagemaker:eu-west-1:{MARKETPLACE}:model-package/product"

    assert _uris_of(SageMaker(), OWN, {"PrimaryContainer": {"ModelPackageName": name}}) == set()
