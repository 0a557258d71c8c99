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
def test_a_metric_below_the_minimum_fails(value: float, passed: bool) -> None:
    assert passes({"MetricName": "f1", "Minimum": 0.8}, value) is passed


@pytest.mark.parametrize(("value", "passed"), [(0.3, True), (0.1, True), (0.31, False)])
def test_a_metric_above_the_maximum_fails(value: float, passed: bool) -> None:
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
def test_a_metric_can_be_worse_than_the_live_models_by_the_given_difference(
    rule: dict[str, Any], value: float, live_value: float, passed: bool
) -> None:
    assert passes(rule, value, live(**{rule["MetricName"]: live_value})) is passed


@pytest.mark.parametrize(
    ("record", "remark"),
    [
        (None, "because no model is live"),
        (live(loss=1), "because the record of the live model reviews-1 does not have it"),
        ({"model_name": "reviews-1"}, "because the record of the live model reviews-1 does not have it"),
    ],
)
def test_a_missing_live_metric_is_not_compared_and_the_reason_is_given(
    record: PromotionRecord | None, remark: str
) -> None:
    (found,) = check([MORE_IS_BETTER], {"f1": 0.5}, record)

    assert found["passed"]
    assert found["reason"] == f"f1 is 0.5, not compared {remark}"


@pytest.mark.parametrize(
    ("metrics", "note", "words"),
    [
        ({}, "", "it has no metric f1; it has no metrics"),
        ({"loss": 1.0, "auc": 0.5}, "", "it has no metric f1; it has auc, loss"),
        ({"F1": 1.0}, "", 'it has no metric f1 (did you mean "F1"?); it has F1'),
        ({}, "the file could not be read", "it has no metric f1; the file could not be read"),
    ],
)
def test_a_metric_that_the_candidate_lacks_fails(metrics: dict[str, float], note: str, words: str) -> None:
    checks = check([MORE_IS_BETTER], metrics, None, note)

    assert not checks[0]["passed"]
    assert why_failed(checks) == f"The candidate does not pass the quality gate: {words}."


def test_the_reason_contains_all_failures_with_their_numbers() -> None:
    rules = [{"MetricName": "f1", "Minimum": 0.9, "Type": "Maximize", "NotWorseThanLiveBy": 0.01}]
    rules += [{"MetricName": "auc", "Minimum": 0.1}, {"MetricName": "loss", "Maximum": 0.2}]

    reason = why_failed(check(rules, {"f1": 0.8, "auc": 0.5, "loss": 0.25}, live(f1=0.95)))

    assert reason == (
        "The candidate does not pass the quality gate: f1 is 0.8, but the minimum is 0.9 and the live model reviews-1 "
        "has 0.95, and the maximum difference is 0.01; loss is 0.25, but the maximum is 0.2."
    )


def test_without_rules_everything_passes() -> None:
    assert why_failed(check([], {}, None)) is None


def test_a_check_can_be_repeated_on_its_own_result() -> None:
    first = check([MORE_IS_BETTER], {"f1": 0.9}, live(f1=0.8))

    again = check(first, {"f1": 0.9}, live(f1=0.95))

    assert first[0]["passed"]
    assert not again[0]["passed"]
    assert again[0].keys() == first[0].keys()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({}, "QualityGate must be a list of at least one rule"),
        ([], "QualityGate must be a list of at least one rule"),
        (["f1"], r"QualityGate\[0\] is not an object"),
        ([{"MetricName": "f1", "Minimum": 1}, {"Minimum": 1}], r"QualityGate\[1\] has no valid MetricName"),
        ([{"MetricName": "", "Minimum": 1}], "has no valid MetricName"),
        (
            [{"MetricName": "f1", "minimum": 1}],
            r"unknown key 'minimum' \(did you mean \"Minimum\"\?\); valid keys are Maximum, Metric",
        ),
        ([{"MetricName": "f1"}], "has no limit"),
        ([{"MetricName": "f1", "Minimum": "0.9"}], "has a Minimum that is not a number"),
        ([{"MetricName": "f1", "Maximum": True}], "has a Maximum that is not a number"),
        ([{"MetricName": "f1", "Minimum": 2, "Maximum": 1}], "no model can satisfy"),
        ([{"MetricName": "f1", "NotWorseThanLiveBy": 0.1}], "must have both Type .* and NotWorseThanLiveBy"),
        ([{"MetricName": "f1", "Minimum": 1, "Type": "Maximize"}], "must have both Type .* and NotWorseThanLiveBy"),
        ([MORE_IS_BETTER | {"Type": "Higher"}], "has the Type 'Higher'; it must be Maximize or Minimize"),
        ([MORE_IS_BETTER | {"NotWorseThanLiveBy": -1}], "has a negative NotWorseThanLiveBy"),
    ],
)
def test_an_invalid_rule_is_refused_with_its_place(rules: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        validated(rules, "QualityGate")


def test_a_rule_can_have_all_members() -> None:
    rules = [MORE_IS_BETTER | {"Minimum": 0.5, "Maximum": 1}]

    assert validated(rules, "QualityGate") == rules
