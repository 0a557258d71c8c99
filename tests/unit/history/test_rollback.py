"""The promotion that an endpoint is rolled back to, and duplicate deliveries of events."""

import json
from typing import Any

import pytest

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.history.rollback import duplicate_delivery, live_changed_reason, resolve, rollback_target, rolled_back_at
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source.request import RollBack
from tests.support.promotion_table import FIRST, PROMOTION, SECOND, put
from tests.support.s3_faults import not_found


def record(model: str, status: str = "Succeeded") -> PromotionRecord:
    return {"model_name": model, "endpoint_config_name": f"{model}-config", "status": status}


def test_a_rollback_restores_the_last_successful_promotion_before_the_live_one() -> None:
    history = [record("first"), record("second"), record("bad", "Failed"), record("third")]

    assert rollback_target(history, record("third"), "reviews-qa", None)["model_name"] == "second"


def test_a_second_rollback_restores_the_model_before_the_first() -> None:
    history = [record("first"), record("second"), record("first")]

    assert rollback_target(history, record("first"), "reviews-qa", None)["model_name"] == "second"


def test_a_rollback_can_name_a_model() -> None:
    history = [record("first"), record("second"), record("third")]

    assert rollback_target(history, record("third"), "reviews-qa", "first")["model_name"] == "first"


@pytest.mark.parametrize(
    ("history", "live", "to", "message"),
    [
        ([record("first")], record("first"), None, "no earlier promotion to roll back to"),
        ([record("first")], record("first"), "first", "first is already live"),
        ([record("first"), record("second")], record("second"), "other", "model other to .* live earlier: first."),
        ([record("first"), record("second")], record("second"), "frist", 'did you mean "first"'),
        ([record("bad", "Failed"), record("first")], record("first"), None, "live earlier: none."),
    ],
    ids=["only-one", "live", "unknown", "misspelled", "only-failures"],
)
def test_a_rollback_without_a_target_is_refused(
    history: list[PromotionRecord], live: PromotionRecord, to: str | None, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        rollback_target(history, live, "reviews-qa", to)


def ended(digest: str, day: int, status: str = "Succeeded", kind: str = "model", **more: bool) -> Any:
    return {"digest": digest, "status": status, "source_kind": kind, "ended_at": f"2026-01-{day:02}T00:00:00Z", **more}


@pytest.mark.parametrize(
    ("history", "day"),
    [
        ([], 0),
        ([ended("new", 1), ended("old", 2)], 0),
        # It failed after it may have been live, or before.
        ([ended("old", 1), ended("new", 2, "Failed", changing=True)], 2),
        ([ended("old", 1), ended("new", 2, "Failed")], 0),
        # It was live, and operators have rolled back from it; or another one was.
        ([ended("old", 1), ended("new", 2), ended("old", 3, kind="rollback")], 3),
        ([ended("new", 1), ended("old", 2), ended("new", 3, kind="rollback")], 0),
        (
            [
                ended("old", 1),
                ended("new", 2),
                ended("bad", 3, "Failed", changing=True),
                ended("old", 4, kind="rollback"),
            ],
            4,
        ),
        # It has become live again since.
        ([ended("old", 1), ended("new", 2), ended("old", 3, kind="rollback"), ended("new", 4)], 3),
    ],
)
def test_the_last_rollback_from_a_candidate_is_found(history: list[PromotionRecord], day: int) -> None:
    assert rolled_back_at(history, "new") == (f"2026-01-{day:02}T00:00:00Z" if day else "")


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
    ("promotion", "message"),
    [
        (of("first", "old"), "first-old was live earlier and was superseded"),
        (of("first", "new"), "first-new was live earlier and was superseded"),
        (of("second", "old"), "second-old was already deployed to the endpoint reviews-qa"),
        (of("second", "new"), "even if the settings or the endpoint have changed"),
        # A changed image digest changes the digest of the candidate, but not the endpoint config.
        (of("second", "old") | {"digest": "another"}, "second-old was already deployed"),
    ],
)
def test_an_event_of_an_earlier_promotion_is_a_duplicate_even_with_other_settings(
    promotion: PromotionRecord, message: str
) -> None:
    outcome, reason = duplicate_delivery(HISTORY, promotion) or ("", "")

    assert outcome == "already_superseded"
    assert message in reason


@pytest.mark.parametrize(
    "promotion",
    [
        of("bad", "old"),
        of("third", "old"),
        # The same content, trained again.
        of("first", "old") | {"created_at": "later", "endpoint_config_name": "first-later"},
    ],
)
def test_an_event_of_a_candidate_that_was_never_live_is_not_a_duplicate(promotion: PromotionRecord) -> None:
    assert duplicate_delivery(HISTORY, promotion) is None


FAILED: PromotionRecord = of("bad", "old", "Failed") | {"ended_at": "2026-01-02T00:00:00Z", "reason": "It was wrong."}


@pytest.mark.parametrize(
    ("history", "ignored"),
    [
        ([FAILED | {"error": "SmokeTestFailed"}], True),
        ([FAILED | {"error": "DeploymentFailed"}], True),
        ([FAILED | {"error": "SmokeTestFailed"}, of("other", "old")], True),
        ([FAILED | {"error": "TransientError"}], False),
        ([FAILED], False),
        # It was started manually since.
        ([FAILED | {"error": "SmokeTestFailed"}, FAILED | {"error": "Interrupted"}], False),
        # The settings have changed since.
        ([FAILED | {"error": "SmokeTestFailed", "endpoint_config_name": "bad-older"}], False),
    ],
)
def test_an_event_of_a_candidate_that_failed_by_its_own_fault_is_ignored(
    history: list[PromotionRecord], ignored: bool
) -> None:
    found = duplicate_delivery(history, of("bad", "old"))

    assert (found is not None) is ignored
    if found:
        assert found[0] == "already_failed"
        assert "It was wrong. An event does not deploy it again" in found[1]


REQUESTED_AT = "2026-01-02T12:00:00.000Z"


@pytest.mark.parametrize(
    ("ended_at", "changed"),
    [("2026-01-02T11:59:59.999Z", False), (REQUESTED_AT, False), ("2026-01-02T12:00:00.001Z", True)],
)
def test_a_rollback_is_refused_if_another_model_became_live_after_its_request(ended_at: str, changed: bool) -> None:
    live: PromotionRecord = of("newest", "old") | {"ended_at": ended_at}

    reason = live_changed_reason(live, of("first", "old") | {"started_at": REQUESTED_AT})

    assert (reason is not None) is changed
    assert not reason or ("newest-old" in reason and "first-old" in reason)


class SageMaker:
    """A SageMaker with the endpoint configs and models of these promotions."""

    def __init__(self, *numbers: int) -> None:
        self.configs = {config_name(number): model_name(number) for number in numbers}
        self.models = set(self.configs.values())
        names = [*self.configs, *self.models]
        self.tags = {name: {**TAGS, "model-promotion:digest": f"d{name[-1]}"} for name in names}

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if EndpointConfigName not in self.configs:
            raise not_found("endpoint-configuration", EndpointConfigName)
        variants = [{"ModelName": self.configs[EndpointConfigName]}]
        return {"EndpointConfigArn": EndpointConfigName, "ProductionVariants": variants}

    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if ModelName not in self.models:
            raise not_found("model", ModelName)
        return {"ModelArn": ModelName}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, ResourceArn: str) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
        return [{"Tags": [{"Key": key, "Value": value} for key, value in self.tags[ResourceArn].items()]}]


TAGS = {"model-promotion:application": "reviews", "model-promotion:execution": FIRST}


def config_name(number: int) -> str:
    return f"reviews-qa-20260101-0000-0000000{number}"


def model_name(number: int) -> str:
    return f"reviews-qa-20260101-0000-1000000{number}"


def promoted(number: int, **forged: str) -> dict[str, Any]:
    """Write the record of a promotion, with forged values, which is live until the next one."""
    found = {
        **PROMOTION,
        "execution": FIRST,
        "source_kind": "model_package",
        "source_name": f"p{number}",
        "model_name": model_name(number),
        "endpoint_config_name": config_name(number),
        "digest": f"d{number}",
        "approved_by": "somebody",
        "status": "Succeeded",
        "reason": "",
        "ended_at": f"2026-01-0{number}T00:00:00Z",
        "deployment_config": {"AutoRollbackConfiguration": {}},
        "changing": True,
        "by_event": True,
        **forged,
    }
    put("history#reviews-qa", f"{found['ended_at']}#first", promotion=json.dumps(found))
    put("live", "reviews-qa", promotion=json.dumps(found))
    return found


def resolved(
    table: PromotionTable, sagemaker: SageMaker, *, is_preview: bool = False, endpoint: str = "reviews-qa"
) -> dict[str, Any]:
    request = RollBack(endpoint, None)
    return resolve(
        table,
        sagemaker,
        None,
        request,
        stage="qa",
        execution=SECOND,
        started_at="2026-02-01T00:00:00Z",
        now=0.0,
        is_preview=is_preview,
    )


def test_a_rollback_restores_the_candidate_and_the_approval_of_the_earlier_promotion(table: PromotionTable) -> None:
    first, _ = promoted(1), promoted(2)

    found = resolved(table, SageMaker(1, 2))

    not_restored = {"status", "reason", "ended_at", "deployment_config", "changing"}
    assert found["outcome"] == "rollback"
    assert found["promotion"] == {key: value for key, value in first.items() if key not in not_restored} | {
        "execution": SECOND,
        "source_kind": "rollback",
        "source_name": FIRST,
        "original_source_kind": "model_package",
        "original_source_name": "p1",
        "started_at": "2026-02-01T00:00:00Z",
        "by_event": False,
    }


def test_a_rollback_of_a_misspelled_endpoint_suggests_the_right_one(table: PromotionTable) -> None:
    promoted(1)

    with pytest.raises(
        InvalidRequestError, match=r'reviws-qa \(did you mean "reviews-qa"\?\) cannot be rolled back: no'
    ):
        resolved(table, SageMaker(1), endpoint="reviws-qa")


def test_a_rollback_to_a_rollback_keeps_the_original_source(table: PromotionTable) -> None:
    first = promoted(1)
    again = {"source_kind": "rollback", "source_name": SECOND, "endpoint_config_name": config_name(3)}
    again |= {
        "model_name": model_name(3),
        "digest": "d3",
        "original_source_kind": "model_package",
        "original_source_name": "p1",
    }
    put("history#reviews-qa", "2026-01-01T12:00:00Z#first", promotion=json.dumps(first | again))
    promoted(2)

    record = resolved(table, SageMaker(1, 2, 3))["promotion"]

    assert record["endpoint_config_name"] == config_name(3)
    assert (record["original_source_kind"], record["original_source_name"]) == ("model_package", "p1")


def test_a_rollback_claims_its_resources_but_a_preview_does_not(table: PromotionTable) -> None:
    promoted(1)
    promoted(2)

    resolved(table, SageMaker(1, 2), is_preview=True)
    assert not list(table.query("use"))
    resolved(table, SageMaker(1, 2))
    assert [(item["key"], item["digest"]) for item in table.query("use")] == [(f"reviews-qa#{SECOND}", "d1")]


def test_a_rollback_to_a_removed_endpoint_config_is_refused(table: PromotionTable) -> None:
    promoted(1)
    promoted(2)

    message = f"to the model {model_name(1)}: the endpoint config {config_name(1)} no longer exists"
    with pytest.raises(InvalidRequestError, match=message):
        resolved(table, SageMaker(2))


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        ({"application": "churn"}, "it is a record of the application churn"),
        ({"endpoint": "churn-qa"}, "it is a record of the application reviews"),
        (
            {"endpoint_config_name": "churn-qa-20260101-0000-00000003"},
            "the endpoint config churn-qa-20260101-0000-00000003 does not have a name of the application reviews",
        ),
        ({"endpoint_config_name": "reviews-qa-by-hand"}, "config reviews-qa-by-hand does not have a name"),
        ({"model_name": model_name(3)}, f"serves the model {model_name(1)}, not {model_name(3)}"),
        ({"digest": "d3"}, "the tag model-promotion:digest of the endpoint config .* is d1, not d3"),
        ({"endpoint_config_name": config_name(3)}, f"serves the model {model_name(3)}, not {model_name(1)}"),
    ],
)
def test_a_record_that_differs_from_its_resources_is_refused(
    table: PromotionTable, forged: dict[str, str], message: str
) -> None:
    promoted(1, **forged)
    promoted(2)

    with pytest.raises(PromotionRefusedError, match=message):
        resolved(table, SageMaker(1, 2, 3))


@pytest.mark.parametrize(
    ("name", "tag", "value", "message"),
    [
        (config_name(1), "application", "churn", "of the endpoint config .* is churn, not reviews"),
        (model_name(1), "application", "churn", "of the model .* is churn, not reviews"),
        (model_name(1), "digest", "d3", "the tag model-promotion:digest of the model .* is d3, not d1"),
        (model_name(1), "execution", SECOND.replace("-qa:", "-dev:"), "was not created by an execution of this stage"),
    ],
)
def test_resources_with_other_tags_than_their_record_are_refused(
    table: PromotionTable, name: str, tag: str, value: str, message: str
) -> None:
    promoted(1)
    promoted(2)
    sagemaker = SageMaker(1, 2)
    sagemaker.tags[name][f"model-promotion:{tag}"] = value

    with pytest.raises(PromotionRefusedError, match=message):
        resolved(table, sagemaker)


def test_a_rollback_to_a_deleted_model_is_refused(table: PromotionTable) -> None:
    promoted(1)
    promoted(2)
    sagemaker = SageMaker(1, 2)
    sagemaker.models.remove(model_name(1))

    with pytest.raises(PromotionRefusedError, match=f"the model {model_name(1)} does not exist"):
        resolved(table, sagemaker)
