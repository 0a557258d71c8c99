"""Claims on the resources that the promotions of an endpoint share: artifacts, models and endpoint configs.

These resources are named by their content. A promotion may reuse a resource while retention removes it as superseded.
To prevent that, each writes its own claim to the promotion table before it reads the claims of the other. The later one
therefore sees the earlier one: a promotion waits for a removal, and a removal keeps the resources in use.

A use is valid while its execution is running. A removal is valid until its execution has succeeded, or until its
function has certainly ended. The next removal deletes the claims of executions that have ended.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.executions import has_succeeded, is_running
from promotion.errors import EndpointBusyError
from promotion.history.table import Item, PromotionTable


@dataclasses.dataclass(frozen=True)
class Use:
    """An execution that uses the resources of a digest."""

    execution: str
    digest: str


def use(table: PromotionTable, stepfunctions: Any, endpoint: str, claim: Use, now: float) -> None:
    """Claim a digest's artifacts, models and endpoint configs for an execution.

    `now` is in seconds since 1970. Raise EndpointBusyError while superseded resources of the endpoint are being
    removed; the state machine then retries.
    """
    table.put({"kind": "use", "key": f"{endpoint}#{claim.execution}", "digest": claim.digest})
    for claimed, item in _of_endpoint(table, "removal", endpoint):
        execution = claimed.partition("#")[0]
        # An aborted execution does not stop its function.
        if float(item["ends_at"]) > now and not has_succeeded(stepfunctions, execution):
            raise EndpointBusyError(
                f"The execution {execution} is removing superseded resources of the endpoint {endpoint}, which this "
                "promotion may use. Start the promotion again when that execution has ended."
            )


def uses(table: PromotionTable, stepfunctions: Any, endpoint: str) -> list[Use]:
    """Return the uses by executions that are running."""
    return [
        Use(execution, item["digest"])
        for execution, item in _of_endpoint(table, "use", endpoint)
        if is_running(stepfunctions, execution)
    ]


@dataclasses.dataclass(frozen=True)
class Removal:
    """One invocation of the function that removes resources. A retry can begin while the first one still runs."""

    endpoint: str
    execution: str
    invocation: str

    @property
    def key(self) -> str:
        """The key of its claim."""
        return f"{self.endpoint}#{self.execution}#{self.invocation}"


def begin_removal(table: PromotionTable, removal: Removal, ends_at: float) -> None:
    """Make promotions to the endpoint wait until `end_removal`, or until `ends_at` (seconds since 1970)."""
    table.put({"kind": "removal", "key": removal.key, "ends_at": round(ends_at)})


def end_removal(table: PromotionTable, removal: Removal) -> None:
    """End the removal, so that promotions continue."""
    table.delete("removal", removal.key)


def clear(table: PromotionTable, stepfunctions: Any, endpoint: str, now: float) -> None:
    """Delete the uses of executions that are not running, and the removals whose functions have ended."""
    ended = [
        item for execution, item in _of_endpoint(table, "use", endpoint) if not is_running(stepfunctions, execution)
    ] + [item for _, item in _of_endpoint(table, "removal", endpoint) if float(item["ends_at"]) < now]
    for item in ended:
        table.delete(item["kind"], item["key"])


def _of_endpoint(table: PromotionTable, kind: str, endpoint: str) -> list[tuple[str, Item]]:
    """Return the claims of a kind on the resources of an endpoint, each with its key after that of the endpoint."""
    prefix = f"{endpoint}#"
    return [(item["key"].removeprefix(prefix), item) for item in table.query(kind, prefix=prefix)]
