"""Hold the candidate's metrics against the application's quality gate, and against what is live."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.history import records
from promotion.history.table import PromotionTable
from promotion.source import quality_gate
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, plan = event["promotion"], event["plan"]
    live = records.live(PromotionTable(client("dynamodb"), event["table"]), promotion["endpoint"])
    # An event that comes again is for what is live already, whatever the gate asks for by now.
    comes_again = promotion["by_event"] and live is not None and live["digest"] == promotion["digest"]
    rules = [] if comes_again else plan["quality_gate"]
    checks = quality_gate.check(rules, promotion["metrics"], live, plan["metrics_note"])
    reason = quality_gate.why_failed(checks)
    logger.info("Quality gate checked", passed=reason is None, checks=checks)
    return {"passed": reason is None, "reason": reason or "", "promotion": promotion | {"quality_gate": checks}}
