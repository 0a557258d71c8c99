"""The lock of an endpoint: which promotion holds it, and the journal of what that promotion changes."""

from __future__ import annotations

import dataclasses
import datetime
import json

from promotion.endpoint.autoscaling import Target
from promotion.errors import PromotionRefusedError
from promotion.history.table import Item, PromotionTable
from promotion.record import PromotionRecord

RECOVERY_ATTEMPTS = 3
"""How often the recovery of a dead promotion is attempted before manual intervention is required."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """The promotion that holds a lock: the execution that acts for it now, and its record so far."""

    execution: str
    recoveries: int
    record: PromotionRecord

    @property
    def is_abandoned(self) -> bool:
        """Whether its recovery was attempted too often: manual intervention is required."""
        return self.recoveries >= RECOVERY_ATTEMPTS


@dataclasses.dataclass(frozen=True)
class Lock:
    """The lock of an endpoint, since when and by which promotion it is held."""

    endpoint: str
    since: datetime.datetime
    holder: Holder

    def unexplained_seconds(self, now: datetime.datetime) -> float:
        """Return how long it is held beyond the baking period of the holder's deployment."""
        baking: float = self.holder.record.get("baking_seconds", 0)
        return max(0.0, (now - self.since).total_seconds() - baking)


def acquire(table: PromotionTable, execution: str, record: PromotionRecord, now: str) -> bool:
    """Acquire the lock of the endpoint of `record` for `execution`; return False if another execution holds it."""
    return table.put(
        {
            "kind": "lock",
            "key": record["endpoint"],
            "execution": execution,
            "acquired_at": now,
            "promotion": json.dumps(record),
        },
        # The answer to an earlier request of this execution may have been lost.
        "attribute_not_exists(execution) OR execution = :execution",
        execution=execution,
    )


def holder(table: PromotionTable, endpoint: str) -> Holder | None:
    """Return the promotion that holds the lock of `endpoint`, if any."""
    item = table.get("lock", endpoint)
    return _holder(item) if item else None


def holder_with_execution(table: PromotionTable, execution: str) -> Holder | None:
    """Return the promotion that `execution` (an ARN) acts for, if it holds a lock."""
    return next(map(_holder, table.query("lock", where="execution = :execution", execution=execution)), None)


def all_held(table: PromotionTable) -> list[Lock]:
    """Return the locks that are held."""
    return [
        Lock(item["key"], datetime.datetime.fromisoformat(item["acquired_at"]), _holder(item))
        for item in table.query("lock")
    ]


def assert_held(table: PromotionTable, execution: str, endpoint: str) -> None:
    """Raise PromotionRefusedError unless `execution` holds the lock of `endpoint`.

    A function can outlive its execution. To not undo what a recovery or the next promotion has done since, it calls
    this before it changes anything.
    """
    found = holder(table, endpoint)
    if found is None or found.execution != execution:
        raise _no_longer_held(endpoint)


def record_change(
    table: PromotionTable, execution: str, record: PromotionRecord, previous: list[Target], wanted: list[Target]
) -> None:
    """Record in the journal what `execution` is about to change.

    That is `record`, the `previous` scalable targets of its endpoint and the `wanted` ones. Raise
    PromotionRefusedError if `execution` no longer holds the lock, in which case it must not change anything.
    """
    endpoint = record["endpoint"]
    journal = table.update_request(
        "lock",
        endpoint,
        "SET promotion = :promotion",
        "execution = :execution",
        promotion=json.dumps(record),
        execution=execution,
    )
    scaling = table.put_request(
        {
            "kind": "autoscaling",
            "key": endpoint,
            "execution": execution,
            "previous": json.dumps(previous),
            "wanted": json.dumps(wanted),
        }
    )
    if not table.transact(f"The journal of {endpoint}", {"Update": journal}, {"Put": scaling}):
        raise _no_longer_held(endpoint)


def _no_longer_held(endpoint: str) -> PromotionRefusedError:
    return PromotionRefusedError(
        f"The endpoint {endpoint} is no longer held by this execution, so nothing was changed."
    )


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The scalable targets of an endpoint before a promotion, and those wanted after it."""

    previous: list[Target]
    wanted: list[Target]


def recorded_scaling(table: PromotionTable, endpoint: str) -> Scaling:
    """Return the scaling that the last promotion that changed `endpoint` recorded."""
    item = table.get("autoscaling", endpoint) or {}
    return Scaling(previous=json.loads(item["previous"]), wanted=json.loads(item["wanted"]))


def _holder(item: Item) -> Holder:
    return Holder(
        execution=item["execution"],
        recoveries=int(item.get("recoveries", 0)),
        record=json.loads(item["promotion"]),
    )
