"""What the command prints for people."""

from __future__ import annotations

import datetime
from typing import Any

from command.executions import Result
from command.stage import Stage
from command.text import age, counted, minute, printable, table
from promotion.messages import console, preview_text
from promotion.record import PromotionRecord


def status(found: dict[str, Any], now: datetime.datetime) -> str:
    """Return the result of `overview.status` as text."""
    items = found["applications"]
    counts = {
        "with a problem": sum(bool(item["problem"]) for item in items),
        "being promoted": sum(bool(item["promotion"]) for item in items),
        "waiting for approval": sum(bool(item["approvals"]) for item in items),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    lines = [f"Stage {found['stage']}: {', '.join([counted(len(items), 'application'), *parts])}."]
    rows = [
        (
            item["application"],
            item["model_name"] or "-",
            minute(item["live_since"]),
            item["endpoint_status"] or "no endpoint",
            _now(item, now),
        )
        for item in items
    ]
    sections = [table(("APPLICATION", "MODEL", "LIVE SINCE", "ENDPOINT", "NOW"), rows)]
    others = [(each["name"], each["subject"], age(each["started_at"], now), each["state"]) for each in found["running"]]
    sections.append(table(("RUNNING EXECUTION", "ABOUT", "FOR", "STATE"), others))
    if found["alarms"]:
        sections.append("\n".join(["In ALARM:", *(f"  {name}" for name in found["alarms"])]))
    return "\n\n".join([*lines, *filter(None, sections)])


def _now(item: dict[str, Any], now: datetime.datetime) -> str:
    parts = [f"PROBLEM: {item['problem']}"] if item["problem"] else []
    if promotion := item["promotion"]:
        parts.append(f"{promotion['state'] or 'locked'} for {age(promotion['since'], now)}")
    parts += [
        f"approval of {each['source_name']} pending for {age(each['requested_at'], now)}" for each in item["approvals"]
    ]
    return "; ".join(parts)


def live(records: list[PromotionRecord]) -> str:
    """Return the live records as a table."""
    rows = [
        (
            record["application"],
            record["model_name"],
            minute(record["ended_at"]),
            _approver(record),
            f"{record.get('smoke_test_p95_latency_ms', 0)} ms",
            ", ".join(f"{name} {value:.6g}" for name, value in record.get("metrics", {}).items()),
            _source(record),
        )
        for record in records
    ]
    return table(("APPLICATION", "MODEL", "SINCE", "APPROVED BY", "P95", "METRICS", "SOURCE"), rows)


def history(records: list[PromotionRecord]) -> str:
    """Return the records of an application as a table."""
    rows = [
        (
            minute(record["ended_at"]),
            record["status"],
            record.get("model_name", ""),
            _approver(record),
            _source(record),
            record.get("reason", ""),
        )
        for record in records
    ]
    return table(("ENDED", "RESULT", "MODEL", "APPROVED BY", "SOURCE", "REASON"), rows)


def _approver(record: PromotionRecord) -> str:
    """Return the names of the approvers without their ARNs."""
    return ", ".join(name.rsplit("/", 1)[-1] for name in record.get("approved_by", "").split(", "))


def _source(record: PromotionRecord) -> str:
    if record["source_kind"] == "rollback":
        return f"rollback to {record.get('original_source_name', '')}"
    return record["source_name"]


def result(stage: Stage, ended: Result) -> str:
    """Return the end of an execution as text."""
    error = f" ({ended.error})" if ended.error else ""
    lines = [f"{ended.state}{error}. {printable(ended.reason)}".rstrip()]
    if ended.state == "Previewed":
        lines = [printable(line) for line in preview_text.markdown(ended.output).split("\n")]
    return "\n".join([*lines, f"Execution: {console.execution(ended.execution)}"])


def pairs(items: list[tuple[str, str]]) -> str:
    """Return labels and values, one below the other."""
    width = max(len(label) for label, _ in items)
    return "\n".join(f"{label.ljust(width)}  {printable(value)}" for label, value in items)


def verdict(found: dict[str, Any]) -> str:
    """Return the verdict of a smoke test as text."""
    counts = (
        f"{counted(found['invocations'], 'invocation')}, {counted(found['errors'], 'error')}, "
        f"p95 latency {found['p95_latency_ms']} ms."
    )
    if found["passed"]:
        return f"Passed. {counts}"
    return "\n".join(
        filter(None, [f"Failed. {printable(found['reason'])}", printable(found["response"] or ""), counts])
    )
