"""A promotion table in moto, with the items that the state machine writes."""

import json
from typing import Any

import boto3

from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord

NAME = "promotions"
FIRST = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:first"
SECOND = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:second"
PROMOTION: PromotionRecord = {
    "endpoint": "reviews-qa",
    "digest": "ab" * 32,
    "application": "reviews",
    "stage": "qa",
}


def created() -> PromotionTable:
    """Create the promotion table."""
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=NAME,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("kind", "key")],
        KeySchema=[{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}],
    )
    return PromotionTable(client, NAME)


def missing() -> PromotionTable:
    """Return a promotion table that does not exist."""
    return PromotionTable(boto3.client("dynamodb"), "no-such-table")


def put(kind: str, key: str, **attributes: Any) -> None:
    """Write an item with string and number attributes."""
    item = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in attributes.items()}
    boto3.client("dynamodb").put_item(TableName=NAME, Item={"kind": {"S": kind}, "key": {"S": key}, **item})


def hold(endpoint: str, execution: str, **attributes: Any) -> None:
    """Write the lock of `endpoint`, held by `execution`."""
    put("lock", endpoint, execution=execution, promotion=json.dumps({"endpoint": endpoint}), **attributes)


def keys() -> list[str]:
    """Return the kind and the key of each item, sorted."""
    items = boto3.client("dynamodb").scan(TableName=NAME)["Items"]
    return sorted(f"{item['kind']['S']} {item['key']['S']}" for item in items)


def get(kind: str, key: str) -> dict[str, str] | None:
    """Return the attributes of an item, or None if there is no such item."""
    name = {"kind": {"S": kind}, "key": {"S": key}}
    item = boto3.client("dynamodb").get_item(TableName=NAME, Key=name).get("Item")
    return {name: next(iter(value.values())) for name, value in item.items()} if item else None
