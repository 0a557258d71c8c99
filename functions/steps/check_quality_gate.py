"""Compare the candidate's metrics with the application's quality gate and with the live model."""

from __future__ import annotations

import json
from typing import Any

from promotion.aws.clients import client
from promotion.history import records
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source import quality_gate
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return whether the quality gate `passed`, the `reason` if not, and the record with the checks."""
    record: PromotionRecord = event["promotion"]
    live = records.live(PromotionTable(client("dynamodb"), event["table"]), record["endpoint"])
    # A duplicate delivery of the live model's event passes, even if the quality gate has become stricter since.
    is_duplicate = record["by_event"] and live is not None and live["digest"] == record["digest"]
    rules = [] if is_duplicate else json.loads(event["settings"]).get("QualityGate", [])
    checks = quality_gate.check(rules, record["metrics"], live, event["metrics_note"])
    reason = quality_gate.why_failed(checks)
    logger.info("Quality gate checked", passed=reason is None, checks=checks)
    return {"passed": reason is None, "reason": reason or "", "promotion": record | {"quality_gate": checks}}
