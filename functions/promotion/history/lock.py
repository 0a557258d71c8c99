"""The promotion table: which promotion holds an endpoint, what is live, and what was.

Its items, by `kind` (partition key) and `key` (sort key):

    running                 <endpoint>              the lock, and the journal of the promotion that holds it
    live                    <endpoint>              the record of what is live
    history#<endpoint>      <ended at>#<execution>  every promotion that held the endpoint, good and bad
    autoscaling             <endpoint>              what scaled it before its last promotion, and was to scale it after
    approval                <endpoint>#<digest>     the approval that was asked for, and what took its place

Each but `autoscaling`, which does not fit into a record, has the promotion record as JSON in `promotion`. The state
machine writes the first three kinds itself, too.
Two more kinds are those of `promotion.claims`.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

from botocore.exceptions import ClientError

from promotion.endpoint.autoscaling import Target
from promotion.errors import PromotionRefusedError, TryAgainError

RECOVERY_ATTEMPTS = 3
"""How often it is tried to recover what died, before people are called."""


@dataclasses.dataclass(frozen=True)
class Running:
    """The promotion that holds an endpoint: the execution that acts for it now, and its record so far."""

    execution: str
    recoveries: int
    promotion: dict[str, Any]

    @property
    def is_given_up(self) -> bool:
        """Whether it was tried often enough to recover it: now people are needed."""
        return self.recoveries >= RECOVERY_ATTEMPTS


def running(dynamodb: Any, table: str, endpoint: str) -> Running | None:
    """The promotion that holds `endpoint` now, if any."""
    key = {"kind": {"S": "running"}, "key": {"S": endpoint}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return _running(item) if item else None


@dataclasses.dataclass(frozen=True)
class Held:
    """An endpoint that is held, by which promotion and since when."""

    endpoint: str
    since: datetime.datetime
    by: Running

    def unexplained_seconds(self, now: datetime.datetime) -> float:
        """How long it is held beyond what the waits of its deployment explain."""
        baking: float = self.by.promotion.get("baking_seconds", 0)
        return max(0.0, (now - self.since).total_seconds() - baking)


def held(dynamodb: Any, table: str) -> list[Held]:
    """All endpoints that are held."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="kind = :running",
        ExpressionAttributeValues={":running": {"S": "running"}},
    )
    return [
        Held(item["key"]["S"], datetime.datetime.fromisoformat(item["taken_at"]["S"]), _running(item))
        for page in pages
        for item in page["Items"]
    ]


def running_in(dynamodb: Any, table: str, execution: str) -> Running | None:
    """The promotion that `execution` (an ARN) acts for, if it holds an endpoint."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="kind = :running",
        FilterExpression="execution = :execution",
        ExpressionAttributeValues={":running": {"S": "running"}, ":execution": {"S": execution}},
    )
    return next((_running(item) for page in pages for item in page["Items"]), None)


def take(dynamodb: Any, table: str, execution: str, promotion: dict[str, Any], taken_at: str) -> bool:
    """Take the endpoint of `promotion` for `execution`; False when another one holds it."""
    try:
        dynamodb.put_item(
            TableName=table,
            Item={
                "kind": {"S": "running"},
                "key": {"S": promotion["endpoint"]},
                "execution": {"S": execution},
                "taken_at": {"S": taken_at},
                "promotion": {"S": json.dumps(promotion)},
            },
            # It is its own already where the answer to an earlier request was lost.
            ConditionExpression="attribute_not_exists(execution) OR execution = :execution",
            ExpressionAttributeValues={":execution": {"S": execution}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def assert_held(dynamodb: Any, table: str, execution: str, endpoint: str) -> None:
    """Raise PromotionRefusedError unless `execution` holds `endpoint`.

    What a dead execution has begun goes on without it. Before it changes anything it asks here, so that it does not
    undo what a recovery, or the next promotion, has done meanwhile.
    """
    held = running(dynamodb, table, endpoint)
    if held is None or held.execution != execution:
        raise _no_longer_held(endpoint)


def note(
    dynamodb: Any, table: str, execution: str, promotion: dict[str, Any], previous: list[Target], wanted: list[Target]
) -> None:
    """Write into the journal of the endpoint that `execution` holds what is about to be changed.

    That is `promotion`, the `previous` scalable targets of its endpoint and the `wanted` ones. Raises
    PromotionRefusedError when the endpoint is no longer held: then nothing may be changed any more.
    """
    endpoint = promotion["endpoint"]
    update = {
        "TableName": table,
        "Key": {"kind": {"S": "running"}, "key": {"S": endpoint}},
        "UpdateExpression": "SET promotion = :promotion",
        "ConditionExpression": "execution = :execution",
        "ExpressionAttributeValues": {":promotion": {"S": json.dumps(promotion)}, ":execution": {"S": execution}},
    }
    item = {
        "kind": {"S": "autoscaling"},
        "key": {"S": endpoint},
        "execution": {"S": execution},
        "previous": {"S": json.dumps(previous)},
        "wanted": {"S": json.dumps(wanted)},
    }
    try:
        dynamodb.transact_write_items(TransactItems=[{"Update": update}, {"Put": {"TableName": table, "Item": item}}])
    except dynamodb.exceptions.TransactionCanceledException as error:
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        if "ConditionalCheckFailed" in reasons:
            raise _no_longer_held(endpoint) from error
        raise TryAgainError(
            f"The journal of {endpoint} could not be written: {', '.join(map(str, reasons))}"
        ) from error


def _no_longer_held(endpoint: str) -> PromotionRefusedError:
    return PromotionRefusedError(
        f"The endpoint {endpoint} is no longer held by this execution, so nothing was changed."
    )


@dataclasses.dataclass(frozen=True)
class Scaling:
    """What scaled an endpoint before a promotion, and what is to scale it after."""

    previous: list[Target]
    wanted: list[Target]


def scaling(dynamodb: Any, table: str, endpoint: str) -> Scaling:
    """What the last promotion that changed `endpoint` noted of its scaling."""
    key = {"kind": {"S": "autoscaling"}, "key": {"S": endpoint}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
    return Scaling(previous=json.loads(item["previous"]["S"]), wanted=json.loads(item["wanted"]["S"]))


def _running(item: dict[str, Any]) -> Running:
    return Running(
        execution=item["execution"]["S"],
        recoveries=int(item.get("recoveries", {"N": "0"})["N"]),
        promotion=json.loads(item["promotion"]["S"]),
    )
