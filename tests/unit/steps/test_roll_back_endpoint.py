from typing import Any

import pytest

from promotion.errors import PromotionRefusedError
from steps import roll_back_endpoint
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, endpoints, make_endpoint
from tests.support.promotion_table import FIRST, NAME, SECOND, put


def restore(previous: str = "", **promotion: Any) -> dict[str, Any]:
    given = {
        "endpoint": ENDPOINT,
        "endpoint_config_name": "new",
        "previous_endpoint_config_name": previous,
        "changing": True,
    }
    return roll_back_endpoint.handler({"promotion": given | promotion, "execution": FIRST, "table": NAME}, CONTEXT)


def hold(dynamodb: Any, execution: str = FIRST) -> None:
    put("lock", ENDPOINT, execution=execution, promotion="{}")
    put("autoscaling", ENDPOINT, previous="[]", wanted="[]")


def test_an_endpoint_that_was_not_touched_is_left_as_it_is(dynamodb: Any) -> None:
    make_endpoint("old")

    assert restore(changing=False)["step"] == "rolled_back"

    assert endpoints() == {ENDPOINT: "old"}


def test_a_first_endpoint_is_deleted_and_then_restored(dynamodb: Any) -> None:
    hold(dynamodb)
    make_endpoint("new")

    assert restore()["step"] == "delete"

    assert endpoints() == {}
    assert restore()["step"] == "rolled_back"


def test_an_endpoint_that_is_back_on_its_old_config_is_restored(dynamodb: Any) -> None:
    hold(dynamodb)
    make_endpoint("old")

    assert restore(previous="old")["step"] == "rolled_back"

    assert endpoints() == {ENDPOINT: "old"}


def test_an_endpoint_whose_lock_is_lost_is_not_touched(dynamodb: Any) -> None:
    hold(dynamodb, SECOND)
    make_endpoint("new")

    with pytest.raises(PromotionRefusedError, match="no longer held by this execution"):
        restore()

    assert endpoints() == {ENDPOINT: "new"}
