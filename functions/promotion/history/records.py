"""The promotion records of an endpoint: the live one and the history; and the live ones that are not published yet."""

from __future__ import annotations

import json

from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord


def live(table: PromotionTable, endpoint: str) -> PromotionRecord | None:
    """Return the record of the live promotion of `endpoint`, if any."""
    item = table.get("live", endpoint)
    return json.loads(item["promotion"]) if item else None


def live_endpoints(table: PromotionTable) -> list[str]:
    """Return the names of the endpoints with a live record."""
    return [item["key"] for item in table.query("live")]


def history(table: PromotionTable, endpoint: str) -> list[PromotionRecord]:
    """Return the records of all promotions that held the lock of `endpoint`, oldest first."""
    return [json.loads(item["promotion"]) for item in table.query(f"history#{endpoint}")]


def newest(table: PromotionTable, endpoint: str, number: int) -> list[PromotionRecord]:
    """Return the newest `number` records of `history`, oldest first."""
    items = list(table.query(f"history#{endpoint}", newest=number))
    return [json.loads(item["promotion"]) for item in reversed(items)]


def unpublished(table: PromotionTable) -> list[PromotionRecord]:
    """Return the live records whose event may not have been published; their executions may still publish it."""
    items = table.query("live", where="published = :no AND attribute_not_exists(published_late)", no=False)
    return [json.loads(item["promotion"]) for item in items]


def record_late_publication(table: PromotionTable, record: PromotionRecord) -> None:
    """Record that the event of a live record was published for its execution, unless the record was replaced."""
    condition, execution = "execution = :execution", record["execution"]
    table.update("live", record["endpoint"], "SET published_late = :yes", condition, yes=True, execution=execution)


def is_interrupted(table: PromotionTable, endpoint: str) -> bool:
    """Return whether the execution of the live record ended before it published its event.

    The next stage accepts only the promotion of an execution that succeeded, so that it must be repeated.
    """
    item = table.get("live", endpoint)
    return item is not None and item.get("published") is False
