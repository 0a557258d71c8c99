"""Who uses and who removes what the promotions of one endpoint share: artifacts, models and configs named by content.

A promotion finds what an earlier one made and uses it again, while retention removes what is superseded. Both say so
in the promotion table before they look for the other: a promotion writes its use and then looks for a removal, a
removal writes itself and then looks for uses. Whichever was second sees the first, so that a promotion waits and a
removal leaves alone what is used. Its items:

    use         <endpoint>#<execution>   an execution between its plan and its end, and the digest that it needs
    removal     <endpoint>#<execution>   an execution that removes, and when its function is dead at the latest

A use counts as long as its execution runs, a removal until its execution has succeeded or its function is dead at the
latest; what is left of the dead ones is cleared by the next removal.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.executions import has_succeeded, is_running
from promotion.errors import EndpointBusyError


@dataclasses.dataclass(frozen=True)
class Use:
    """An execution that needs what belongs to a digest."""

    execution: str
    digest: str


def use(dynamodb: Any, stepfunctions: Any, table: str, endpoint: str, claim: Use, now: float) -> None:
    """Say that an execution uses a digest's artifacts, models and configs from now on.

    `now` is in seconds since 1970. Raises EndpointBusyError while something of the endpoint is being removed; to be
    tried again.
    """
    dynamodb.put_item(TableName=table, Item=_key("use", endpoint, claim.execution) | {"digest": {"S": claim.digest}})
    for execution, item in _items(dynamodb, table, "removal", endpoint):
        # One that was aborted may have left its function running.
        if float(item["ends_at"]["N"]) > now and not has_succeeded(stepfunctions, execution):
            raise EndpointBusyError(
                f"{execution} removes what is superseded on {endpoint} right now, which this promotion might use."
            )


def uses(dynamodb: Any, stepfunctions: Any, table: str, endpoint: str) -> list[Use]:
    """The uses of executions that run."""
    return [
        Use(execution, item["digest"]["S"])
        for execution, item in _items(dynamodb, table, "use", endpoint)
        if is_running(stepfunctions, execution)
    ]


def begin_removal(dynamodb: Any, table: str, endpoint: str, execution: str, ends_at: float) -> None:
    """Keep promotions from using what may be removed, until `end_removal` or `ends_at` (seconds since 1970)."""
    item = _key("removal", endpoint, execution) | {"ends_at": {"N": str(round(ends_at))}}
    dynamodb.put_item(TableName=table, Item=item)


def end_removal(dynamodb: Any, table: str, endpoint: str, execution: str) -> None:
    dynamodb.delete_item(TableName=table, Key=_key("removal", endpoint, execution))


def clear(dynamodb: Any, stepfunctions: Any, table: str, endpoint: str, now: float) -> None:
    """Delete the uses of executions that do not run, and the removals whose functions are dead."""
    dead = [
        *(("use", one) for one, _ in _items(dynamodb, table, "use", endpoint) if not is_running(stepfunctions, one)),
        *(
            ("removal", one)
            for one, item in _items(dynamodb, table, "removal", endpoint)
            if float(item["ends_at"]["N"]) < now
        ),
    ]
    for kind, execution in dead:
        dynamodb.delete_item(TableName=table, Key=_key(kind, endpoint, execution))


def _key(kind: str, endpoint: str, execution: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "key": {"S": f"{endpoint}#{execution}"}}


def _items(dynamodb: Any, table: str, kind: str, endpoint: str) -> list[tuple[str, dict[str, Any]]]:
    """The items of a kind for an endpoint, each with its execution."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="#kind = :kind AND begins_with(#key, :endpoint)",
        ExpressionAttributeNames={"#kind": "kind", "#key": "key"},
        ExpressionAttributeValues={":kind": {"S": kind}, ":endpoint": {"S": f"{endpoint}#"}},
    )
    return [(item["key"]["S"].removeprefix(f"{endpoint}#"), item) for page in pages for item in page["Items"]]
