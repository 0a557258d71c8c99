"""The promotion table: its items, and the operations that read and write them.

An item has a `kind` (partition key) and a `key` (sort key):

    lock                    <endpoint>              the lock, and the journal of the promotion that holds it
    live                    <endpoint>              the record of the live promotion
    history#<endpoint>      <ended at>#<execution>  the record of a promotion that held the lock, successful or failed
    autoscaling             <endpoint>              the scalable targets before the last promotion, and those wanted
    approval                <endpoint>#<digest>     the approval request, and the candidate that superseded it
    used-approval           <automation>            the execution that used an approval
    difference              <endpoint>              the differences of the endpoint that were reported last
    use                     <endpoint>#<execution>  the digest whose resources an execution uses
    execution               <execution>             the endpoint whose lock an execution may hold
    started                 <day>#<kind>#<name>     the execution that was started for a source or an ended approval
    started                 since                   the time from which lost events are looked for
    reference               <kind>#<resource>       what an endpoint, endpoint config or model of the account refers to
    reference               <kind>                  the time until which resources of a kind have been listed
    removal                 <endpoint>#<execution>#<invocation>  the time when it has certainly ended

The kinds `lock`, `live`, `history#…` and `approval` have the promotion record as JSON in the attribute `promotion`.
States of the state machine also write the first three kinds directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.errors import TransientError

Item = dict[str, Any]

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class PromotionTable:
    """The promotion table of a stage, with attributes as plain Python values and consistent reads.

    An expression refers to a keyword argument as `:argument`, and to an attribute whose name is a reserved word as
    `#attribute`.
    """

    def __init__(self, dynamodb: Any, name: str) -> None:
        self._dynamodb = dynamodb
        self._name = name

    def get(self, kind: str, key: str) -> Item | None:
        """Return an item, or None if there is none."""
        answer = self._dynamodb.get_item(TableName=self._name, Key=_key(kind, key), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def query(
        self, kind: str, *, prefix: str = "", where: str = "", newest: int | None = None, **values: Any
    ) -> Iterator[Item]:
        """Yield the items of a kind whose keys begin with `prefix`, in the order of their keys.

        `where` is a filter expression. With `newest`, yield only so many items, in descending order of their keys.
        """
        condition = "#kind = :kind"
        values["kind"] = kind
        if prefix:
            condition += " AND begins_with(#key, :prefix)"
            values["prefix"] = prefix
        request: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True, "KeyConditionExpression": condition}
        if where:
            request["FilterExpression"] = where
        if newest:
            request |= {"ScanIndexForward": False, "PaginationConfig": {"MaxItems": newest, "PageSize": newest}}
        pages = self._dynamodb.get_paginator("query").paginate(**request, **_placeholders(condition + where, values))
        return (_plain(item) for page in pages for item in page["Items"])

    def put(self, item: Item, condition: str = "", **values: Any) -> bool:
        """Write an item; return False if it does not meet `condition`."""
        return _is_written(self._dynamodb.put_item, self.put_request(item, condition, **values))

    def update(self, kind: str, key: str, update: str, condition: str = "", **values: Any) -> bool:
        """Apply an update expression to an item; return False if the item does not meet `condition`."""
        return _is_written(self._dynamodb.update_item, self.update_request(kind, key, update, condition, **values))

    def delete(self, kind: str, key: str) -> None:
        """Delete an item, if it exists."""
        self._dynamodb.delete_item(TableName=self._name, Key=_key(kind, key))

    def transact(self, what: str, *writes: dict[str, Any]) -> bool:
        """Execute all `writes` or none; return False if an item does not meet its condition.

        A write is {"Put": `put_request`} or {"Update": `update_request`}. Raise TransientError, which names `what`, if
        DynamoDB cancels the transaction for another reason.
        """
        try:
            self._dynamodb.transact_write_items(TransactItems=list(writes))
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in reasons:
                return False
            raise TransientError(f"{what} could not be written: {', '.join(map(str, reasons))}.") from error
        return True

    def put_request(self, item: Item, condition: str = "", **values: Any) -> dict[str, Any]:
        """Return the request of PutItem."""
        return self._conditional({"Item": _typed(item)}, condition, values)

    def update_request(self, kind: str, key: str, update: str, condition: str = "", **values: Any) -> dict[str, Any]:
        """Return the request of UpdateItem."""
        return self._conditional({"Key": _key(kind, key), "UpdateExpression": update}, condition, values)

    def _conditional(self, request: dict[str, Any], condition: str, values: Item) -> dict[str, Any]:
        request |= {"TableName": self._name, **_placeholders(request.get("UpdateExpression", "") + condition, values)}
        return request | ({"ConditionExpression": condition} if condition else {})


def _is_written(write: Callable[..., Any], request: dict[str, Any]) -> bool:
    try:
        write(**request)
    except ClientError as error:
        if meaning(error) is not Meaning.CHANGED:
            raise
        return False
    return True


def _placeholders(expressions: str, values: Item) -> dict[str, Any]:
    """Return the names and values of the placeholders in `expressions`, without empty maps, which DynamoDB rejects."""
    placeholders = {
        "ExpressionAttributeNames": {name: name.removeprefix("#") for name in re.findall(r"#\w+", expressions)},
        "ExpressionAttributeValues": {f":{name}": _serialize(value) for name, value in values.items()},
    }
    return {member: mapping for member, mapping in placeholders.items() if mapping}


def _key(kind: str, key: str) -> dict[str, Any]:
    return _typed({"kind": kind, "key": key})


def _typed(item: Item) -> dict[str, Any]:
    return {name: _serialize(value) for name, value in item.items()}


def _plain(item: dict[str, Any]) -> Item:
    return {name: _deserialize(value) for name, value in item.items()}
