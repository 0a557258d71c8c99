from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord
from promotion.source.quality_gate import check, validated, why_failed

MORE_IS_BETTER = {"MetricName": "f1", "Type": "Maximize", "NotWorseThanLiveBy": 0.02}
LESS_IS_BETTER = {"MetricName": "loss", "Type": "Minimize", "NotWorseThanLiveBy": 0.02}


def live(**metrics: float) -> PromotionRecord:
    return {"model_name": "reviews-1", "metrics": metrics}


def passes(rule: dict[str, Any], value: float, record: PromotionRecord | None = None) -> bool:
    return bool(check([rule], {rule["MetricName"]: value}, record)[0]["passed"])


@pytest.mark.parametrize(("value", "passed"), [(0.8, True), (0.9, True), (0.79, False)])
def test_a_metric_may_not_be_below_the_minimum(value: float, passed: bool) -> None:
    assert passes({"MetricName": "f1", "Minimum": 0.8}, value) is passed


@pytest.mark.parametrize(("value", "passed"), [(0.3, True), (0.1, True), (0.31, False)])
def test_a_metric_may_not_be_above_the_maximum(value: float, passed: bool) -> None:
    assert passes({"MetricName": "loss", "Maximum": 0.3}, value) is passed


@pytest.mark.parametrize(
    ("rule", "value", "live_value", "passed"),
    [
        # 0.92 - 0.9 is 0.020000000000000018.
        (MORE_IS_BETTER, 0.90, 0.92, True),
        (MORE_IS_BETTER, 0.89, 0.92, False),
        (MORE_IS_BETTER, 0.99, 0.92, True),
        (LESS_IS_BETTER, 0.12, 0.10, True),
        (LESS_IS_BETTER, 0.13, 0.10, False),
        (LESS_IS_BETTER, 0.01, 0.10, True),
        (MORE_IS_BETTER | {"NotWorseThanLiveBy": 0}, 0.9199999, 0.92, False),
        (MORE_IS_BETTER | {"NotWorseThanLiveBy": 0}, 0.92, 0.92, True),
    ],
)
def test_a_metric_may_be_worse_than_the_live_models_by_so_much(
    rule: dict[str, Any], value: float, live_value: float, passed: bool
) -> None:
    assert passes(rule, value, live(**{rule["MetricName"]: live_value})) is passed


@pytest.mark.parametrize(
    ("record", "remark"),
    [
        (None, "since nothing is live"),
        (live(loss=1), "since reviews-1, which is live, has none on record"),
        ({"model_name": "reviews-1"}, "since reviews-1, which is live, has none on record"),
    ],
)
def test_what_is_not_on_record_is_not_compared_with_and_that_is_said(
    record: PromotionRecord | None, remark: str
) -> None:
    (found,) = check([MORE_IS_BETTER], {"f1": 0.5}, record)

    assert found["passed"]
    assert found["reason"] == f"f1 is 0.5, not compared, {remark}"


@pytest.mark.parametrize(
    ("metrics", "note", "words"),
    [
        ({}, "", "f1 is not among its metrics; it has none at all"),
        ({"loss": 1.0, "auc": 0.5}, "", "f1 is not among its metrics; it has auc, loss"),
        ({}, "the file could not be read", "f1 is not among its metrics (the file could not be read)"),
    ],
)
def test_a_metric_that_the_candidate_does_not_have_fails(metrics: dict[str, float], note: str, words: str) -> None:
    checks = check([MORE_IS_BETTER], metrics, None, note)

    assert not checks[0]["passed"]
    assert why_failed(checks) == f"It does not pass the quality gate: {words}."


def test_all_that_fails_is_told_with_its_numbers() -> None:
    rules = [{"MetricName": "f1", "Minimum": 0.9, "Type": "Maximize", "NotWorseThanLiveBy": 0.01}]
    rules += [{"MetricName": "auc", "Minimum": 0.1}, {"MetricName": "loss", "Maximum": 0.2}]

    reason = why_failed(check(rules, {"f1": 0.8, "auc": 0.5, "loss": 0.25}, live(f1=0.95)))

    assert reason == (
        "It does not pass the quality gate: f1 is 0.8, but the least is 0.9 and reviews-1, which is live, has 0.95, "
        "and it may be worse by 0.01 at most; loss is 0.25, but the most is 0.2."
    )


def test_without_rules_everything_passes() -> None:
    assert why_failed(check([], {}, None)) is None


def test_a_check_can_be_made_again_of_what_it_has_found() -> None:
    first = check([MORE_IS_BETTER], {"f1": 0.9}, live(f1=0.8))

    again = check(first, {"f1": 0.9}, live(f1=0.95))

    assert first[0]["passed"]
    assert not again[0]["passed"]
    assert again[0].keys() == first[0].keys()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({}, "QualityGate has to be a list of at least one rule"),
        ([], "QualityGate has to be a list of at least one rule"),
        (["f1"], r"QualityGate\[0\] is not an object"),
        ([{"MetricName": "f1", "Minimum": 1}, {"Minimum": 1}], r"QualityGate\[1\] names no metric in MetricName"),
        ([{"MetricName": "", "Minimum": 1}], "names no metric"),
        ([{"MetricName": "f1", "minimum": 1}], "unknown key 'minimum'; known are Maximum, MetricName, Minimum"),
        ([{"MetricName": "f1"}], "asks for nothing"),
        ([{"MetricName": "f1", "Minimum": "0.9"}], "has a Minimum that is no number"),
        ([{"MetricName": "f1", "Maximum": True}], "has a Maximum that is no number"),
        ([{"MetricName": "f1", "Minimum": 2, "Maximum": 1}], "no model can meet"),
        ([{"MetricName": "f1", "NotWorseThanLiveBy": 0.1}], "Type .* and NotWorseThanLiveBy together"),
        ([{"MetricName": "f1", "Minimum": 1, "Type": "Maximize"}], "Type .* and NotWorseThanLiveBy together"),
        ([MORE_IS_BETTER | {"Type": "Higher"}], "has the Type 'Higher'; it is Maximize or Minimize"),
        ([MORE_IS_BETTER | {"NotWorseThanLiveBy": -1}], "has a negative NotWorseThanLiveBy"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_its_place(rules: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        validated(rules, "QualityGate")


def test_a_rule_may_have_everything() -> None:
    rules = [MORE_IS_BETTER | {"Minimum": 0.5, "Maximum": 1}]

    assert validated(rules, "QualityGate") == rules
