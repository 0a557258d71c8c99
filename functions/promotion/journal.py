"""The promotion table: which promotion holds an endpoint, what is live, and what was.

Its items, by `kind` (partition key) and `key` (sort key):

    running                 <endpoint>              the lock, and the journal of the promotion that holds it
    live                    <endpoint>              the record of what is live
    history#<endpoint>      <ended at>#<execution>  every promotion that held the endpoint, good and bad
    approval                <endpoint>#<digest>     the approval that was asked for

Each has the promotion record as JSON in `promotion`; the state machine writes the first three kinds itself, too.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from botocore.exceptions import ClientError

from promotion.errors import PromotionRefusedError


@dataclasses.dataclass(frozen=True)
class Running:
    """The promotion that holds an endpoint: the execution that acts for it now, and its record so far."""

    execution: str
    recoveries: int
    promotion: dict[str, Any]


def running(dynamodb: Any, table: str, endpoint: str) -> Running | None:
    """The promotion that holds `endpoint` now, if any."""
    key = {"kind": {"S": "running"}, "key": {"S": endpoint}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return _running(item) if item else None


def running_in(dynamodb: Any, table: str, execution: str) -> Running | None:
    """The promotion that `execution` (an ARN) acts for, if it holds an endpoint."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="kind = :running",
        FilterExpression="execution = :execution",
        ExpressionAttributeValues={":running": {"S": "running"}, ":execution": {"S": execution}},
    )
    return next((_running(item) for page in pages for item in page["Items"]), None)


def note(dynamodb: Any, table: str, execution: str, promotion: dict[str, Any]) -> None:
    """Write `promotion` into the journal of the endpoint that `execution` holds.

    Raises PromotionRefusedError when it holds it no longer: then nothing may be changed any more.
    """
    try:
        dynamodb.update_item(
            TableName=table,
            Key={"kind": {"S": "running"}, "key": {"S": promotion["endpoint"]}},
            UpdateExpression="SET promotion = :promotion",
            ConditionExpression="execution = :execution",
            ExpressionAttributeValues={
                ":promotion": {"S": json.dumps(promotion)},
                ":execution": {"S": execution},
            },
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise PromotionRefusedError(
            f"The endpoint {promotion['endpoint']} is no longer held by this execution, so nothing was changed."
        ) from error


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


@dataclasses.dataclass(frozen=True)
class ApprovalRequest:
    """Which execution asked for an approval, and the Automation execution that it started ("" if it has not yet)."""

    execution: str
    automation: str


def approval_request(dynamodb: Any, table: str, promotion: dict[str, Any]) -> ApprovalRequest | None:
    """The last approval that was asked for the candidate of `promotion`, if any."""
    item = dynamodb.get_item(TableName=table, Key=_approval_key(promotion), ConsistentRead=True).get("Item")
    return ApprovalRequest(item["execution"]["S"], item["automation"]["S"]) if item else None


def claim_approval_request(
    dynamodb: Any, table: str, execution: str, promotion: dict[str, Any], last: ApprovalRequest | None
) -> bool:
    """Claim the right to ask for the approval, after `last`; False when another execution was faster."""
    condition, values = "attribute_not_exists(kind)", {":execution": {"S": execution}}
    if last:
        condition = "(execution = :last AND automation = :automation)"
        values |= {":last": {"S": last.execution}, ":automation": {"S": last.automation}}
    automation = last.automation if last and last.execution == execution else ""
    try:
        dynamodb.put_item(
            TableName=table,
            Item=_approval_key(promotion)
            | {
                "execution": {"S": execution},
                "automation": {"S": automation},
                "promotion": {"S": json.dumps(promotion)},
            },
            # It is its own already where the answer to an earlier request was lost.
            ConditionExpression=f"{condition} OR execution = :execution",
            ExpressionAttributeValues=values,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def note_approval_request(dynamodb: Any, table: str, promotion: dict[str, Any], automation: str) -> None:
    """Write down the Automation execution that was started for the claimed request."""
    dynamodb.update_item(
        TableName=table,
        Key=_approval_key(promotion),
        UpdateExpression="SET automation = :automation",
        ExpressionAttributeValues={":automation": {"S": automation}},
    )


def _approval_key(promotion: dict[str, Any]) -> dict[str, Any]:
    return {"kind": {"S": "approval"}, "key": {"S": f"{promotion['endpoint']}#{promotion['digest']}"}}


def _running(item: dict[str, Any]) -> Running:
    return Running(
        execution=item["execution"]["S"],
        recoveries=int(item.get("recoveries", {"N": "0"})["N"]),
        promotion=json.loads(item["promotion"]["S"]),
    )
