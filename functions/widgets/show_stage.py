"""Show a stage on its dashboard: a custom widget of CloudWatch, which changes nothing."""

from __future__ import annotations

import os
from typing import Any

from promotion.aws.clients import client
from promotion.history import agreement, approval_requests, lock, records
from promotion.history.table import PromotionTable
from promotion.messages import overview
from promotion.messages.overview import Contents
from promotion.step import step

# The last outcomes of the stage can all be those of one endpoint.
_LAST = 10
_DESCRIPTION = "Shows what the stage serves, what is locked or waits for approval, and the last outcomes."


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the overview of the stage as `markdown`; CloudWatch asks for a description with `describe`."""
    if event.get("describe"):
        return {"markdown": _DESCRIPTION}
    table = PromotionTable(client("dynamodb"), os.environ["TABLE"])
    endpoints = agreement.endpoints(table)
    contents = Contents(
        live=[record for endpoint in endpoints if (record := records.live(table, endpoint))],
        locks=lock.all_held(table),
        waiting=[record for record, _ in approval_requests.open_requests(table)],
        history=[record for endpoint in endpoints for record in records.newest(table, endpoint, _LAST)],
    )
    return {"markdown": overview.markdown(contents)}
