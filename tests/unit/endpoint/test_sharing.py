"""Who may serve on an endpoint that several applications share."""

from typing import Any

import pytest

from promotion.endpoint.sharing import SHARED_TAG, assert_shared
from promotion.endpoint.target import Target
from promotion.errors import PromotionRefusedError
from promotion.source.tags import APPLICATION_TAG

ENDPOINT = {"EndpointName": "gpus-qa", "EndpointArn": "arn:endpoint"}
COMPONENT = {"InferenceComponentArn": "arn:component", "EndpointName": "gpus-qa"}
SHARED = {SHARED_TAG: "true"}


class SageMaker:
    """A SageMaker with the tags of an endpoint and of a component."""

    def __init__(self, of_endpoint: dict[str, str], of_component: dict[str, str]) -> None:
        self.tags = {"arn:endpoint": of_endpoint, "arn:component": of_component}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, ResourceArn: str) -> list[dict[str, Any]]:  # noqa: N803 - the name in boto3
        return [{"Tags": [{"Key": key, "Value": value} for key, value in self.tags[ResourceArn].items()]}]


def check(
    endpoint: dict[str, Any] | None, component: dict[str, Any] | None, tags: dict[str, str], owner: str = "reviews"
) -> None:
    sagemaker = SageMaker(tags, {APPLICATION_TAG: owner})
    assert_shared(sagemaker, Target(endpoint, "reviews-qa", component), "gpus-qa", "reviews")


@pytest.mark.parametrize("component", [None, COMPONENT])
def test_an_application_serves_on_an_endpoint_that_operators_share(component: dict[str, Any] | None) -> None:
    check(ENDPOINT, component, SHARED)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((None, None, SHARED), "does not exist. Create it"),
        (
            (ENDPOINT, None, {}),
            "is not shared. To let the applications of the stage serve on it: aws sagemaker add-tags",
        ),
        ((ENDPOINT, None, {SHARED_TAG: "false"}), "is not shared"),
        ((ENDPOINT, COMPONENT, SHARED, "other"), "not one that a promotion of reviews created on gpus-qa"),
        ((ENDPOINT, COMPONENT | {"EndpointName": "elsewhere"}, SHARED), "on the endpoint elsewhere is not one"),
    ],
)
def test_any_other_endpoint_or_component_is_refused_with_a_remedy(given: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        check(*given)

    assert reason in str(error.value)
