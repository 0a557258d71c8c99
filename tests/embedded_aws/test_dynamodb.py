"""A transaction with a token is written once, as on AWS."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services import dynamodb

QA = accounts.ACCOUNTS["qa"]


@pytest.fixture
def table(aws: EmbeddedAws, name: str) -> str:
    clients.client_as_operator("dynamodb", QA).create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def put(table: str, token: str, value: str = "a") -> Any:
    """Put an item that must not be there yet."""
    item = {"key": {"S": "one"}, "value": {"S": value}}
    request = {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(#k)"}
    return clients.client_as_operator("dynamodb", QA).transact_write_items(
        TransactItems=[{"Put": request | {"ExpressionAttributeNames": {"#k": "key"}}}], ClientRequestToken=token
    )


def value(table: str) -> str:
    item = clients.client_as_operator("dynamodb", QA).get_item(TableName=table, Key={"key": {"S": "one"}})["Item"]
    return str(item["value"]["S"])


def test_the_same_transaction_with_the_same_token_is_written_once(table: str, name: str) -> None:
    put(table, name)
    put(table, name)

    assert value(table) == "a"


def test_another_token_is_another_transaction(table: str, name: str) -> None:
    put(table, name)

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        put(table, f"{name}-2")


def test_a_token_is_not_for_other_parameters(table: str, name: str) -> None:
    put(table, name)

    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        put(table, name, "b")
    assert value(table) == "a"


def test_what_was_cancelled_may_be_asked_again(table: str, name: str) -> None:
    put(table, f"{name}-1")
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        put(table, name)
    clients.client_as_operator("dynamodb", QA).delete_item(TableName=table, Key={"key": {"S": "one"}})

    put(table, name)

    assert value(table) == "a"


def test_a_token_is_forgotten_after_ten_minutes(table: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(table, name)
    monkeypatch.setattr(dynamodb, "_VALID_SECONDS", 0)

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        put(table, name)
