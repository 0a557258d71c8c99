"""The promotion records of an endpoint: the live one and the history; and the live ones that are not published yet."""

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


def unpublished(table: PromotionTable) -> list[PromotionRecord]:
    """Return the live records whose event may not have been published; their executions may still publish it."""
    return [json.loads(item["promotion"]) for item in table.query("live", where="published = :no", no=False)]


def record_publication(table: PromotionTable, record: PromotionRecord) -> None:
    """Record that the event of a live record was published, unless another promotion has replaced the record."""
    table.update(
        "live",
        record["endpoint"],
        "SET published = :yes",
        "execution = :execution",
        yes=True,
        execution=record["execution"],
    )
