"""The required permissions of EventBridge's operations."""

from __future__ import annotations

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions


def _required(call: Call) -> Needs:
    if call.operation != "PutEvents":
        return
    for entry in call.parameters.get("Entries") or []:
        name = entry.get("EventBusName") or "default"
        bus = name if name.startswith("arn:") else call.arn("events", f"event-bus/{name}")
        context = {
            # The key has several values in the service authorization reference: it takes set operators only.
            "events:source": [entry.get("Source") or ""],
            "events:detail-type": entry.get("DetailType"),
            "events:eventbusinvocation": "true" if call.parameters.get("forwarded") else "false",
        }
        yield Need("events:PutEvents", (bus,), context)


# A call without entries does nothing.
PERMISSIONS = {"events": Permissions(_required, free=frozenset({"PutEvents"}))}
