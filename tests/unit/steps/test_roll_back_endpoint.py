from typing import Any

import pytest

from promotion.errors import PromotionRefusedError
from steps import roll_back_endpoint
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, endpoints, make_endpoint
from tests.support.promotion_table import FIRST, NAME, SECOND, put


def take_step(previous: str = "", **promotion: Any) -> dict[str, Any]:
    record = {
        "endpoint": ENDPOINT,
        "endpoint_config_name": "new",
        "previous_endpoint_config_name": previous,
        "changing": True,
    }
    return roll_back_endpoint.handler({"promotion": record | promotion, "execution": FIRST, "table": NAME}, CONTEXT)


def hold(dynamodb: Any, execution: str = FIRST) -> None:
    put("lock", ENDPOINT, execution=execution, promotion="{}")
    put("autoscaling", ENDPOINT, previous="[]", wanted="[]")


def test_an_endpoint_that_the_promotion_did_not_change_stays_unchanged(dynamodb: Any) -> None:
    make_endpoint("old")

    assert take_step(changing=False)["step"] == "rolled_back"

    assert endpoints() == {ENDPOINT: "old"}


def test_a_first_endpoint_is_deleted_and_then_rolled_back(dynamodb: Any) -> None:
    hold(dynamodb)
    make_endpoint("new")

    assert take_step()["step"] == "delete"

    assert endpoints() == {}
    assert take_step()["step"] == "rolled_back"


def test_an_endpoint_that_has_its_previous_config_is_rolled_back(dynamodb: Any) -> None:
    hold(dynamodb)
    make_endpoint("old")

    assert take_step(previous="old")["step"] == "rolled_back"

    assert endpoints() == {ENDPOINT: "old"}


def test_an_endpoint_is_not_changed_without_its_lock(dynamodb: Any) -> None:
    hold(dynamodb, SECOND)
    make_endpoint("new")

    with pytest.raises(PromotionRefusedError, match="no longer holds the lock"):
        take_step()

    assert endpoints() == {ENDPOINT: "new"}
