"""The approvals that were requested, in the promotion table."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from botocore.exceptions import ClientError


@dataclasses.dataclass(frozen=True)
class ApprovalRequest:
    """Which execution asked for an approval, and the Automation execution that it started ("" if it has not yet)."""

    execution: str
    automation: str


def approval_request(dynamodb: Any, table: str, promotion: dict[str, Any]) -> ApprovalRequest | None:
    """The last approval that was asked for the candidate of `promotion`, if any."""
    item = dynamodb.get_item(TableName=table, Key=_approval_key(promotion), ConsistentRead=True).get("Item")
    return _approval_request(item) if item else None


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


def open_approval_requests(
    dynamodb: Any, table: str, endpoint: str | None = None
) -> list[tuple[dict[str, Any], ApprovalRequest]]:
    """The promotions to `endpoint`, or to any, that an approval was asked for and that are not noted as ended."""
    condition, names, values = "kind = :approval", {"#ended": "ended"}, {":approval": "approval", ":none": ""}
    if endpoint:
        condition += " AND begins_with(#key, :endpoint)"
        names["#key"], values[":endpoint"] = "key", f"{endpoint}#"
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression=condition,
        FilterExpression="attribute_not_exists(#ended) AND automation <> :none",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
    )
    items = [item for page in pages for item in page["Items"]]
    return [(json.loads(item["promotion"]["S"]), _approval_request(item)) for item in items]


def note_approval_ended(
    dynamodb: Any, table: str, promotion: dict[str, Any], request: ApprovalRequest, superseded_by: str = ""
) -> None:
    """Write down that nobody decides on `request` any more, and which candidate (its source) took its place."""
    try:
        dynamodb.update_item(
            TableName=table,
            Key=_approval_key(promotion),
            UpdateExpression="SET #ended = :by",
            ConditionExpression="automation = :automation AND attribute_not_exists(#ended)",
            ExpressionAttributeNames={"#ended": "ended"},
            ExpressionAttributeValues={":by": {"S": superseded_by}, ":automation": {"S": request.automation}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return  # it was asked for anew, or noted by another, meanwhile


def superseded_by(dynamodb: Any, table: str, endpoint: str, digest: str, automation: str) -> str:
    """Which candidate took the place of the one whose approval was `automation`; "" if none did."""
    key = _approval_key({"endpoint": endpoint, "digest": digest})
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
    if item.get("automation", {}).get("S") != automation:
        return ""
    return str(item.get("ended", {}).get("S", ""))


def _approval_request(item: dict[str, Any]) -> ApprovalRequest:
    return ApprovalRequest(item["execution"]["S"], item["automation"]["S"])


def _approval_key(promotion: dict[str, Any]) -> dict[str, Any]:
    return {"kind": {"S": "approval"}, "key": {"S": f"{promotion['endpoint']}#{promotion['digest']}"}}
