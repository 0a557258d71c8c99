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
