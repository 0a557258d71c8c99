"""The overview of a stage on its dashboard: what is locked or waits for approval, what happened last, and what is live.

CloudWatch user guide, "Details about custom widgets in CloudWatch": Markdown is displayed with links and tables.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from promotion.history.lock import Lock
from promotion.messages import console
from promotion.messages.message import time_of
from promotion.record import PromotionRecord

_LAST = 10
_LONGEST_CELL = 200


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the promotion table has about a stage: `waiting` are the promotions whose approval is requested."""

    live: list[PromotionRecord]
    locks: list[Lock]
    waiting: list[PromotionRecord]
    history: list[PromotionRecord]


def markdown(contents: Contents) -> str:
    """Return the overview: first what needs attention, last the list of all applications in the order of their names.

    The oldest lock and the oldest request come first, and so does the newest outcome.
    """
    live = sorted(contents.live, key=lambda record: record["application"])
    last = sorted(contents.history, key=lambda record: record["ended_at"], reverse=True)[:_LAST]
    return "\n\n".join(
        [
            _table("Locked or waiting", ("Application", "State", "Since"), _pending(contents)),
            _table("Last outcomes", ("Time", "Application", "Outcome", "Model", "Reason"), map(_outcome, last)),
            _table("Live", ("Application", "Model", "Since", "Approved by", "Metrics", "p95"), map(_live, live)),
        ]
    )


def _live(record: PromotionRecord) -> tuple[str, ...]:
    latency = record.get("smoke_test_p95_latency_ms")
    return (
        _link(record["application"], console.endpoint(record["execution"], record["endpoint"])),
        _link(record["model_name"], console.execution(record["execution"])),
        time_of(record["ended_at"]),
        _cell(record.get("approved_by", "")),
        _cell(", ".join(f"{name} {value:.7g}" for name, value in record.get("metrics", {}).items())),
        "" if latency is None else f"{latency} ms",
    )


def _pending(contents: Contents) -> Iterator[tuple[str, ...]]:
    for lock in sorted(contents.locks, key=lambda each: each.acquired_at):
        state = _link("locked by a promotion", console.execution(lock.holder.execution))
        yield _cell(lock.holder.record["application"]), state, time_of(lock.acquired_at.isoformat())
    for record in sorted(contents.waiting, key=lambda each: each["started_at"]):
        state = _link("approval requested", console.execution(record["execution"]))
        yield _cell(record["application"]), state, time_of(record["started_at"])


def _outcome(record: PromotionRecord) -> tuple[str, ...]:
    is_rollback = record["status"] == "Succeeded" and record["source_kind"] == "rollback"
    return (
        time_of(record["ended_at"]),
        _cell(record["application"]),
        _link("RolledBack" if is_rollback else record["status"], console.execution(record["execution"])),
        _cell(record.get("model_name", "")),
        _cell(record["reason"]),
    )


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return f"### {title}\n\nNothing."
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([f"### {title}", "", *head, *lines])


def _link(text: str, url: str) -> str:
    return f"[{_cell(text)}]({url})"


def _cell(text: str) -> str:
    """Return a string as the content of a cell: in one line, and without Markdown or HTML."""
    plain = re.sub(r"\s+", " ", text)
    shown = plain if len(plain) <= _LONGEST_CELL else f"{plain[: _LONGEST_CELL - 3]}..."
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", re.sub("https?://", "", shown, flags=re.IGNORECASE))
