"""Which earlier promotion an endpoint goes back to."""

from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.rollback import earlier, was_live


def record(model: str, status: str = "Succeeded") -> dict[str, Any]:
    return {"model_name": model, "endpoint_config_name": f"{model}-config", "status": status}


def test_it_goes_back_to_the_last_good_promotion_before_the_live_one() -> None:
    history = [record("first"), record("second"), record("bad", "Failed"), record("third")]

    assert earlier(history, record("third"), "reviews-qa", None)["model_name"] == "second"


def test_after_a_rollback_it_goes_back_to_what_was_live_before() -> None:
    history = [record("first"), record("second"), record("first")]

    assert earlier(history, record("first"), "reviews-qa", None)["model_name"] == "second"


def test_a_model_can_be_named() -> None:
    history = [record("first"), record("second"), record("third")]

    assert earlier(history, record("third"), "reviews-qa", "first")["model_name"] == "first"


@pytest.mark.parametrize(
    ("history", "live", "to", "words"),
    [
        ([], None, None, "Nothing was ever promoted to the endpoint reviews-qa"),
        ([record("first")], record("first"), None, "no earlier promotion to go back to"),
        ([record("first")], record("first"), "first", "first is what is live"),
        ([record("first"), record("second")], record("second"), "other", "Models that were live on it before: first."),
        ([record("bad", "Failed"), record("first")], record("first"), None, "before: none."),
    ],
    ids=["nothing", "only-one", "live", "unknown", "only-failures"],
)
def test_without_a_way_back_it_says_what_there_is(
    history: list[dict[str, Any]], live: dict[str, Any] | None, to: str | None, words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        earlier(history, live, "reviews-qa", to)


def test_a_config_was_live_when_it_was_promoted_for_good() -> None:
    history = [record("first"), record("bad", "Failed")]

    assert was_live(history, "first-config")
    assert not was_live(history, "bad-config")
    assert not was_live(history, "second-config")
