"""The agreement of an endpoint with its live record, its lock and its history, however its promotions ended.

`differences` only compares. A promotion in progress, or an endpoint that SageMaker is changing, is no difference. An
update by someone else is one, because the record no longer says what the endpoint serves.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from promotion.aws.executions import is_running
from promotion.endpoint.state import BUSY, is_older
from promotion.endpoint.target import describe_target
from promotion.history import lock, records
from promotion.history.lock import Holder
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord

_RECENT = 50
"""The number of records of the history that are compared, the newest ones."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The state of an endpoint according to SageMaker and the promotion table.

    `description` is that of its target, None if the endpoint or the component does not exist. `live` is the live
    record, if any. `history` contains the newest records, oldest first. `holder` is the promotion that holds the lock,
    if any.
    `approval_used_by` is the execution that used the approval of the live record, if any. `is_published` is false if
    the event of the live record was not published and its execution has ended.
    """

    endpoint: str
    description: dict[str, Any] | None
    live: PromotionRecord | None
    history: list[PromotionRecord]
    holder: Holder | None = None
    is_holder_running: bool = False
    approval_used_by: str | None = None
    is_published: bool = True


def is_settled(facts: Facts) -> bool:
    """Return whether nothing is changing the endpoint, or is about to: a promotion, a recovery or SageMaker."""
    if facts.holder and (facts.is_holder_running or not facts.holder.is_abandoned):
        return False
    return not _is_changing(facts.description)


def differences(facts: Facts) -> list[str]:
    """Return the differences between the endpoint, its record, its lock and its history, each with what to do.

    There are none while a promotion holds the lock or SageMaker is changing the endpoint.
    """
    if facts.holder and facts.is_holder_running:
        return []
    if facts.holder:
        return [_locked(facts.endpoint, facts.holder)]
    if _is_changing(facts.description):
        return []
    return [*_of_endpoint(facts), *_of_records(facts)]


def _is_changing(description: dict[str, Any] | None) -> bool:
    if description is None:
        return False
    return description["EndpointStatus"] in BUSY or bool(description.get("PendingDeploymentSummary"))


def _locked(endpoint: str, holder: Holder) -> str:
    remedy = (
        f"Its recovery was abandoned. Fix the cause of the last failure, and start the state machine with the input "
        f'{{"recover": "{endpoint}"}}.'
        if holder.is_abandoned
        else "A recovery is still to come."
    )
    return f"The endpoint {endpoint} is locked by the execution {_short(holder.execution)}, which has ended. {remedy}"


def _of_endpoint(facts: Facts) -> Iterator[str]:
    """Yield how the endpoint differs from its live record."""
    endpoint, live, description = facts.endpoint, facts.live, facts.description
    if description is None:
        if live:
            yield (
                f"The endpoint {endpoint} does not exist, but the model {live['model_name']} is on record as live. "
                f"Create the endpoint again with the endpoint config {live['endpoint_config_name']}. If it was deleted "
                "for good, delete its live record from the promotion table."
            )
        return
    current, status = description["EndpointConfigName"], description["EndpointStatus"]
    promotions = [record for record in facts.history if record.get("endpoint_config_name") == current]
    former = promotions[-1] if promotions else None
    if live is None and not _was_left_behind(current, former, facts.history):
        return  # the endpoint is that of someone else
    if status != "InService":
        cause = description.get("FailureReason") or "SageMaker gave no reason"
        remedy = "Delete" if status == "Failed" else "Update it to a working endpoint config or delete"
        yield (
            f"The endpoint {endpoint} is {status}, not InService: {cause.rstrip('.')}. {remedy} it, and start its "
            "promotion again."
        )
    elif live is None and (former is None or former["status"] != "Succeeded"):
        yield (
            f"The endpoint {endpoint} serves the endpoint config {current}, but no promotion is on record as live. "
            f"{_origin(current, former)} Promote its source again, which tests the model, or delete the endpoint."
        )
    if live and current != live["endpoint_config_name"]:
        yield (
            f"The endpoint {endpoint} serves the endpoint config {current}, but {live['endpoint_config_name']} of the "
            f"model {live['model_name']} is on record as live. {_origin(current, former)} To restore the config on "
            "record, update the endpoint to it. To keep another model, promote its source, which tests and records it."
        )


def _was_left_behind(config: str, former: PromotionRecord | None, history: list[PromotionRecord]) -> bool:
    """Return whether an endpoint without a live record has its `config` because of a promotion or its failed rollback.

    `former` is the last promotion of `config`, if any. A promotion can also have found the config on the endpoint.
    """
    causes = [former, *(record for record in history[-1:] if record["status"] == "RollbackFailed")]
    return any(former is not None and former.get("previous_endpoint_config_name") != config for former in causes)


def _origin(config: str, former: PromotionRecord | None) -> str:
    """Return where the endpoint config comes from, according to its last promotion."""
    if former is None:
        return f"No recent promotion deployed {config}: someone else updated the endpoint."
    what = "was live earlier" if former["status"] == "Succeeded" else "did not pass its promotion"
    end = f"ended at {former['ended_at']} ({former['status']})"
    return f"{config} {what}: the execution {_short(former['execution'])} {end}."


def _of_records(facts: Facts) -> Iterator[str]:
    """Yield how the live record differs from the history, from its approval and from what was published."""
    endpoint, live = facts.endpoint, facts.live
    succeeded = [record for record in facts.history if record["status"] == "Succeeded"]
    if live is None:
        if succeeded and facts.description is not None:
            last = succeeded[-1]
            yield (
                f"The endpoint {endpoint} has no live record, but the promotion of the model {last['model_name']} by "
                f"the execution {_short(last['execution'])} succeeded at {last['ended_at']}. {_WHO} {_AGAIN}"
            )
        return
    name, execution = live["model_name"], _short(live["execution"])
    if succeeded and succeeded[-1]["execution"] != live["execution"]:
        last = succeeded[-1]
        yield (
            f"The live record of the endpoint {endpoint} is that of the execution {execution}, but the last successful "
            f"promotion in the history is that of {_short(last['execution'])}, of the model {last['model_name']}. "
            f"{_WHO} {_AGAIN}"
        )
    elif not succeeded and _covers(facts.history, live):
        yield (
            f"The live record of the endpoint {endpoint} names the execution {execution}, but the history has no "
            f"successful promotion by it. {_WHO} {_AGAIN}"
        )
    if facts.approval_used_by not in (None, live["execution"]):
        yield (
            f"The approval {live['approval']} of the model {name}, which is live on the endpoint {endpoint}, was used "
            f"by the execution {_short(facts.approval_used_by)}, not by {execution}. An approval is valid once. Find "
            "out who started the promotion, and roll the endpoint back."
        )
    if not facts.is_published:
        yield (
            f"The event of the model {name}, which is live on the endpoint {endpoint}, was not published: the "
            f"execution {execution} ended before. {_AGAIN}"
        )


_WHO = "Find out who changed the promotion table."
_AGAIN = "Start the promotion again: it tests, records and publishes the model."


def _covers(history: list[PromotionRecord], live: PromotionRecord) -> bool:
    """Return whether the newest records of the `history` include the time of the live one."""
    return not history or not is_older(live["ended_at"], history[0]["ended_at"])


def _short(execution: str | None) -> str:
    return (execution or "").rpartition(":")[2]


def read(table: PromotionTable, sagemaker: Any, stepfunctions: Any, endpoint: str) -> Facts | None:
    """Return the facts about `endpoint`, or None if a promotion ended while they were read."""
    history = records.newest(table, endpoint, _RECENT)
    item = table.get("live", endpoint) or {}
    live: PromotionRecord | None = json.loads(item["promotion"]) if item else None
    last = live or (history[-1] if history else PromotionRecord())
    description = describe_target(sagemaker, last | PromotionRecord(endpoint=endpoint))
    # The lock is read last: a promotion that began in the meantime holds it, or has left a record in the history.
    holder = lock.holder(table, endpoint)
    if records.newest(table, endpoint, 1) != history[-1:]:
        return None
    used: dict[str, Any] | None = None
    if live and live.get("approval") and live["source_kind"] != "rollback":
        used = table.get("used-approval", live["approval"])
    is_told = not live or item.get("published") is not False or "published_late" in item
    return Facts(
        endpoint,
        description,
        live,
        history,
        holder,
        is_holder_running=bool(holder and is_running(stepfunctions, holder.execution)),
        approval_used_by=used["execution"] if used else None,
        is_published=is_told or bool(live and is_running(stepfunctions, live["execution"])),
    )


def endpoints(table: PromotionTable) -> list[str]:
    """Return every endpoint that a promotion has changed or that has a live record."""
    return sorted({item["key"] for kind in ("autoscaling", "live") for item in table.query(kind)})


def reported(table: PromotionTable) -> dict[str, str]:
    """Return the last reported differences by endpoint, "" if the endpoint has agreed since."""
    return {item["key"]: item["text"] for item in table.query("difference")}


def claim_report(table: PromotionTable, endpoint: str, text: str, former: str) -> bool:
    """Record the differences of an endpoint that the caller reports, or "" if it agrees again.

    Return False if `former` is not what was reported last: a check that ran at the same time reports them.
    """
    condition = "attribute_not_exists(#text) OR #text = :former"
    return table.update("difference", endpoint, "SET #text = :text", condition, text=text, former=former)
