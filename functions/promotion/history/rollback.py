"""Rollback to an earlier promotion: which one, whether it can still be restored, and duplicate deliveries of it."""

from __future__ import annotations

from typing import Any

from promotion.endpoint.sagemaker import describe_endpoint_config
from promotion.errors import InvalidRequestError
from promotion.history import claims, records
from promotion.history.claims import Use
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source.request import RollBack

_OF_ONE_TIME = {"status", "reason", "ended_at", "changing", "deployment_config", "baking_seconds"}
"""The members of a record that are of the promotion alone, not of a rollback to it."""


def resolve(
    table: PromotionTable,
    sagemaker: Any,
    stepfunctions: Any,
    asked: RollBack,
    *,
    execution: str,
    started_at: str,
    now: float,
    is_preview: bool,
) -> dict[str, Any]:
    """Return the `outcome` "rollback" and the `promotion` to restore; unless it is a preview, claim what that needs.

    `now` is in seconds since 1970. Raise InvalidRequestError if there is no such promotion or retention has removed
    its endpoint config, and EndpointBusyError while retention is removing something.
    """
    endpoint = asked.endpoint
    live = records.live(table, endpoint)
    former = earlier(records.history(table, endpoint), live, endpoint, asked.to)
    if not is_preview:
        claims.use(table, stepfunctions, endpoint, Use(execution, former["digest"]), now)
    # What is not removed by now stays. Configs are removed first: if there is one, there is all that it needs.
    if describe_endpoint_config(sagemaker, former["endpoint_config_name"]) is None:
        raise InvalidRequestError(
            f"The endpoint {endpoint} cannot go back to {former['model_name']}: its endpoint config "
            f"{former['endpoint_config_name']} is not there any more. Retention keeps only the newest (Retention.Keep "
            "in the settings). Promote that model's source again."
        )
    # The candidate, its approval and its approver are those of the earlier promotion.
    record = {key: value for key, value in former.items() if key not in _OF_ONE_TIME} | PromotionRecord(
        execution=execution,
        source_kind="rollback",
        source_name=former["execution"],
        started_at=started_at,
        by_event=False,
    )
    return {"outcome": "rollback", "promotion": record}


def earlier(
    history: list[PromotionRecord], live: PromotionRecord | None, endpoint: str, to: str | None
) -> PromotionRecord:
    """Return the record of the promotion to roll back to: the last good one with another config than the live one's.

    `history` are all records of `endpoint`, oldest first; `live` is the one that is live; `to` names a model that was
    live on it. Raise InvalidRequestError if there is none.
    """
    if live is None:
        raise InvalidRequestError(f"Nothing was ever promoted to the endpoint {endpoint}, so there is no way back.")
    good = [
        record
        for record in history
        if record["status"] == "Succeeded" and record["endpoint_config_name"] != live["endpoint_config_name"]
    ]
    found = [record for record in good if to in (None, record["model_name"])]
    if found:
        return found[-1]
    if to == live["model_name"]:
        raise InvalidRequestError(f"{to} is what is live on the endpoint {endpoint}.")
    known = ", ".join(dict.fromkeys(record["model_name"] for record in reversed(good))) or "none"
    raise InvalidRequestError(
        f"The endpoint {endpoint} has no earlier promotion{f' of {to}' if to else ''} to go back to. Models that were "
        f"live on it before: {known}."
    )


def duplicate_delivery_reason(history: list[PromotionRecord], record: PromotionRecord) -> str | None:
    """Return why an event for `record` changes nothing, if its candidate was promoted before; None otherwise.

    `history` are all records of the endpoint, oldest first. A candidate is recognized by its config, or by its digest
    and time, since its config is another one if the settings have changed.
    """
    good = [former for former in history if former["status"] == "Succeeded"]
    if not any(_is_same(record, former) for former in good):
        return None
    former = good[-1]
    if _is_same(record, former):
        return (
            f"{former['model_name']} was brought onto {record['endpoint']} before; an event does not bring "
            "settings that have changed since, nor an endpoint that someone has changed or deleted. Start it by hand "
            "for that."
        )
    return f"{record['model_name']} was live before and was replaced; an event does not bring it back."


def _is_same(record: PromotionRecord, former: PromotionRecord) -> bool:
    if record["endpoint_config_name"] == former["endpoint_config_name"]:
        return True
    return record.get("digest") == former.get("digest") and record.get("created_at") == former.get("created_at")
