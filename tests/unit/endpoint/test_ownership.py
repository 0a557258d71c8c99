import boto3
import pytest

from promotion.endpoint.ownership import assert_own
from promotion.errors import PromotionRefusedError
from tests.support.moto_endpoints import ENDPOINT, make_endpoint

APPLICATION, EXECUTION = "model-promotion:application", "model-promotion:execution"


def check(tags: dict[str, str], adopt: bool = False) -> None:
    """Check an endpoint with these tags for the application reviews."""
    make_endpoint("live")
    sagemaker = boto3.client("sagemaker")
    description = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    sagemaker.delete_tags(ResourceArn=description["EndpointArn"], TagKeys=[APPLICATION, EXECUTION])
    if tags:
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        sagemaker.add_tags(ResourceArn=description["EndpointArn"], Tags=listed)
    assert_own(sagemaker, dict(description), "reviews", {"AdoptExisting": True} if adopt else {})


@pytest.mark.usefixtures("moto")
def test_an_endpoint_that_a_promotion_of_the_application_created_is_its_own() -> None:
    check({APPLICATION: "reviews", EXECUTION: "arn:execution"})


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("tags", [{APPLICATION: "other"}, {APPLICATION: "other", EXECUTION: "arn:execution"}])
def test_an_endpoint_of_another_application_is_never_updated(tags: dict[str, str], adopt: bool) -> None:
    with pytest.raises(PromotionRefusedError, match=f"The endpoint {ENDPOINT} belongs to the application other"):
        check(tags, adopt)


@pytest.mark.usefixtures("moto")
def test_an_endpoint_of_someone_else_is_adopted_with_the_tag_and_the_setting() -> None:
    check({APPLICATION: "reviews"}, adopt=True)


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize(
    ("tags", "adopt"), [({}, False), ({}, True), ({APPLICATION: "reviews"}, False), ({EXECUTION: "x"}, True)]
)
def test_an_endpoint_of_someone_else_is_refused_with_both_steps(tags: dict[str, str], adopt: bool) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        check(tags, adopt)

    message = str(error.value)
    assert f"No promotion created the endpoint {ENDPOINT}" in message
    assert "1. Tag it: aws sagemaker add-tags --resource-arn arn:aws:sagemaker:" in message
    assert f"--tags Key={APPLICATION},Value=reviews 2. Add " in message
    assert '2. Add "AdoptExisting": true to the settings of reviews.' in message
