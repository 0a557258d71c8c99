from typing import Any

import boto3
import pytest

from promotion.errors import PromotionRefusedError
from steps import update_endpoint
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, endpoints, make_config, make_endpoint
from tests.support.promotion_table import FIRST, NAME, SECOND, put


def update(previous: str = "") -> dict[str, Any]:
    promotion = {
        "endpoint": ENDPOINT,
        "application": "reviews",
        "endpoint_config_name": "new",
        "previous_endpoint_config_name": previous,
    }
    return update_endpoint.handler({"promotion": promotion, "execution": FIRST, "table": NAME}, CONTEXT)


def test_a_first_endpoint_is_created_with_the_tags_of_its_application_and_execution(dynamodb: Any) -> None:
    put("lock", ENDPOINT, execution=FIRST, promotion="{}")
    make_config("new")

    update()

    assert endpoints() == {ENDPOINT: "new"}
    sagemaker = boto3.client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "model-promotion:application", "Value": "reviews"},
        {"Key": "model-promotion:execution", "Value": FIRST},
    ]


@pytest.mark.parametrize("holder", [None, SECOND])
def test_an_endpoint_is_not_changed_without_its_lock(dynamodb: Any, holder: str | None) -> None:
    make_config("new")
    if holder:
        put("lock", ENDPOINT, execution=holder, promotion="{}")

    with pytest.raises(PromotionRefusedError, match="no longer holds the lock"):
        update()

    assert endpoints() == {}


def test_an_update_by_someone_else_is_not_overwritten(dynamodb: Any) -> None:
    put("lock", ENDPOINT, execution=FIRST, promotion="{}")
    make_endpoint("by-hand")
    make_config("new")

    with pytest.raises(PromotionRefusedError, match="from old to by-hand"):
        update(previous="old")

    assert endpoints() == {ENDPOINT: "by-hand"}
