from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.history.claims import Use
from promotion.history.lock import Holder
from promotion.history.retention import Kept, OwnResource, Superseded, Survey, kept, superseded, unprotected, validated
from promotion.record import PromotionRecord

BUCKET = "s3://stage/models/reviews"


def record(name: str, status: str = "Succeeded") -> PromotionRecord:
    return {
        "status": status,
        "endpoint_config_name": f"{name}-config",
        "model_name": f"{name}-model",
        "digest": f"{name}-digest",
    }


def names(*records: str) -> set[str]:
    return {f"{name}-{what}" for name in records for what in ("config", "model")}


HISTORY = [record(name) for name in ("first", "second", "third", "fourth")]


def test_the_newest_successful_promotions_are_kept() -> None:
    keep = kept(HISTORY, HISTORY[-1], None, [], 2)

    assert keep.names == names("third", "fourth")
    assert keep.digests == {"third-digest", "fourth-digest"}


def test_a_failed_promotion_does_not_count() -> None:
    history = [*HISTORY, record("bad", "Failed"), record("worse", "RollbackFailed")]

    assert kept(history, HISTORY[-1], None, [], 2).names == names("third", "fourth")


def test_a_promotion_that_was_rolled_back_to_counts_from_the_rollback() -> None:
    history = [*HISTORY, record("second")]

    assert kept(history, record("second"), None, [], 2).names == names("fourth", "second")


def test_a_repeated_promotion_counts_once() -> None:
    history = [*HISTORY, record("third"), record("fourth"), record("third"), record("fourth")]

    assert kept(history, record("fourth"), None, [], 3).names == names("second", "third", "fourth")


def test_a_promotion_that_would_be_live_counts_as_the_newest() -> None:
    assert kept(HISTORY, record("fifth"), None, [], 2).names == names("fourth", "fifth")


def test_the_config_that_a_recovery_restores_is_kept() -> None:
    promotion = record("fifth") | {"previous_endpoint_config_name": "first-config"}

    keep = kept(HISTORY, HISTORY[-1], Holder("execution", 1, promotion), [], 2)

    assert keep.names == names("third", "fourth") | {"first-config"}
    assert keep.used_digests == {"fifth-digest"}


def test_the_config_of_the_endpoint_that_a_recovery_of_a_component_restores_is_kept() -> None:
    promotion = record("fifth") | PromotionRecord(
        previous_endpoint_config_name="second-config", previous_component={"endpoint_config": "first-config"}
    )

    keep = kept(HISTORY, HISTORY[-1], Holder("execution", 1, promotion), [], 2)

    assert keep.names == names("third", "fourth") | {"first-config", "second-config"}


def test_the_previous_config_of_a_successful_promotion_is_not_kept() -> None:
    history = [*HISTORY[:3], record("fourth") | {"previous_endpoint_config_name": "first-config"}]

    assert "first-config" not in kept(history, history[-1], None, [], 2).names


def test_all_resources_of_a_digest_in_use_are_kept() -> None:
    keep = kept(HISTORY, HISTORY[-1], None, [Use("execution", "first-digest")], 2)
    survey = Survey(
        [OwnResource("a-config", "first-digest")], [OwnResource("a-model", "first-digest")], {"first-digest"}
    )

    assert not unprotected(survey, keep)


# Two promotions of the same digest with different settings, and one of another digest.
SURVEY = Survey(
    configs=[OwnResource("old-config", "d1"), OwnResource("new-config", "d1"), OwnResource("other-config", "d2")],
    models=[OwnResource("old-model", "d1"), OwnResource("new-model", "d1"), OwnResource("other-model", "d2")],
    digests={"d1", "d2", "d3"},
    models_of_configs={
        "old-config": {"old-model"},
        "new-config": {"new-model"},
        "other-config": {"other-model"},
    },
    uris_of_models={
        "old-model": {f"{BUCKET}/d1/0/ModelDataUrl/model.tar.gz"},
        "new-model": {f"{BUCKET}/d1/0/ModelDataUrl/model.tar.gz"},
        "other-model": {f"{BUCKET}/d2/0/ModelDataUrl/model.tar.gz"},
    },
)
NEW = Kept(frozenset({"new-config", "new-model"}), frozenset({"d1"}), frozenset())


def changed(**changes: Any) -> Survey:
    return Survey(**{**vars(SURVEY), **changes})


def test_superseded_resources_are_removed() -> None:
    removed = superseded(SURVEY, NEW, BUCKET)

    assert removed == Superseded(["old-config", "other-config"], ["old-model", "other-model"], ["d2", "d3"])


def test_a_config_of_an_endpoint_is_kept_with_its_model_and_artifacts() -> None:
    removed = superseded(changed(configs_in_use={"other-config"}), NEW, BUCKET)

    assert removed == Superseded(["old-config"], ["old-model"], ["d3"])


def test_a_model_of_another_owners_config_is_kept_with_its_artifacts() -> None:
    configs = SURVEY.models_of_configs | {"of-a-colleague": {"other-model", "theirs"}}

    removed = superseded(changed(models_of_configs=configs), NEW, BUCKET)

    assert removed == Superseded(["old-config", "other-config"], ["old-model"], ["d3"])


@pytest.mark.parametrize(
    ("uri", "removed"),
    [
        (f"{BUCKET}/d3/0/ModelDataUrl/model.tar.gz", ["d2"]),
        (f"{BUCKET}/d3/", ["d2"]),
        (f"{BUCKET}/", []),
        ("s3://stage/", []),
        (f"{BUCKET}/d30/model.tar.gz", ["d2", "d3"]),
        ("s3://stage2/models/reviews/d3/model.tar.gz", ["d2", "d3"]),
    ],
)
def test_artifacts_of_another_owners_model_are_kept(uri: str, removed: list[str]) -> None:
    models = SURVEY.uris_of_models | {"of-a-colleague": {uri}}

    assert superseded(changed(uris_of_models=models), NEW, BUCKET).digests == removed


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Keep": 1}, "Retention.Keep is '1'. It must be an integer from 2"),
        ({"Keep": 1001}, "to 1000"),
        ({"Keep": 2.5}, "must be an integer"),
        ({"Keep": True}, "must be an integer"),
        ({"Keep": "5"}, "must be an integer"),
        ({}, 'must be an object with only the key "Keep"'),
        ({"Keep": 5, "Days": 3}, "must be an object"),
        (5, "must be an object"),
    ],
)
def test_a_setting_other_than_an_integer_from_2_to_1000_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        validated(value, "Retention")
