"""The promotion table in memory: DynamoDB's conditions, updates, transactions and queries.

Items are stored as JSON, so that a copy of the table is a copy of a dictionary. moto evaluates the conditions.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from tests.explorer.answers import AwsError, NotModeledError, dumps

Key = tuple[str, str]
Items = dict[Key, str]

_WRITES = {"Put": "put_item", "Update": "update_item", "Delete": "delete_item"}


def call(items: Items, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Execute an operation on `items`, and return its response. Raise AwsError without any change."""
    match operation:
        case "get_item":
            found = items.get(_key(request["Key"]))
            return {"Item": json.loads(found)} if found else {}
        case "query":
            parts = [request["KeyConditionExpression"], request.get("FilterExpression", "")]
            condition = " AND ".join(f"({part})" for part in parts if part)
            found_items = [items[key] for key in sorted(items) if key[0] and _holds(condition, request, items[key])]
            return {"Items": [json.loads(item) for item in found_items]}
        case "transact_write_items":
            return _transact(items, request)
    _write(items, operation, request)
    return {}


def _transact(items: Items, request: dict[str, Any]) -> dict[str, Any]:
    token = request.get("ClientRequestToken")
    done = ("", token or "")
    if token and done in items:
        if items[done] != dumps(request["TransactItems"]):
            raise AwsError("IdempotentParameterMismatchException")
        return {}
    staged, reasons = dict(items), []
    for write in request["TransactItems"]:
        [(kind, body)] = write.items()
        try:
            _write(staged, _WRITES[kind], body)
            reasons.append({"Code": "None"})
        except AwsError as error:
            reasons.append({"Code": error.code.removesuffix("Exception")})
    if any(reason["Code"] != "None" for reason in reasons):
        raise AwsError("TransactionCanceledException", CancellationReasons=reasons)
    if token:
        staged[done] = dumps(request["TransactItems"])
    items.clear()
    items.update(staged)
    return {}


def _write(items: Items, operation: str, request: dict[str, Any]) -> None:
    key = _key(request["Item"] if operation == "put_item" else request["Key"])
    if (condition := request.get("ConditionExpression")) and not _holds(condition, request, items.get(key, "{}")):
        raise AwsError("ConditionalCheckFailedException", "The conditional request failed")
    match operation:
        case "put_item":
            items[key] = dumps(request["Item"])
        case "delete_item":
            items.pop(key, None)
        case "update_item":
            items[key] = dumps(json.loads(items.get(key, dumps(request["Key"]))) | _assigned(request))
        case _:
            raise NotModeledError(f"A write to the table is a call of {operation}.")


def _assigned(request: dict[str, Any]) -> dict[str, Any]:
    """Return the new attributes of an update expression, which only sets attributes to values."""
    names, values = request.get("ExpressionAttributeNames", {}), request["ExpressionAttributeValues"]
    assignments = re.fullmatch(r"SET (.+)", request["UpdateExpression"])
    assert assignments, request["UpdateExpression"]
    pairs = [assignment.split(" = ") for assignment in assignments[1].split(", ")]
    return {names.get(name, name): values[value] for name, value in pairs}


def _holds(condition: str, request: dict[str, Any], item: str) -> bool:
    names, values = (request.get(f"ExpressionAttribute{kind}", {}) for kind in ("Names", "Values"))
    return _evaluate(condition, dumps(names), dumps(values), item)


@functools.lru_cache(maxsize=100_000)
def _evaluate(condition: str, names: str, values: str, item: str) -> bool:
    return bool(_expression(condition, names, values).expr(_item(item)))


@functools.lru_cache(maxsize=10_000)
def _expression(condition: str, names: str, values: str) -> Any:
    return get_filter_expression(condition, json.loads(names), json.loads(values))


@functools.lru_cache(maxsize=10_000)
def _item(text: str) -> Item:
    key = DynamoType({"S": "any"})
    return Item(key, key, json.loads(text))


def _key(item: dict[str, Any]) -> Key:
    return item["kind"]["S"], item["key"]["S"]
