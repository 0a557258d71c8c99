"""DynamoDB's idempotent transactions, and the permissions that calls of DynamoDB require.

"A client request token is valid for 10 minutes after the first request that uses it is completed"
(https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
"""

from __future__ import annotations

import json
import time
from typing import Any

from moto.dynamodb.exceptions import DynamodbException
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
_transact_in_moto = DynamoHandler.transact_write_items
# By account and token: the time, the request and the response.
_completed: dict[tuple[str, str], tuple[float, str, Any]] = {}


class _MismatchError(DynamodbException):
    error_type = "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException"

    def __init__(self) -> None:
        super().__init__(self.error_type, "The client request token was used with other parameters before.")


def install(host: Host) -> None:
    _completed.clear()
    patches.apply()


@patches.replaces(DynamoHandler, "transact_write_items", "moto ignores ClientRequestToken.")
def _transact_write_items(handler: DynamoHandler) -> Any:
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
