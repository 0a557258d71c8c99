"""Rollback to an earlier promotion on request, and duplicate deliveries of events for earlier promotions."""

from __future__ import annotations

from typing import Any

from promotion.aws.input_checks import did_you_mean
from promotion.endpoint.sagemaker import describe_endpoint_config
from promotion.endpoint.state import is_older
from promotion.errors import InvalidRequestError
from promotion.history import claims, records, verification
from promotion.history.claims import Use
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source.request import RollBack

_NOT_RESTORED = {"status", "reason", "ended_at", "changing", "deployment_config", "baking_seconds"}
"""The keys of a record that belong to the earlier promotion only, not to a rollback to it."""


def resolve(
    table: PromotionTable,
    sagemaker: Any,
    stepfunctions: Any,
    request: RollBack,
    *,
    stage: str,
    execution: str,
    started_at: str,
    now: float,
    is_preview: bool,
) -> dict[str, Any]:
    """Return the `outcome` "rollback" and the `promotion` to restore, and claim its resources unless it is a preview.

    `now` is in seconds since 1970. Raise InvalidRequestError if there is no such promotion or retention has removed
    its endpoint config, PromotionRefusedError if the record differs from its resources, and EndpointBusyError while
    retention is removing resources.
    """
    endpoint = request.endpoint
    live = records.live(table, endpoint)
    if live is None:
        # The endpoint may be misspelled.
        raise InvalidRequestError(
            f"The endpoint {endpoint}{did_you_mean(endpoint, records.live_endpoints(table))} cannot be rolled back: no "
            "promotion to it has succeeded. Check the name of the endpoint, <application>-<stage>."
        )
    former = rollback_target(records.history(table, endpoint), live, endpoint, request.to)
    verification.assert_names_agree(former, endpoint, stage)
    if not is_preview:
        claims.use(table, stepfunctions, endpoint, Use(execution, former["digest"]), now)
    # After the claim, no more resources are removed. Retention removes endpoint configs first, so an endpoint config
    # that still exists has its model and artifacts.
    config = describe_endpoint_config(sagemaker, former["endpoint_config_name"])
    if config is None:
        raise InvalidRequestError(
            f"The endpoint {endpoint} cannot be rolled back to the model {former['model_name']}: the endpoint config "
            f"{former['endpoint_config_name']} no longer exists. Retention keeps only the newest promotions "
            "(Retention.Keep in the settings). Promote the source of that model again."
        )
    verification.assert_resources_agree(sagemaker, former, config, execution.rpartition(":")[0] + ":")
    # The candidate, its approval and its approver are those of the earlier promotion, which may be a rollback itself.
    is_again = former["source_kind"] == "rollback"
    record = {key: value for key, value in former.items() if key not in _NOT_RESTORED} | PromotionRecord(
        execution=execution,
        source_kind="rollback",
        source_name=former["execution"],
        original_source_kind=former["original_source_kind"] if is_again else former["source_kind"],
        original_source_name=former["original_source_name"] if is_again else former["source_name"],
        started_at=started_at,
        by_event=False,
    )
    return {"outcome": "rollback", "promotion": record}


def rollback_target(
    history: list[PromotionRecord], live: PromotionRecord, endpoint: str, to: str | None
) -> PromotionRecord:
    """Return the record of the promotion to roll back to.

    This is the last successful promotion whose endpoint config is not the live one, of the model `to` unless None.
    `history` contains all records of `endpoint`, oldest first; `live` is the live record. Raise InvalidRequestError if
    there is no such promotion.
    """
    succeeded = [
        record
        for record in history
        if record["status"] == "Succeeded" and record["endpoint_config_name"] != live["endpoint_config_name"]
    ]
    targets = [record for record in succeeded if to in (None, record["model_name"])]
    if targets:
        return targets[-1]
    if to == live["model_name"]:
        raise InvalidRequestError(
            f"The model {to} is already live on the endpoint {endpoint}. To roll back to the promotion before it, "
            'leave out the key "to".'
        )
    earlier = list(dict.fromkeys(record["model_name"] for record in reversed(succeeded)))
    which = f" of the model {to}{did_you_mean(to, earlier)}" if to else ""
    raise InvalidRequestError(
        f"The endpoint {endpoint} has no earlier promotion{which} to roll back to. Models that were live earlier: "
        f"{', '.join(earlier) or 'none'}."
    )


def live_changed_reason(live: PromotionRecord | None, record: PromotionRecord) -> str | None:
    """Return the reason to refuse the rollback of `record`, if another promotion has succeeded since its request."""
    if live is None or not is_older(record["started_at"], live["ended_at"]):
        return None
    return (
        f"The rollback of the endpoint {record['endpoint']} to the model {record['model_name']} was requested at "
        f"{record['started_at']}. Since then, at {live['ended_at']}, the model {live['model_name']} became live. The "
        "endpoint was not changed. To roll back from that model, start the rollback again."
    )


def rolled_back_at(history: list[PromotionRecord], digest: str) -> str:
    """Return when the endpoint was last rolled back from the candidate with `digest` (ISO 8601), or "".

    `history` contains all records of the endpoint, oldest first. A promotion that failed after it may have updated the
    endpoint was rolled back, and so was the live promotion that a rollback on request replaced.
    """
    found, live = "", None
    for former in history:
        is_of_it = former.get("digest") == digest
        if former["status"] != "Succeeded":
            found = former["ended_at"] if is_of_it and former.get("changing") else found
            continue
        if live and live.get("digest") == digest and not is_of_it and former["source_kind"] == "rollback":
            found = former["ended_at"]
        live = former
    return found


_OWN_FAULTS = {"DeploymentFailed", "SmokeTestFailed"}
"""The errors of a promotion whose candidate could not be deployed or did not pass its smoke test."""


def duplicate_delivery(history: list[PromotionRecord], record: PromotionRecord) -> tuple[str, str] | None:
    """Return the outcome and the reason to ignore an event for `record`, if its candidate was promoted before.

    `history` contains all records of the endpoint, oldest first. The outcome is "already_superseded" for a candidate
    that was live, recognized by its endpoint config, or by its digest and time, since changed settings lead to another
    endpoint config. It is "already_failed" if the last promotion of the same endpoint config failed by its own fault.
    """
    tried = [former for former in history if former.get("endpoint_config_name") == record["endpoint_config_name"]]
    if tried and tried[-1]["status"] != "Succeeded" and tried[-1].get("error") in _OWN_FAULTS:
        return "already_failed", (
            f"The model {record['model_name']} failed on the endpoint {record['endpoint']} at {tried[-1]['ended_at']}: "
            f"{tried[-1]['reason']} An event does not deploy it again. To deploy it again, start the promotion "
            "manually."
        )
    succeeded = [former for former in history if former["status"] == "Succeeded"]
    if not any(_is_same(record, former) for former in succeeded):
        return None
    former = succeeded[-1]
    if _is_same(record, former):
        return "already_superseded", (
            f"The model {former['model_name']} was already deployed to the endpoint {record['endpoint']}. An event "
            "does not deploy it again, even if the settings or the endpoint have changed since. To deploy it again, "
            "start the promotion manually."
        )
    return "already_superseded", (
        f"The model {record['model_name']} was live earlier and was superseded. An event does not deploy it again. To "
        "deploy it again, start the promotion manually."
    )


def _is_same(record: PromotionRecord, former: PromotionRecord) -> bool:
    if record["endpoint_config_name"] == former["endpoint_config_name"]:
        return True
    return record.get("digest") == former.get("digest") and record.get("created_at") == former.get("created_at")
