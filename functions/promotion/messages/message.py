"""The notifications of a stage: what happened as one sentence, links, and the facts that a decision needs.

A subscriber gets the form of its protocol: text by email, a custom notification for chat over HTTPS, and JSON for
queues and functions.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from promotion.history.events import APPROVAL_REQUESTED, DIFFERS
from promotion.messages import console
from promotion.record import PromotionRecord
from promotion.source.request import SUCCEEDED

_OUTCOMES = {
    SUCCEEDED: "promoted",
    "Model Promotion Failed": "promotion failed",
    "Model Promotion Rejected": "promotion rejected",
    DIFFERS: "endpoint differs",
    APPROVAL_REQUESTED: "approval requested",
}
UNKNOWN = "unknown"
# botocore's sns model: a subject has fewer than 100 characters and no line breaks or control characters.
_LONGEST_SUBJECT = 99
# SNS API reference, Publish: at most 262,144 bytes for the forms of all protocols and the attributes together. A
# character has up to four bytes in each of the four forms, in UTF-8 or because it is escaped twice.
_LONGEST_FACT = 600
_LONGEST_SUMMARY = 4_000


@dataclasses.dataclass(frozen=True)
class Message:
    """A notification: its `outcome` in words, a sentence, and labeled links and facts, in the order of importance."""

    stage: str
    application: str
    outcome: str
    summary: str
    links: dict[str, str]
    facts: dict[str, str]

    @property
    def subject(self) -> str:
        """Return the subject of the email, for example "[qa] reviews: promoted"."""
        application = "" if self.application == UNKNOWN else f"{self.application}: "
        return f"[{self.stage}] {application}{self.outcome}"[:_LONGEST_SUBJECT]

    def text(self) -> str:
        """Return the text of the email."""
        width = max(map(len, self.facts), default=0)
        facts = [f"{label + ':':<{width + 1}} {fact}" for label, fact in self.facts.items()]
        links = [f"{label}: {link}" for label, link in self.links.items()]
        parts = [f"[{self.stage}] {self.summary}", "\n".join(links), "\n".join(facts)]
        return "\n\n".join(part for part in parts if part)

    def chat(self) -> dict[str, Any]:
        """Return a custom notification for Slack and Microsoft Teams.

        Amazon Q Developer in chat applications administrator guide, "Custom notifications", event schema 1.0.
        """
        facts = "\n".join(f"*{label}:* {fact}" for label, fact in self.facts.items())
        return {
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": self.subject,
                "description": f"{self.summary}\n\n{facts}".strip(),
                "nextSteps": [f"<{link}|{label}>" for label, link in self.links.items()],
                "keywords": [self.stage, self.application, self.outcome],
            },
            "metadata": {"threadId": f"{self.application}-{self.stage}", "summary": self.summary},
        }

    def request(self, topic: str) -> dict[str, Any]:
        """Return the request of Publish, with a form for each protocol and attributes for filter policies."""
        text = self.text()
        machine = json.dumps(dataclasses.asdict(self), ensure_ascii=False)
        chat = json.dumps(self.chat(), ensure_ascii=False)
        forms = {"default": text, "https": chat, "sqs": machine, "lambda": machine}
        attributes = {"application": self.application, "stage": self.stage, "outcome": self.outcome}
        return {
            "TopicArn": topic,
            "Subject": self.subject,
            "Message": json.dumps(forms, ensure_ascii=False),
            "MessageStructure": "json",
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        }


def of_promotion(detail_type: str, record: PromotionRecord, other: PromotionRecord | None) -> Message:
    """Return the notification about an event of a stage, whose detail is `record`.

    `other` is the promotion that was live before a successful one, and otherwise the one that is live.
    """
    is_live, execution = detail_type == SUCCEEDED, record["execution"]
    links = {}
    if detail_type == APPROVAL_REQUESTED:
        links["Approve or reject"] = console.automation(execution, record["approval"])
    links["Execution"] = console.execution(execution)
    if is_live or other:
        links["Endpoint"] = console.endpoint(execution, record["endpoint"])
    facts = _facts(record, other, is_live=is_live)
    return Message(
        stage=record["stage"],
        application=record["application"],
        outcome="rolled back" if is_live and record["source_kind"] == "rollback" else _OUTCOMES[detail_type],
        summary=_cut(plain(record["summary"]), _LONGEST_SUMMARY),
        links=links,
        facts={label: _cut(plain(fact), _LONGEST_FACT) for label, fact in facts.items() if fact},
    )


def comparison(record: PromotionRecord, live: PromotionRecord | None) -> str:
    """Return how a candidate compares with the live model, in one line."""
    facts = _facts(record, live, is_live=False)
    shown = {label: facts[label] for label in ("Live", "Metrics", "Quality gate") if facts[label]}
    return "; ".join(f"{label}: {plain(fact)}" for label, fact in shown.items())


def evidence(record: PromotionRecord) -> str:
    """Return how a candidate did in the upstream stage, and whether it was rolled back before, in one line."""
    facts = _facts(record, None, is_live=False)
    return ". ".join(f"{label}: {facts[label]}" for label in ("Tested upstream", "Rolled back before") if facts[label])


def of_execution(stage: str, application: str, detail: dict[str, Any]) -> Message:
    """Return the notification about an execution that did not restore an endpoint.

    `detail` is that of the event "Step Functions Execution Status Change", `application` "unknown" if nothing names it.
    """
    return Message(
        stage=stage,
        application=application,
        outcome="rollback failed",
        summary=_cut(plain(f"{detail['error']}: {detail['cause']}"), _LONGEST_SUMMARY),
        links={"Execution": console.execution(detail["executionArn"])},
        facts={},
    )


def _facts(record: PromotionRecord, other: PromotionRecord | None, *, is_live: bool) -> dict[str, str]:
    return {
        "Decide by": time_of(record.get("approve_until", "")),
        "Replaced" if is_live else "Live": _described(other),
        "Started by": record.get("started_by", ""),
        "Approved by": _approval(record),
        "Metrics": _metrics(record, other, "before" if is_live else "live"),
        "Quality gate": "; ".join(rule["reason"] for rule in record.get("quality_gate", [])),
        "Smoke test": _smoke_test(record),
        "Tested upstream": _tested_upstream(record),
        "Rolled back before": _rolled_back(record),
        "Not pinned": "; ".join(record.get("not_pinned", [])),
        "Source": record.get("source_arn", ""),
        "Digest": record.get("digest", ""),
    }


def _described(record: PromotionRecord | None) -> str:
    if record is None:
        return ""
    approved = f", approved by {record['approved_by']}" if record.get("approved_by") else ""
    return f"{record['model_name']}, promoted {time_of(record['ended_at'])}{approved}"


def _approval(record: PromotionRecord) -> str:
    comment = record.get("approval_comment", "")
    return record.get("approved_by", "") + (f" ({comment})" if comment else "")


def _metrics(record: PromotionRecord, other: PromotionRecord | None, when: str) -> str:
    others = other.get("metrics", {}) if other else {}
    return ", ".join(
        f"{name} {value:.7g}" + (f" ({when}: {others[name]:.7g})" if name in others else "")
        for name, value in record.get("metrics", {}).items()
    )


def _smoke_test(record: PromotionRecord) -> str:
    if record.get("smoke_test") == "skip":
        return "skipped"
    if "smoke_test_invocations" not in record:
        return record.get("smoke_test", "")
    return _counts(record)


def _counts(record: Mapping[str, Any]) -> str:
    """Return the statistics of a smoke test."""
    return (
        f"{record['smoke_test_invocations']} invocations, {record['smoke_test_errors']} with errors or too slow, "
        f"p95 {record['smoke_test_p95_latency_ms']} ms"
    )


def _tested_upstream(record: PromotionRecord) -> str:
    """Return the report of the upstream stage about its promotion of the model, as that of the upstream stage."""
    report = record.get("tested_upstream")
    if not report:
        return ""
    test = f"smoke test with {_counts(report)}" if report["smoke_test_invocations"] else "smoke test skipped"
    return f"{report['stage']} reports: promoted {time_of(report['ended_at'])}, {test}"


def _rolled_back(record: PromotionRecord) -> str:
    """Return when the same digest was rolled back here and, as the upstream stage reports, there; "" if unknown."""
    upstream = record.get("tested_upstream") or {}
    times = [f"{time_of(here)} in {record['stage']}"] if (here := record.get("rolled_back_at")) else []
    if there := upstream.get("rolled_back_at", ""):
        times.append(f"{time_of(there)} in {upstream['stage']}, as it reports")
    return "; ".join(times) or ("no" if record.get("rolled_back_at") == "" else "")


def time_of(text: str) -> str:
    """Return an ISO 8601 time in UTC for people, for example 2026-05-04 17:20 UTC."""
    return f"{text[:10]} {text[11:16]} UTC" if text else ""


def plain(text: str) -> str:
    """Return a string without line breaks, and without links: one could come from another account."""
    return re.sub("https?://", "", re.sub(r"[\x00-\x1f\x7f]+", " ", text), flags=re.IGNORECASE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
