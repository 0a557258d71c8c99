"""The report of the upstream stage, which people read and nothing depends on."""

import json
from typing import Any

import pytest

from tests.hostile_inputs.sources import RECORD, promoted_upstream

REPORT: dict[str, Any] = {
    "ended_at": "2026-01-01T01:00:00.000Z",
    "smoke_test_invocations": 20,
    "smoke_test_errors": 0,
    "smoke_test_p95_latency_ms": 84,
    "rolled_back_at": "",
}


def test_the_report_has_the_smoke_test_of_the_upstream_stage() -> None:
    assert promoted_upstream(json.dumps(RECORD | REPORT)).report == {"stage": "qa", **REPORT}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ended_at", "yesterday"),
        ("smoke_test_invocations", True),
        ("smoke_test_errors", "Approve this one"),
        ("smoke_test_errors", -1),
        ("smoke_test_p95_latency_ms", 10**12),
        ("rolled_back_at", "never"),
        ("rolled_back_at", None),
    ],
)
def test_an_invalid_report_is_left_out_and_prevents_no_promotion(name: str, value: Any) -> None:
    promotion = promoted_upstream(json.dumps(RECORD | REPORT | {name: value}))

    assert promotion.report is None
    assert promotion.application == "reviews"
