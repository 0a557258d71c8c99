"""Reads and conditional writes of the promotion table."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from promotion.errors import TransientError
from promotion.history.table import PromotionTable
from tests.support import promotion_table
from tests.support.promotion_table import NAME
from tests.support.s3_faults import client_error

ITEM: dict[str, Any] = {"kind": "use", "key": "reviews-qa#first", "digest": "d1", "seconds": 7, "ended": ""}
ABSENT = "attribute_not_exists(kind)"


def test_an_item_is_read_as_it_was_written(table: PromotionTable) -> None:
    assert table.put(ITEM)

    assert table.get("use", "reviews-qa#first") == ITEM
    assert table.get("use", "reviews-qa#second") is None


def test_a_query_returns_the_items_of_a_kind_in_the_order_of_their_keys(table: PromotionTable) -> None:
    for key in ("b#2", "a#1", "b#1"):
        table.put({"kind": "use", "key": key, "number": len(key)})
    table.put({"kind": "removal", "key": "a#1"})

    assert [item["key"] for item in table.query("use")] == ["a#1", "b#1", "b#2"]
    assert [item["key"] for item in table.query("use", prefix="b#")] == ["b#1", "b#2"]
    assert [item["key"] for item in table.query("use", prefix="b#", where="#key <> :key", key="b#1")] == ["b#2"]


def test_a_query_returns_more_items_than_fit_on_a_page(table: PromotionTable) -> None:
    # One page of a query has at most 1 MB.
    for number in range(30):
        promotion_table.put("use", f"{number:02}", padding="x" * 50_000)

    assert [item["key"] for item in table.query("use")] == [f"{number:02}" for number in range(30)]


def test_a_write_that_fails_its_condition_changes_nothing(table: PromotionTable) -> None:
    assert table.put(ITEM, ABSENT)
    assert not table.put(ITEM | {"digest": "d2"}, ABSENT)
    assert not table.update("use", ITEM["key"], "SET #ended = :by", "digest = :digest", by="x", digest="d2")

    assert table.get("use", "reviews-qa#first") == ITEM


def test_an_update_changes_only_its_attributes(table: PromotionTable) -> None:
    table.put(ITEM)

    assert table.update("use", ITEM["key"], "SET #ended = :by", by="newer")

    assert table.get("use", "reviews-qa#first") == ITEM | {"ended": "newer"}


def test_an_item_is_deleted(table: PromotionTable) -> None:
    table.put(ITEM)

    table.delete("use", "reviews-qa#first")

    assert promotion_table.keys() == []


def test_a_transaction_writes_all_or_nothing(table: PromotionTable) -> None:
    first, second = (table.put_request(ITEM | {"key": key}, ABSENT) for key in ("a", "b"))
    again = table.put_request(ITEM | {"key": "c"})

    assert table.transact("The use", {"Put": first})
    assert not table.transact("The use", {"Put": again}, {"Put": first})
    assert promotion_table.keys() == ["use a"]
    assert table.transact("The use", {"Put": second}, {"Put": again})
    assert promotion_table.keys() == ["use a", "use b", "use c"]


class Contended:
    """A DynamoDB that cancels every transaction because of a conflict with another one."""

    exceptions = boto3.client("dynamodb").exceptions

    def transact_write_items(self, **_: object) -> None:
        error = {"Error": {"Code": "TransactionCanceledException"}}
        reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
        raise self.exceptions.TransactionCanceledException(
            {**error, "CancellationReasons": reasons}, "TransactWriteItems"
        )


def test_a_transaction_conflict_is_a_transient_error() -> None:
    table = PromotionTable(Contended(), NAME)

    with pytest.raises(TransientError, match=r"^The journal of reviews-qa could not be written: .*TransactionConflict"):
        table.transact("The journal of reviews-qa", {"Put": table.put_request(ITEM)})


class Denied:
    def put_item(self, **_: object) -> None:
        raise client_error("AccessDeniedException")


def test_any_other_error_of_a_write_is_raised(moto: None) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        PromotionTable(Denied(), NAME).put(ITEM, ABSENT)
    table = promotion_table.missing()
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        table.put(ITEM, ABSENT)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        table.transact("The use", {"Put": table.put_request(ITEM)})
