"""The promotion records of an endpoint: the live one and the history."""

from __future__ import annotations

import json

from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord


def live(table: PromotionTable, endpoint: str) -> PromotionRecord | None:
    """Return the record of the live promotion of `endpoint`, if any."""
    item = table.get("live", endpoint)
    return json.loads(item["promotion"]) if item else None


def history(table: PromotionTable, endpoint: str) -> list[PromotionRecord]:
    """Return the records of all promotions that held the lock of `endpoint`, oldest first."""
    return [json.loads(item["promotion"]) for item in table.query(f"history#{endpoint}")]
