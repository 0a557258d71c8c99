from typing import Any

import pytest

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.plan.serving_role import serving_role
from promotion.stage import Stage
from tests.support.s3_faults import client_error

STAGE = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111")
PATH = "arn:aws:iam::222222222222:role/model-promotion/qa/serving/"


class Iam:
    """IAM with one role of the endpoint's name."""

    def __init__(self, arn: str = f"{PATH}reviews-qa", error: Exception | None = None) -> None:
        self.arn, self.error = arn, error

    def get_role(self, RoleName: str) -> dict[str, Any]:  # noqa: N803
        assert RoleName == "reviews-qa"
        if self.error:
            raise self.error
        return {"Role": {"Arn": self.arn}}


def role(iam: Iam, endpoint_config: dict[str, Any] | None = None) -> str:
    return serving_role(iam, PATH, "reviews", {"EndpointConfig": endpoint_config or {}}, STAGE)


def test_the_serving_role_has_the_name_of_the_endpoint() -> None:
    assert role(Iam()) == f"{PATH}reviews-qa"


@pytest.mark.parametrize(
    "iam",
    [
        Iam(error=client_error("NoSuchEntity", "The role with name reviews-qa cannot be found.")),
        Iam(error=client_error("AccessDenied", "not authorized to perform: iam:GetRole")),
        Iam(arn="arn:aws:iam::222222222222:role/reviews-qa"),
    ],
)
def test_an_application_without_its_serving_role_is_refused(iam: Iam) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        role(iam)

    assert f"the role {PATH}reviews-qa does not exist. To register it, run in account 222222222222" in str(error.value)


def test_any_other_error_of_iam_is_raised() -> None:
    throttled = client_error("Throttling")

    with pytest.raises(type(throttled)) as error:
        role(Iam(error=throttled))

    assert error.value is throttled


@pytest.mark.parametrize("uri", ["s3://stage/inference/reviews", "s3://stage/inference/reviews/a/b", "s3://another/x"])
def test_an_endpoint_writes_under_the_prefix_of_its_application_or_into_another_bucket(uri: str) -> None:
    assert role(Iam(), {"DataCaptureConfig": {"DestinationS3Uri": uri}})


@pytest.mark.parametrize(
    "uri", ["s3://stage", "s3://stage/x", "s3://stage/inference/reviews2/a", "s3://stage/models/reviews/a"]
)
def test_an_endpoint_that_would_write_elsewhere_in_the_artifact_bucket_is_refused(uri: str) -> None:
    dumps = {"ProductionVariants": [{"CoreDumpConfig": {"DestinationS3Uri": uri}}]}

    with pytest.raises(InvalidRequestError) as error:
        role(Iam(), dumps)

    assert f"has the URI {uri}. In the artifact bucket" in str(error.value)
    assert "can write only under s3://stage/inference/reviews/." in str(error.value)
