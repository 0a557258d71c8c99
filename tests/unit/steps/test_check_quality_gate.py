import json
from typing import Any

from steps import check_quality_gate
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import NAME, put

PROMOTION = {"endpoint": "reviews-qa", "digest": "new", "by_event": True, "metrics": {"f1": 0.8}}
BETTER = {"MetricName": "f1", "Type": "Maximize", "NotWorseThanLiveBy": 0}


def check(**promotion: Any) -> dict[str, Any]:
    settings = json.dumps({"QualityGate": [BETTER]})
    event = {"promotion": PROMOTION | promotion, "settings": settings, "metrics_note": "", "table": NAME}
    return check_quality_gate.handler(event, CONTEXT)


def make_live(dynamodb: Any, f1: float) -> None:
    record = {"digest": "live", "model_name": "live-model", "metrics": {"f1": f1}}
    put("live", "reviews-qa", promotion=json.dumps(record))


def test_a_candidate_is_compared_with_the_live_model(dynamodb: Any) -> None:
    make_live(dynamodb, 0.9)

    checked = check()

    assert not checked["passed"]
    assert "f1 is 0.8" in checked["reason"]
    assert checked["promotion"]["quality_gate"][0]["live_value"] == 0.9


def test_a_candidate_passes_if_no_model_is_live(dynamodb: Any) -> None:
    assert check()["passed"]


def test_a_duplicate_event_of_the_live_model_passes_any_quality_gate(dynamodb: Any) -> None:
    make_live(dynamodb, 0.9)

    checked = check(digest="live")

    assert checked["passed"]
    assert checked["promotion"]["quality_gate"] == []
