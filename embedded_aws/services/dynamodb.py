"""DynamoDB's isolation: one request at a time, and every write all or nothing.

AWS isolates a transaction from every other write and from every GetItem, and makes no change at all where a write fails
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html). moto serves each request in
its own thread, without a lock. With one, no request here meets an ongoing transaction, so that AWS's answers to that
never occur: TransactionConflictException, TransactionInProgressException and the cancellation reason
TransactionConflict. `Kind.CONFLICT_ONCE` of `embedded_aws.gateway.faults` gives the first and the last of them.
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
from moto.dynamodb.models import DynamoDBBackend, Table
from moto.dynamodb.models.dynamo_type import DynamoType, Item
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
# Held until the response is serialized, because moto's results refer to the items themselves.
_turn = threading.RLock()
# By account and token: when the transaction was completed, its items and its result.
_completed: dict[tuple[str, str], tuple[float, str, Any]] = {}


class _MismatchError(DynamodbException):
    error_type = "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException"

    def __init__(self) -> None:
        super().__init__(self.error_type, "The client request token was used with other parameters before.")


def install(host: Host) -> None:
    _completed.clear()
    patches.apply()


@patches.replaces(DynamoHandler, "call_action", "moto serves requests concurrently without a lock.")
def _call_action(handler: DynamoHandler) -> Any:
    with _turn:
        return _call_in_moto(handler)


@patches.replaces(DynamoHandler, "transact_write_items", "moto ignores ClientRequestToken.")
def _transact_write_items(handler: DynamoHandler) -> Any:
    """Write a transaction only once for each token; moto ignores the token.

    "A client request token is valid for 10 minutes after the first request that uses it is completed"
    (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
    """
    token, asked = handler.body.get("ClientRequestToken"), json.dumps(handler.body["TransactItems"], sort_keys=True)
    if not token:
        return _transact_in_moto(handler)
    key, now = (handler.current_account, token), time.monotonic()
    if (before := _completed.get(key)) and now - before[0] < _VALID_SECONDS:
        if before[1] != asked:
            raise _MismatchError
        return before[2]
    answer = _transact_in_moto(handler)
    _completed[key] = (now, asked, answer)
    return answer


@patches.replaces(DynamoDBBackend, "transact_write_items", "moto restores whole tables after a failed transaction.")
def _write_all(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    """Write all items or none; moto restores whole tables, and with them undoes the writes of others."""
    with _staged(backend, [request for item in transact_items for request in item.values()]) as stage:
        _write_all_in_moto(stage, transact_items)


@patches.replaces(DynamoDBBackend, "update_item", "moto keeps half of an update that makes the item too large.")
def _update_item(
    backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *arguments: Any, **more_arguments: Any
) -> Item:
    """Update an item or leave it as it is; moto keeps half of an update that makes the item too large."""
    with _staged(backend, [{"TableName": table_name, "Key": key}]) as stage:
        return _update_in_moto(stage, table_name, key, *arguments, **more_arguments)


@contextlib.contextmanager
def _staged(backend: DynamoDBBackend, requests: list[dict[str, Any]]) -> Iterator[DynamoDBBackend]:
    """Yield a backend with copies of the items that `requests` name, and write the items back if the block succeeds.

    A request has a TableName, and a Key or an Item.
    """
    stage = copy.copy(backend)
    stage.tables = {}
    places = []
    for request in requests:
        table = backend.get_table(request["TableName"])
        if table.name not in stage.tables:
            stage.tables[table.name] = copy.copy(table)
            stage.tables[table.name].items = collections.defaultdict(dict)
            stage.tables[table.name].stream_shard = None
        place = backend.get_keys_value(table, request["Item"] if "Item" in request else request["Key"])
        if found := table.get_item(*place):
            _place(stage.tables[table.name], place, copy.deepcopy(found))
        places.append((table, place))
    yield stage
    for table, place in places:
        old, new = table.get_item(*place), stage.tables[table.name].get_item(*place)
        if new is None:
            table.delete_item(*place)
        elif old is None or new != old:
            _place(table, place, new)
            if table.stream_shard:
                table.stream_shard.add(old, new)


def _place(table: Table, place: tuple[DynamoType, DynamoType | None], item: Item) -> None:
    hash_key, range_key = place
    if range_key:
        table.items[hash_key][range_key] = item
    else:
        table.items[hash_key] = item


def _required(call: Call) -> Needs:
    request, operation = call.parameters, call.operation

    def table(name: str) -> str:
        return name if name.startswith("arn:") else call.arn("dynamodb", f"table/{name}")

    match operation:
        case "TransactWriteItems":
            for item in request["TransactItems"]:
                for kind, body in item.items():
                    yield Need(f"dynamodb:{_ITEM_ACTIONS[kind]}", (table(body["TableName"]),))
        case "TransactGetItems":
            for item in request["TransactItems"]:
                yield Need("dynamodb:GetItem", (table(item["Get"]["TableName"]),))
        case "BatchWriteItem" | "BatchGetItem":
            for name in request["RequestItems"]:
                yield Need(f"dynamodb:{operation}", (table(name),))
        case "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "DescribeTable":
            yield Need(f"dynamodb:{operation}", (table(request["TableName"]),))
        case "Query" | "Scan":
            index = f"/index/{request['IndexName']}" if request.get("IndexName") else ""
            yield Need(f"dynamodb:{operation}", (table(request["TableName"]) + index,))


PERMISSIONS = {"dynamodb": Permissions(_required)}
