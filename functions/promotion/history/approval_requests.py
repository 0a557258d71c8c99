"""The approvals that were requested, by candidate."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from promotion.history.table import Item, PromotionTable


@dataclasses.dataclass(frozen=True)
class ApprovalRequest:
    """The execution that requested an approval, and the Automation execution it started ("" if it has not yet)."""

    execution: str
    automation: str


def last(table: PromotionTable, promotion: dict[str, Any]) -> ApprovalRequest | None:
    """Return the last request for the candidate of `promotion`, if any."""
    item = table.get("approval", _key(promotion))
    return _request(item) if item else None


def claim(table: PromotionTable, execution: str, promotion: dict[str, Any], after: ApprovalRequest | None) -> bool:
    """Claim the next request, `after` the last one, for `execution`; return False if another execution was faster."""
    condition, values = "attribute_not_exists(kind)", {}
    if after:
        condition = "(execution = :last AND automation = :automation)"
        values = {"last": after.execution, "automation": after.automation}
    return table.put(
        {
            "kind": "approval",
            "key": _key(promotion),
            "execution": execution,
            "automation": after.automation if after and after.execution == execution else "",
            "promotion": json.dumps(promotion),
        },
        # The answer to an earlier request of this execution may have been lost.
        f"{condition} OR execution = :execution",
        execution=execution,
        **values,
    )


def record_started(table: PromotionTable, promotion: dict[str, Any], automation: str) -> None:
    """Record the Automation execution that was started for the claimed request."""
    table.update("approval", _key(promotion), "SET automation = :automation", automation=automation)


def open_requests(table: PromotionTable, endpoint: str | None = None) -> list[tuple[dict[str, Any], ApprovalRequest]]:
    """Return the requests for promotions to `endpoint`, or to any, that are not recorded as ended."""
    items = table.query(
        "approval",
        prefix=f"{endpoint}#" if endpoint else "",
        where="attribute_not_exists(#ended) AND automation <> :none",
        none="",
    )
    return [(json.loads(item["promotion"]), _request(item)) for item in items]


def record_ended(
    table: PromotionTable, promotion: dict[str, Any], request: ApprovalRequest, superseded_by: str = ""
) -> None:
    """Record that `request` is no longer open, and the source of the candidate that superseded it, if one did.

    Nothing is recorded if the approval was requested again, or recorded as ended, in the meantime.
    """
    table.update(
        "approval",
        _key(promotion),
        "SET #ended = :by",
        "automation = :automation AND attribute_not_exists(#ended)",
        by=superseded_by,
        automation=request.automation,
    )


def superseded_by(table: PromotionTable, endpoint: str, digest: str, automation: str) -> str:
    """Return the source of the candidate that superseded the one whose approval was `automation`; "" if none did."""
    item = table.get("approval", _key({"endpoint": endpoint, "digest": digest})) or {}
    return str(item.get("ended", "")) if item.get("automation") == automation else ""


def _request(item: Item) -> ApprovalRequest:
    return ApprovalRequest(item["execution"], item["automation"])


def _key(promotion: dict[str, Any]) -> str:
    return f"{promotion['endpoint']}#{promotion['digest']}"
