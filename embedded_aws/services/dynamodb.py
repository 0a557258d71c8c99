"""DynamoDB's isolation: one request at a time, and every write is all or nothing.

AWS isolates a transaction from every other write and from every GetItem, and changes nothing if a write fails
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html). moto serves each request in
its own thread, without a lock. With the lock of this module, no request coincides with an ongoing transaction, so
these errors do not occur: TransactionConflictException, TransactionInProgressException and the cancellation reason
TransactionConflict. `Kind.CONFLICT_ONCE` of `embedded_aws.gateway.faults` injects the first and the last of them.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from moto.dynamodb.exceptions import DynamodbException
from moto.dynamodb.models import DynamoDBBackend, Table, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.parsing.key_condition_expression import parse_expression
from moto.dynamodb.responses import DynamoHandler

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches

_ITEM_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_VALID_SECONDS = 600

patches = Patches("5.2.5")
_call_in_moto = DynamoHandler.call_action
_transact_in_moto = DynamoHandler.transact_write_items
_write_all_in_moto = DynamoDBBackend.transact_write_items
_update_in_moto = DynamoDBBackend.update_item
# Held until the response is serialized, because moto's results refer to the stored items.
_request_lock = threading.RLock()
# By account and token: the time of the transaction's completion, its items and its result.
_completed: dict[tuple[str, str], tuple[float, str, Any]] = {}


class _MismatchError(DynamodbException):
    error_type = "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException"

    def __init__(self) -> None:
        super().__init__(self.error_type, "The client request token was already used with other parameters.")


def install(host: Host) -> None:
    """Apply the patches."""
    _completed.clear()
    patches.apply()


@patches.replaces(DynamoHandler, "call_action", "moto serves requests concurrently without a lock.")
def _call_action(handler: DynamoHandler) -> Any:
    with _request_lock:
        return _call_in_moto(handler)


@patches.replaces(DynamoHandler, "transact_write_items", "moto ignores ClientRequestToken.")
def _transact_write_items(handler: DynamoHandler) -> Any:
    """Write a transaction only once for each token.

    "A client request token is valid for 10 minutes after the first request that uses it is completed"
    (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
    """
    token, items = handler.body.get("ClientRequestToken"), json.dumps(handler.body["TransactItems"], sort_keys=True)
    if not token:
        return _transact_in_moto(handler)
    key, now = (handler.current_account, token), time.monotonic()
    if (earlier := _completed.get(key)) and now - earlier[0] < _VALID_SECONDS:
        if earlier[1] != items:
            raise _MismatchError
        return earlier[2]
    result = _transact_in_moto(handler)
    _completed[key] = (now, items, result)
    return result


@patches.replaces(DynamoDBBackend, "transact_write_items", "moto restores whole tables after a failed transaction.")
def _write_all(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    """Write all items or none. moto restores whole tables, which also undoes the writes of other requests."""
    with _staged(backend, [request for item in transact_items for request in item.values()]) as stage:
        _write_all_in_moto(stage, transact_items)


@patches.replaces(DynamoDBBackend, "update_item", "moto keeps part of an update that makes the item too large.")
def _update_item(
    backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *arguments: Any, **more_arguments: Any
) -> Item:
    """Update an item, or leave it unchanged if the update fails."""
    with _staged(backend, [{"TableName": table_name, "Key": key}]) as stage:
        return _update_in_moto(stage, table_name, key, *arguments, **more_arguments)


@contextlib.contextmanager
def _staged(backend: DynamoDBBackend, requests: list[dict[str, Any]]) -> Iterator[DynamoDBBackend]:
    """Yield a backend with copies of the items in `requests`, and store the copies if the block succeeds.

    A request has a TableName, and a Key or an Item.
    """
    stage = copy.copy(backend)
    stage.tables = {}
    locations = []
    for request in requests:
        table = backend.get_table(request["TableName"])
        if table.name not in stage.tables:
            stage.tables[table.name] = copy.copy(table)
            stage.tables[table.name].items = collections.defaultdict(dict)
            stage.tables[table.name].stream_shard = None
        keys = backend.get_keys_value(table, request["Item"] if "Item" in request else request["Key"])
        if item := table.get_item(*keys):
            _store(stage.tables[table.name], keys, copy.deepcopy(item))
        locations.append((table, keys))
    yield stage
    for table, keys in locations:
        old, new = table.get_item(*keys), stage.tables[table.name].get_item(*keys)
        if new is None:
            table.delete_item(*keys)
        elif old is None or new != old:
            _store(table, keys, new)
            if table.stream_shard:
                table.stream_shard.add(old, new)


def _store(table: Table, keys: tuple[DynamoType, DynamoType | None], item: Item) -> None:
    hash_key, range_key = keys
    if range_key:
        table.items[hash_key][range_key] = item
    else:
        table.items[hash_key] = item


def _required(call: Call) -> Needs:
    """Yield the required permissions, each with the partition keys of its items as `dynamodb:LeadingKeys`.

    The service authorization reference lists this key for all actions here except Scan and DescribeTable, where it is
    absent. That a transaction has the key of one item for each of its actions, instead of all keys, is assumed.
    """
    request, operation = call.parameters, call.operation

    def need(action: str, name: str, keys: list[str] | None, index: str = "") -> Need:
        table = name if name.startswith("arn:") else call.arn("dynamodb", f"table/{name}")
        context: dict[str, str | list[str] | None] = {"dynamodb:leadingkeys": keys}
        return Need(f"dynamodb:{action}", (table + (f"/index/{index}" if index else ""),), context)

    def leading(name: str, *items: dict[str, Any]) -> list[str]:
        partition_key = _table(call, name).hash_key_attr
        return [_text(item[partition_key]) for item in items]

    match operation:
        case "TransactWriteItems":
            for item in request["TransactItems"]:
                for kind, body in item.items():
                    name = body["TableName"]
                    yield need(_ITEM_ACTIONS[kind], name, leading(name, body["Item" if kind == "Put" else "Key"]))
        case "TransactGetItems":
            for item in request["TransactItems"]:
                name = item["Get"]["TableName"]
                yield need("GetItem", name, leading(name, item["Get"]["Key"]))
        case "BatchGetItem":
            for name, keys in request["RequestItems"].items():
                yield need(operation, name, leading(name, *keys["Keys"]))
        case "BatchWriteItem":
            for name, writes in request["RequestItems"].items():
                items = [body.get("Item", body.get("Key")) for write in writes for body in write.values()]
                yield need(operation, name, leading(name, *items))
        case "PutItem":
            yield need(operation, request["TableName"], leading(request["TableName"], request["Item"]))
        case "GetItem" | "UpdateItem" | "DeleteItem":
            yield need(operation, request["TableName"], leading(request["TableName"], request["Key"]))
        case "Query":
            index = request.get("IndexName") or ""
            yield need(operation, request["TableName"], _queried(_table(call, request["TableName"]), request), index)
        case "Scan":
            yield need(operation, request["TableName"], None, request.get("IndexName") or "")
        case "DescribeTable":
            yield need(operation, request["TableName"], None)


def _table(call: Call, name: str) -> Table:
    try:
        return dynamodb_backends[call.account][call.region].get_table(name)
    except DynamodbException as error:
        raise ValueError(f"There is no table {name}.") from error


def _queried(table: Table, request: dict[str, Any]) -> list[str]:
    """Return the partition key that a query names. Raise ValueError if it names none, which DynamoDB rejects."""
    index = request.get("IndexName")
    schema = table.get_index(index).schema if index else table.schema
    if "KeyConditionExpression" not in request:
        (partition_key,) = [key["AttributeName"] for key in schema if key["KeyType"] == "HASH"]
        return [_text(value) for value in request["KeyConditions"][partition_key]["AttributeValueList"]]
    try:
        partition_keys, *_ = parse_expression(
            key_condition_expression=request["KeyConditionExpression"],
            expression_attribute_names=request.get("ExpressionAttributeNames", {}),
            expression_attribute_values=request.get("ExpressionAttributeValues", {}),
            schema=schema,
        )
    except DynamodbException as error:
        raise ValueError(str(error)) from error
    return [_text(partition_keys[0][1])]


def _text(value: dict[str, Any]) -> str:
    """Return the value of a key attribute, such as {"S": "a"}, as a condition compares it."""
    (plain,) = value.values()
    return str(plain)


PERMISSIONS = {"dynamodb": Permissions(_required)}
