"""The lock of an endpoint, and the journal of the changes made by the promotion that holds it."""

from __future__ import annotations

import dataclasses
import datetime
import json

from promotion.endpoint.autoscaling import Target
from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.tagging import Changes
from promotion.errors import PromotionRefusedError
from promotion.history.table import Item, PromotionTable
from promotion.record import PromotionRecord

RECOVERY_ATTEMPTS = 3
"""The number of attempts to recover a dead promotion that follow one another immediately."""

LATER_RECOVERIES = tuple(datetime.timedelta(minutes=minutes) for minutes in (15, 60, 240))
"""The time from the end of an attempt to each further one. After the last one, manual intervention is required."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """The promotion that holds a lock: its current execution, the number of its recoveries, and its record so far."""

    execution: str
    recoveries: int
    record: PromotionRecord

    @property
    def is_abandoned(self) -> bool:
        """Whether no recovery attempts are left, so that manual intervention is required."""
        return self.recoveries >= RECOVERY_ATTEMPTS + len(LATER_RECOVERIES)

    @property
    def wait(self) -> datetime.timedelta:
        """The time from the end of the last attempt to the next one, unless no attempts are left."""
        later = self.recoveries - RECOVERY_ATTEMPTS
        return LATER_RECOVERIES[later] if 0 <= later < len(LATER_RECOVERIES) else datetime.timedelta()


@dataclasses.dataclass(frozen=True)
class Lock:
    """A held lock of an endpoint, with its holder and the time it was acquired."""

    endpoint: str
    acquired_at: datetime.datetime
    holder: Holder

    def unexplained_seconds(self, now: datetime.datetime) -> float:
        """Return how long the lock has been held, less the baking period of the holder's deployment."""
        baking: float = self.holder.record.get("baking_seconds", 0)
        return max(0.0, (now - self.acquired_at).total_seconds() - baking)


def acquire(table: PromotionTable, execution: str, record: PromotionRecord, now: str) -> bool:
    """Acquire the lock of the endpoint of `record` for `execution`; return False if another execution holds it.

    A held lock is never overwritten, not even by its holder: a request that arrives late would undo the journal.
    """
    item = {
        "kind": "lock",
        "key": record["endpoint"],
        "execution": execution,
        "acquired_at": now,
        "promotion": json.dumps(record),
    }
    if table.put(item, "attribute_not_exists(execution)"):
        return True
    # The response to an earlier request of this execution may have been lost.
    current = holder(table, record["endpoint"])
    return current is not None and current.execution == execution


def holder(table: PromotionTable, endpoint: str) -> Holder | None:
    """Return the promotion that holds the lock of `endpoint`, if any."""
    item = table.get("lock", endpoint)
    return _holder(item) if item else None


def record_execution(table: PromotionTable, execution: str, endpoint: str) -> None:
    """Record the endpoint whose lock `execution` (an ARN) may hold, before it can hold it. It never has another one."""
    table.put({"kind": "execution", "key": execution, "endpoint": endpoint})


def holder_with_execution(table: PromotionTable, execution: str) -> Holder | None:
    """Return the promotion whose lock `execution` (an ARN) holds, if any."""
    item = table.get("execution", execution)
    found = holder(table, item["endpoint"]) if item else None
    return found if found and found.execution == execution else None


def all_held(table: PromotionTable) -> list[Lock]:
    """Return all held locks."""
    return [
        Lock(item["key"], datetime.datetime.fromisoformat(item["acquired_at"]), _holder(item))
        for item in table.query("lock")
    ]


def assert_held(table: PromotionTable, execution: str, endpoint: str) -> None:
    """Raise PromotionRefusedError unless `execution` holds the lock of `endpoint`.

    A function can outlive its execution. It calls this before every change, so that it does not undo the changes of a
    recovery or of the next promotion.
    """
    current = holder(table, endpoint)
    if current is None or current.execution != execution:
        raise _lock_lost(endpoint)


@dataclasses.dataclass(frozen=True)
class Journal:
    """What a promotion is about to change: the scalable targets of the endpoint before and after it, and its tags."""

    previous: list[Target]
    wanted: list[Target]
    tags: Changes


def record_change(table: PromotionTable, execution: str, record: PromotionRecord, change: Journal) -> PromotionRecord:
    """Write the journal before `execution` changes the endpoint, once, and return the record in the journal.

    The journal contains `record` and the `change`. A repeated call changes nothing, since the execution may have
    changed the endpoint in the meantime. Raise PromotionRefusedError if `execution` no longer holds the lock and
    therefore must not change anything.
    """
    endpoint = record["endpoint"]
    journal = table.update_request(
        "lock",
        endpoint,
        "SET promotion = :promotion, changed_by = :execution",
        "execution = :execution AND attribute_not_exists(changed_by)",
        promotion=json.dumps(record),
        execution=execution,
    )
    scaling = table.put_request(
        {
            "kind": "autoscaling",
            "key": endpoint,
            "execution": execution,
            "previous": json.dumps(change.previous),
            "wanted": json.dumps(change.wanted),
            "tags": json.dumps(change.tags),
        }
    )
    if table.transact(f"The journal of the endpoint {endpoint}", {"Update": journal}, {"Put": scaling}):
        return record
    current = holder(table, endpoint)
    if current is None or current.execution != execution:
        raise _lock_lost(endpoint)
    return current.record


def _lock_lost(endpoint: str) -> PromotionRefusedError:
    return PromotionRefusedError(
        f"This execution no longer holds the lock of the endpoint {endpoint}. It therefore did not change the "
        "endpoint, and it leaves nothing locked. If it was redriven after its recovery, start the promotion again "
        "instead."
    )


def recorded_change(table: PromotionTable, record: PromotionRecord) -> Change:
    """Return the change of the endpoint of `record`, whose promotion is the last one in the journal."""
    item = table.get("autoscaling", record["endpoint"]) or {}
    return Change(
        previous=json.loads(item["previous"]),
        wanted=json.loads(item["wanted"]),
        previous_config=record["previous_endpoint_config_name"] or None,
        config=record["endpoint_config_name"],
        tags=json.loads(item.get("tags", "{}")),
    )


def _holder(item: Item) -> Holder:
    return Holder(
        execution=item["execution"],
        recoveries=int(item.get("recoveries", 0)),
        record=json.loads(item["promotion"]),
    )
