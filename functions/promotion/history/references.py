"""What the endpoints, inference components, endpoint configs and models of the account refer to.

It is remembered in the promotion table.

Retention needs all of it, however few resources it removes. An account can have thousands of resources, and SageMaker
throttles their descriptions. So each is described once, by whichever promotion finds it first: endpoint configs and
models never change, and an endpoint or a component that changes has another time of its last modification. That is
assumed to be so for the start of every update. A read that is interrupted continues where it ended.

What is remembered can be of a resource that was deleted, which would keep what it referred to. So a reference that
`matters` is read again before it counts.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.history.table import PromotionTable

# SageMaker throttles more concurrent requests.
_REQUESTS_IN_FLIGHT = 4

# What is listed again: lists can lag behind.
_MARGIN = datetime.timedelta(hours=1)

_OPERATIONS = {
    "Endpoint": "endpoint",
    "EndpointConfig": "endpoint_config",
    "InferenceComponent": "inference_component",
    "Model": "model",
}
_CHANGING = ("Endpoint", "InferenceComponent")


class References:
    """The references of the account. `remember` is whether they are written to the table, which a preview does not."""

    def __init__(self, table: PromotionTable, sagemaker: Any, *, remember: bool) -> None:
        self._table, self.sagemaker, self._remember = table, sagemaker, remember

    def read(
        self,
        kind: str,
        targets: Callable[[dict[str, Any]], Iterable[str]],
        matters: Callable[[set[str]], bool],
    ) -> dict[str, set[str]]:
        """Return what each resource of a kind (of `_OPERATIONS`) refers to, by name.

        `targets` reads it from a description; `matters` says which references must be certain.
        """
        began = datetime.datetime.now(datetime.UTC)
        prefix = f"{kind}#"
        items = {item["key"].removeprefix(prefix): item for item in self._table.query("reference", prefix=prefix)}
        versions = {summary[f"{kind}Name"]: _version(summary) for summary in self._listed(kind)}
        known = {
            name: set(item["targets"])
            for name, item in items.items()
            if versions.get(name, item["version"]) == item["version"]
        }
        uncertain = [name for name, found in known.items() if matters(found)]
        unknown = [name for name in versions if name not in known]

        def describe(name: str) -> tuple[str, set[str] | None]:
            operation = getattr(self.sagemaker, f"describe_{_OPERATIONS[kind]}")
            description = none_if_not_found(operation, **{f"{kind}Name": name})
            found = None if description is None else set(targets(description))
            self._write(kind, name, versions.get(name) or items[name]["version"], found)
            return name, found

        with ThreadPoolExecutor(_REQUESTS_IN_FLIGHT) as pool:
            for name, found in pool.map(describe, [*unknown, *uncertain]):
                known.pop(name, None)
                if found is not None:
                    known[name] = found
        if self._remember:
            self._table.put({"kind": "reference", "key": kind, "listed_at": began.isoformat()})
        return known

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        """Return the summaries of the resources that are new, or have changed, since the last complete read."""
        last = self._table.get("reference", kind)
        since: dict[str, Any] = {}
        if last:
            member = "LastModifiedTimeAfter" if kind in _CHANGING else "CreationTimeAfter"
            since[member] = datetime.datetime.fromisoformat(last["listed_at"]) - _MARGIN
        pages = self.sagemaker.get_paginator(f"list_{_OPERATIONS[kind]}s").paginate(**since, **PAGES)
        return [summary for page in pages for summary in page[f"{kind}s"]]

    def _write(self, kind: str, name: str, version: str, found: set[str] | None) -> None:
        if not self._remember:
            return
        if found is None:
            self._table.delete("reference", f"{kind}#{name}")
            return
        item = {"kind": "reference", "key": f"{kind}#{name}", "version": version, "targets": sorted(found)}
        self._table.put(item)


PAGES = {"PaginationConfig": {"PageSize": 100}}
"""The maximum size of the pages of SageMaker's lists; the default is 10."""


def _version(summary: dict[str, Any]) -> str:
    """Return what tells a resource from another one of the same name, or from its earlier state."""
    return str(summary.get("LastModifiedTime") or summary.get("CreationTime"))
