"""Writes are atomic and isolated from each other, and a transaction with a token is written once, as on AWS."""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb import models

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


@pytest.fixture
def sorted_table(aws: EmbeddedAws, name: str) -> str:
    """Create a table with a sort key, and with enough items to make an operation on all of them slow."""
    client = clients.client_as_operator("dynamodb", QA)
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("kind", "key")],
        KeySchema=[{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for start in range(0, OLD_ITEMS, 25):
        batch = [{"PutRequest": {"Item": key(f"old {number}", "one")}} for number in range(start, start + 25)]
        client.batch_write_item(RequestItems={name: batch})
    return name


@pytest.fixture
def frequent_thread_switches() -> Iterator[None]:
    """Switch threads often enough to detect a missing lock."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


OLD_ITEMS = 500


def key(kind: str, name: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "key": {"S": name}}


def concurrently(*works: Callable[[Any], Any]) -> list[Any]:
    """Run functions in threads, each with its own client. Return their results or raise their first error."""
    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(work, clients.client_as_operator("dynamodb", QA)) for work in works]
    return [each.result() for each in running]


def put(table: str, token: str, value: str = "a") -> Any:
    """Put an item that must not exist yet."""
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


def test_a_token_is_rejected_with_other_parameters(table: str, name: str) -> None:
    put(table, name)

    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        put(table, name, "b")
    assert value(table) == "a"


def test_a_canceled_transaction_can_be_retried_with_the_same_token(table: str, name: str) -> None:
    put(table, f"{name}-1")
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        put(table, name)
    clients.client_as_operator("dynamodb", QA).delete_item(TableName=table, Key={"key": {"S": "one"}})

    put(table, name)

    assert value(table) == "a"


def test_a_token_expires_after_ten_minutes(table: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(table, name)
    monkeypatch.setattr(dynamodb, "_VALID_SECONDS", 0)

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        put(table, name)


def cancel_transactions(table: str, times: int) -> Callable[[Any], None]:
    """Return a function that makes transactions with two valid writes and an unmet condition."""

    def work(client: Any) -> None:
        unmet = {"TableName": table, "Key": key("old 1", "one"), "ConditionExpression": "attribute_not_exists(kind)"}
        for number in range(times):
            with pytest.raises(client.exceptions.TransactionCanceledException) as error:
                client.transact_write_items(
                    TransactItems=[
                        {"Put": {"TableName": table, "Item": key("undone", str(number))}},
                        {"Delete": {"TableName": table, "Key": key("old 0", "one")}},
                        {"ConditionCheck": unmet},
                    ]
                )
            reasons = error.value.response["CancellationReasons"]
            assert [reason["Code"] for reason in reasons] == ["None", "None", "ConditionalCheckFailed"]

    return work


def write_items(table: str, kind: str, times: int) -> Callable[[Any], None]:
    """Return a function that puts items, counts them in another item, and checks each in a transaction."""

    def work(client: Any) -> None:
        count = {"TableName": table, "Key": key("count", kind)}
        for number in range(times):
            written = key(kind, str(number))
            client.put_item(TableName=table, Item=written)
            client.update_item(
                **count, UpdateExpression="ADD written :one", ExpressionAttributeValues={":one": {"N": "1"}}
            )
            assert client.get_item(**count, ConsistentRead=True)["Item"]["written"]["N"] == str(number + 1)
            check = {"TableName": table, "Key": written, "ConditionExpression": "attribute_exists(kind)"}
            client.transact_write_items(
                TransactItems=[
                    {"ConditionCheck": check},
                    {"Put": {"TableName": table, "Item": key(f"checked {kind}", str(number))}},
                ]
            )

    return work


def items(table: str, kind: str, page_size: int | None = None) -> list[dict[str, Any]]:
    paginator = clients.client_as_operator("dynamodb", QA).get_paginator("query")
    pages_of_items = paginator.paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="kind = :kind",
        ExpressionAttributeValues={":kind": {"S": kind}},
        PaginationConfig={"PageSize": page_size},
    )
    return [each for page in pages_of_items for each in page["Items"]]


def test_a_canceled_transaction_undoes_no_other_write(sorted_table: str, frequent_thread_switches: None) -> None:
    kinds = ["a", "b", "c"]
    concurrently(*(write_items(sorted_table, kind, 25) for kind in kinds), *[cancel_transactions(sorted_table, 25)] * 2)

    for kind in kinds:
        assert len(items(sorted_table, kind)) == len(items(sorted_table, f"checked {kind}")) == 25
    assert [each["written"]["N"] for each in items(sorted_table, "count")] == ["25"] * 3
    assert len(items(sorted_table, "old 0")) == 1
    assert items(sorted_table, "undone") == []


def test_no_read_sees_a_canceled_transaction(sorted_table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, begun = models.get_filter_expression, threading.Event()

    def evaluate_late(*arguments: Any) -> Any:
        begun.set()
        time.sleep(0.5)
        return evaluate(*arguments)

    def write_concurrently(client: Any) -> Any:
        assert begun.wait(60)
        client.put_item(TableName=sorted_table, Item=key("write_concurrently", "0"))
        return client.get_item(TableName=sorted_table, Key=key("undone", "0"))

    # The transaction evaluates the last item's condition after it has written the first item.
    monkeypatch.setattr(models, "get_filter_expression", evaluate_late)
    _, seen = concurrently(cancel_transactions(sorted_table, 1), write_concurrently)

    assert "Item" not in seen
    assert len(items(sorted_table, "write_concurrently")) == 1


def test_an_update_that_makes_an_item_too_large_changes_nothing(sorted_table: str) -> None:
    client = clients.client_as_operator("dynamodb", QA)
    for kind, before in (("old 0", [key("old 0", "one")]), ("new", [])):
        with pytest.raises(ClientError, match="Item size to update has exceeded the maximum allowed size"):
            client.update_item(
                TableName=sorted_table,
                Key=key(kind, "one"),
                UpdateExpression="SET little = :little, much = :much",
                ExpressionAttributeValues={":little": {"S": "s"}, ":much": {"S": "l" * 500_000}},
            )
        assert items(sorted_table, kind) == before


def test_a_transaction_that_makes_an_item_too_large_writes_nothing(sorted_table: str) -> None:
    client = clients.client_as_operator("dynamodb", QA)
    update = {
        "TableName": sorted_table,
        "Key": key("old 0", "one"),
        "UpdateExpression": "SET little = :little, much = :much",
        "ExpressionAttributeValues": {":little": {"S": "s"}, ":much": {"S": "l" * 500_000}},
    }
    with pytest.raises(ClientError, match="Item size to update has exceeded the maximum allowed size"):
        client.transact_write_items(
            TransactItems=[{"Put": {"TableName": sorted_table, "Item": key("new", "one")}}, {"Update": update}]
        )

    assert items(sorted_table, "old 0") == [key("old 0", "one")]
    assert items(sorted_table, "new") == []


def test_one_of_two_racing_conditional_writes_wins(sorted_table: str, frequent_thread_switches: None) -> None:
    start = threading.Barrier(2)
    update = {
        "UpdateExpression": "SET updated = :yes",
        "ConditionExpression": "attribute_not_exists(updated)",
        "ExpressionAttributeValues": {":yes": {"BOOL": True}},
    }

    def race(client: Any) -> list[bool]:
        won = []
        for number in range(200):
            name = key("race", str(number))
            for write, request in (
                (client.put_item, {"Item": name, "ConditionExpression": "attribute_not_exists(kind)"}),
                (client.update_item, {"Key": name} | update),
                (client.delete_item, {"Key": name, "ConditionExpression": "attribute_exists(updated)"}),
            ):
                start.wait(60)
                try:
                    write(TableName=sorted_table, **request)
                    won.append(True)
                except client.exceptions.ConditionalCheckFailedException:
                    won.append(False)
        return won

    one, other = concurrently(race, race)

    assert [not won for won in one] == other
    assert items(sorted_table, "race") == []


def test_queries_and_scans_return_each_item_once_during_concurrent_writes(
    sorted_table: str, frequent_thread_switches: None
) -> None:
    names = [f"{number:02}" for number in range(40)]
    permanent, temporary = names[::2], names[1::2]
    puts = [{"PutRequest": {"Item": key("paged", name)}} for name in permanent]
    clients.client_as_operator("dynamodb", QA).batch_write_item(RequestItems={sorted_table: puts})
    reading_ended = threading.Event()

    def put_and_delete(client: Any) -> None:
        for name in itertools.cycle(temporary):
            for kind in ("paged", f"new {name}"):
                client.put_item(TableName=sorted_table, Item=key(kind, name))
                client.delete_item(TableName=sorted_table, Key=key(kind, name))
            if reading_ended.is_set():
                return

    def read(client: Any) -> None:
        try:
            for _ in range(15):
                found = [each["key"]["S"] for each in items(sorted_table, "paged", page_size=3)]
                assert found == sorted(set(found))
                assert set(permanent) <= set(found)
                scanned = client.scan(TableName=sorted_table, Select="COUNT", ConsistentRead=True)["Count"]
                assert scanned >= OLD_ITEMS + len(permanent)
        finally:
            reading_ended.set()

    concurrently(put_and_delete, put_and_delete, read)
