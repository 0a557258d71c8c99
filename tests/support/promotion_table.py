"""A promotion table as the template makes it."""

from typing import Any

TABLE = "promotions"
FIRST = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:first"
SECOND = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:second"


def create_table(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("kind", "key")],
        KeySchema=[{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}],
    )


def put(dynamodb: Any, kind: str, key: str, **attributes: Any) -> None:
    """Write an item as the state machine does."""
    item = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in attributes.items()}
    dynamodb.put_item(TableName=TABLE, Item={"kind": {"S": kind}, "key": {"S": key}, **item})


def get(dynamodb: Any, kind: str, key: str) -> dict[str, str] | None:
    """Return the attributes of an item, or None if there is no such item."""
    found = dynamodb.get_item(TableName=TABLE, Key={"kind": {"S": kind}, "key": {"S": key}}).get("Item")
    return {name: next(iter(value.values())) for name, value in found.items()} if found else None
