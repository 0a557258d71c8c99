"""Which earlier promotion an endpoint goes back to."""

import json
from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.history.rollback import duplicate_delivery_reason, earlier, resolve
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source.request import RollBack
from tests.support.promotion_table import FIRST, PROMOTION, SECOND, put
from tests.support.s3_faults import not_found


def record(model: str, status: str = "Succeeded") -> PromotionRecord:
    return {"model_name": model, "endpoint_config_name": f"{model}-config", "status": status}


def test_it_goes_back_to_the_last_good_promotion_before_the_live_one() -> None:
    history = [record("first"), record("second"), record("bad", "Failed"), record("third")]

    assert earlier(history, record("third"), "reviews-qa", None)["model_name"] == "second"


def test_after_a_rollback_it_goes_back_to_what_was_already_superseded() -> None:
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
def test_without_a_rollback_step_it_says_what_there_is(
    history: list[PromotionRecord], live: PromotionRecord | None, to: str | None, words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        earlier(history, live, "reviews-qa", to)


def of(candidate: str, settings: str, status: str = "Succeeded") -> PromotionRecord:
    """The record of a candidate that was promoted with some settings."""
    name = f"{candidate}-{settings}"
    return {
        "model_name": name,
        "endpoint_config_name": name,
        "status": status,
        "endpoint": "reviews-qa",
        "digest": candidate,
        "created_at": f"time of {candidate}",
    }


HISTORY = [of("first", "old"), of("bad", "old", "Failed"), of("second", "old")]


@pytest.mark.parametrize(
    ("promotion", "words"),
    [
        (of("first", "old"), "first-old was live before and was replaced"),
        (of("first", "new"), "first-new was live before and was replaced"),
        (of("second", "old"), "second-old was brought onto reviews-qa before"),
        (of("second", "new"), "an event does not bring settings that have changed"),
        # Only the config says so of one whose image is now looked up in another way.
        (of("second", "old") | {"digest": "another"}, "second-old was brought onto"),
    ],
)
def test_an_event_of_what_was_already_superseded_brings_nothing_whatever_the_settings_are_now(
    promotion: PromotionRecord, words: str
) -> None:
    assert words in (duplicate_delivery_reason(HISTORY, promotion) or "")


@pytest.mark.parametrize(
    "promotion",
    [
        of("bad", "old"),
        of("third", "old"),
        # The same content, trained anew.
        of("first", "old") | {"created_at": "later", "endpoint_config_name": "first-later"},
    ],
)
def test_an_event_of_what_was_never_live_for_good_is_a_new_one(promotion: PromotionRecord) -> None:
    assert duplicate_delivery_reason(HISTORY, promotion) is None


class SageMaker:
    """Knows these endpoint configs."""

    def __init__(self, *configs: str) -> None:
        self.configs = configs

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        if EndpointConfigName not in self.configs:
            raise not_found("endpoint-configuration", EndpointConfigName)
        return {"EndpointConfigName": EndpointConfigName}


def promoted(number: int) -> dict[str, Any]:
    """Prepare promotion record of a promotion, which is live until the next one."""
    found = {
        **PROMOTION,
        "execution": FIRST,
        "model_name": f"m{number}",
        "endpoint_config_name": f"c{number}",
        "digest": f"d{number}",
        "approved_by": "somebody",
        "status": "Succeeded",
        "reason": "",
        "ended_at": f"2026-01-0{number}T00:00:00Z",
        "deployment_config": {"AutoRollbackConfiguration": {}},
        "changing": True,
        "by_event": True,
    }
    put("history#reviews-qa", f"{found['ended_at']}#first", promotion=json.dumps(found))
    put("live", "reviews-qa", promotion=json.dumps(found))
    return found


def resolved(table: PromotionTable, sagemaker: SageMaker, *, is_preview: bool = False) -> dict[str, Any]:
    asked = RollBack("reviews-qa", None)
    return resolve(
        table,
        sagemaker,
        None,
        asked,
        execution=SECOND,
        started_at="2026-02-01T00:00:00Z",
        now=0.0,
        is_preview=is_preview,
    )


def test_a_rollback_restores_the_candidate_and_the_approval_of_the_earlier_promotion(table: PromotionTable) -> None:
    first, _ = promoted(1), promoted(2)

    found = resolved(table, SageMaker("c1", "c2"))

    of_the_promotion = {"status", "reason", "ended_at", "deployment_config", "changing"}
    assert found["outcome"] == "rollback"
    assert found["promotion"] == {key: value for key, value in first.items() if key not in of_the_promotion} | {
        "execution": SECOND,
        "source_kind": "rollback",
        "source_name": FIRST,
        "started_at": "2026-02-01T00:00:00Z",
        "by_event": False,
    }


def test_a_rollback_claims_what_it_restores_and_a_preview_does_not(table: PromotionTable) -> None:
    promoted(1)
    promoted(2)

    resolved(table, SageMaker("c1", "c2"), is_preview=True)
    assert not list(table.query("use"))
    resolved(table, SageMaker("c1", "c2"))
    assert [(item["key"], item["digest"]) for item in table.query("use")] == [(f"reviews-qa#{SECOND}", "d1")]


def test_a_rollback_to_what_retention_has_removed_is_refused(table: PromotionTable) -> None:
    promoted(1)
    promoted(2)

    with pytest.raises(
        InvalidRequestError, match=r"cannot go back to m1: its endpoint config c1 is not there any more"
    ):
        resolved(table, SageMaker("c2"))
