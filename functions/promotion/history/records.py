"""The records of promotions, in the promotion table: what is live, and the history."""

from __future__ import annotations

import json
from typing import Any


def live(dynamodb: Any, table: str, endpoint: str) -> dict[str, Any] | None:
    """The record of the promotion that is live on `endpoint`, if any."""
    key = {"kind": {"S": "live"}, "key": {"S": endpoint}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return json.loads(item["promotion"]["S"]) if item else None


def history(dynamodb: Any, table: str, endpoint: str) -> list[dict[str, Any]]:
    """The records of all promotions that held `endpoint`, oldest first."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="kind = :history",
        ExpressionAttributeValues={":history": {"S": f"history#{endpoint}"}},
    )
    return [json.loads(item["promotion"]["S"]) for page in pages for item in page["Items"]]
