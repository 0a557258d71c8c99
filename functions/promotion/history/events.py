"""The events that functions publish about promotions; the state machine publishes the others."""

from __future__ import annotations

import json
from typing import Any

from promotion.errors import TransientError
from promotion.record import PromotionRecord
from promotion.source.request import OWN_SOURCE, SUCCEEDED

APPROVAL_REQUESTED = "Model Promotion Approval Requested"
DIFFERS = "Model Promotion Differs"


def publish_success(events: Any, bus: str, record: PromotionRecord) -> None:
    """Publish the event of a successful promotion."""
    _publish(events, bus, SUCCEEDED, record)


def publish_difference(events: Any, bus: str, detail: dict[str, str]) -> None:
    """Publish how an endpoint differs from its record."""
    _publish(events, bus, DIFFERS, detail)


def publish_request(events: Any, bus: str, record: PromotionRecord, automation: str, approve_until: str = "") -> None:
    """Publish that an Automation execution waits for approvers, until a time (ISO 8601) if it is known."""
    summary = (
        f"{record['application']}: approval requested. The {record['source_kind'].replace('_', ' ')} "
        f"{record['source_name']} can replace what the endpoint {record['endpoint']} serves."
    )
    request = PromotionRecord(approval=automation, approve_until=approve_until, summary=summary)
    _publish(events, bus, APPROVAL_REQUESTED, record | request)


def _publish(events: Any, bus: str, detail_type: str, detail: Any) -> None:
    entry = {"Source": OWN_SOURCE, "DetailType": detail_type, "EventBusName": bus, "Detail": json.dumps(detail)}
    answer = events.put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise TransientError(f"PutEvents: {answer['Entries'][0].get('ErrorMessage', 'The entry was not accepted.')}")
