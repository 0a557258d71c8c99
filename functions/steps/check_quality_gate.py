"""Hold the candidate's metrics against the application's quality gate, and against what is live."""

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
    record: PromotionRecord = event["promotion"]
    live = records.live(PromotionTable(client("dynamodb"), event["table"]), record["endpoint"])
    # An event that comes again is for what is live already, whatever the gate asks for by now.
    comes_again = record["by_event"] and live is not None and live["digest"] == record["digest"]
    rules = [] if comes_again else json.loads(event["settings"]).get("QualityGate", [])
    checks = quality_gate.check(rules, record["metrics"], live, event["metrics_note"])
    reason = quality_gate.why_failed(checks)
    logger.info("Quality gate checked", passed=reason is None, checks=checks)
    return {"passed": reason is None, "reason": reason or "", "promotion": record | {"quality_gate": checks}}
