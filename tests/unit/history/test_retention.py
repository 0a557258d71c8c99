from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.history.claims import Use
from promotion.history.lock import Holder
from promotion.history.retention import Kept, Made, Superseded, Survey, kept, superseded, unprotected, validated
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


def test_the_newest_good_promotions_stay() -> None:
    stays = kept(HISTORY, HISTORY[-1], None, [], 2)

    assert stays.names == names("third", "fourth")
    assert stays.digests == {"third-digest", "fourth-digest"}


def test_a_failed_promotion_does_not_count_as_one_of_them() -> None:
    history = [*HISTORY, record("bad", "Failed"), record("worse", "RollbackFailed")]

    assert kept(history, HISTORY[-1], None, [], 2).names == names("third", "fourth")


def test_one_that_was_gone_back_to_is_as_new_as_its_last_time() -> None:
    history = [*HISTORY, record("second")]

    assert kept(history, record("second"), None, [], 2).names == names("fourth", "second")


def test_the_same_promotion_twice_counts_once() -> None:
    history = [*HISTORY, record("third"), record("fourth"), record("third"), record("fourth")]

    assert kept(history, record("fourth"), None, [], 3).names == names("second", "third", "fourth")


def test_what_is_about_to_be_live_counts_as_the_newest() -> None:
    assert kept(HISTORY, record("fifth"), None, [], 2).names == names("fourth", "fifth")


def test_what_an_interrupted_promotion_is_brought_back_to_stays() -> None:
    promotion = record("fifth") | {"previous_endpoint_config_name": "first-config"}

    stays = kept(HISTORY, HISTORY[-1], Holder("execution", 1, promotion), [], 2)

    assert stays.names == names("third", "fourth") | {"first-config"}
    assert stays.used_digests == {"fifth-digest"}


def test_what_was_already_superseded_a_good_promotion_is_no_rollback_step_any_more() -> None:
    history = [*HISTORY[:3], record("fourth") | {"previous_endpoint_config_name": "first-config"}]

    assert "first-config" not in kept(history, history[-1], None, [], 2).names


def test_all_that_belongs_to_a_digest_in_use_stays() -> None:
    stays = kept(HISTORY, HISTORY[-1], None, [Use("execution", "first-digest")], 2)
    survey = Survey([Made("a-config", "first-digest")], [Made("a-model", "first-digest")], {"first-digest"})

    assert not unprotected(survey, stays)


# Two promotions of the same digest with different settings, and one of another digest.
SURVEY = Survey(
    configs=[Made("old-config", "d1"), Made("new-config", "d1"), Made("other-config", "d2")],
    models=[Made("old-model", "d1"), Made("new-model", "d1"), Made("other-model", "d2")],
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


def test_what_nobody_needs_goes() -> None:
    gone = superseded(SURVEY, NEW, BUCKET)

    assert gone == Superseded(["old-config", "other-config"], ["old-model", "other-model"], ["d2", "d3"])


def test_a_config_that_an_endpoint_has_stays_with_its_model_and_artifacts() -> None:
    gone = superseded(changed(configs_in_use={"other-config"}), NEW, BUCKET)

    assert gone == Superseded(["old-config"], ["old-model"], ["d3"])


def test_a_model_that_somebody_elses_config_names_stays_with_its_artifacts() -> None:
    configs = SURVEY.models_of_configs | {"of-a-colleague": {"other-model", "theirs"}}

    gone = superseded(changed(models_of_configs=configs), NEW, BUCKET)

    assert gone == Superseded(["old-config", "other-config"], ["old-model"], ["d3"])


@pytest.mark.parametrize(
    ("uri", "goes"),
    [
        (f"{BUCKET}/d3/0/ModelDataUrl/model.tar.gz", ["d2"]),
        (f"{BUCKET}/d3/", ["d2"]),
        (f"{BUCKET}/", []),
        ("s3://stage/", []),
        (f"{BUCKET}/d30/model.tar.gz", ["d2", "d3"]),
        ("s3://stage2/models/reviews/d3/model.tar.gz", ["d2", "d3"]),
    ],
)
def test_artifacts_that_somebody_elses_model_is_made_of_stay(uri: str, goes: list[str]) -> None:
    models = SURVEY.uris_of_models | {"of-a-colleague": {uri}}

    assert superseded(changed(uris_of_models=models), NEW, BUCKET).digests == goes


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"Keep": 1}, "Retention.Keep is '1'; it is a whole number from 2"),
        ({"Keep": 1001}, "to 1000"),
        ({"Keep": 2.5}, "whole number"),
        ({"Keep": True}, "whole number"),
        ({"Keep": "5"}, "whole number"),
        ({}, 'has to be an object like {"Keep": 5}'),
        ({"Keep": 5, "Days": 3}, "has to be an object"),
        (5, "has to be an object"),
    ],
)
def test_a_setting_that_would_leave_no_rollback_step_or_is_no_number_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        validated(value, "Retention")
