"""Who uses and who removes what the promotions of one endpoint share: artifacts, models and configs named by content.

A promotion uses again what an earlier one made, while retention removes what is superseded. Each writes its claim into
the promotion table before it reads those of the other: a promotion its use, a removal itself. Whichever is second sees
the first: a promotion waits, and a removal keeps what is used.

A use counts as long as its execution runs. A removal counts until its execution has succeeded, or until its function
must have ended. The next removal clears the claims of dead executions.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.executions import has_succeeded, is_running
from promotion.errors import EndpointBusyError
from promotion.history.table import Item, PromotionTable


@dataclasses.dataclass(frozen=True)
class Use:
    """An execution that needs what belongs to a digest."""

    execution: str
    digest: str


def use(table: PromotionTable, stepfunctions: Any, endpoint: str, claim: Use, now: float) -> None:
    """Claim a digest's artifacts, models and configs for an execution.

    `now` is in seconds since 1970. Raise EndpointBusyError, to be retried, while resources of the endpoint are being
    removed.
    """
    table.put({"kind": "use", "key": f"{endpoint}#{claim.execution}", "digest": claim.digest})
    for execution, item in _of_endpoint(table, "removal", endpoint):
        # The function of an execution that was aborted may still be running.
        if float(item["ends_at"]) > now and not has_succeeded(stepfunctions, execution):
            raise EndpointBusyError(
                f"{execution} removes what is superseded on {endpoint} right now, which this promotion might use."
            )


def uses(table: PromotionTable, stepfunctions: Any, endpoint: str) -> list[Use]:
    """Return the uses of executions that are running."""
    return [
        Use(execution, item["digest"])
        for execution, item in _of_endpoint(table, "use", endpoint)
        if is_running(stepfunctions, execution)
    ]


def begin_removal(table: PromotionTable, endpoint: str, execution: str, ends_at: float) -> None:
    """Keep promotions from using what may be removed, until `end_removal` or `ends_at` (seconds since 1970)."""
    table.put({"kind": "removal", "key": f"{endpoint}#{execution}", "ends_at": round(ends_at)})


def end_removal(table: PromotionTable, endpoint: str, execution: str) -> None:
    table.delete("removal", f"{endpoint}#{execution}")


def clear(table: PromotionTable, stepfunctions: Any, endpoint: str, now: float) -> None:
    """Delete the uses of executions that are not running, and the removals whose functions have ended."""
    dead = [
        item for execution, item in _of_endpoint(table, "use", endpoint) if not is_running(stepfunctions, execution)
    ] + [item for _, item in _of_endpoint(table, "removal", endpoint) if float(item["ends_at"]) < now]
    for item in dead:
        table.delete(item["kind"], item["key"])


def _of_endpoint(table: PromotionTable, kind: str, endpoint: str) -> list[tuple[str, Item]]:
    """Return the claims of a kind on an endpoint, each with its execution."""
    prefix = f"{endpoint}#"
    return [(item["key"].removeprefix(prefix), item) for item in table.query(kind, prefix=prefix)]
