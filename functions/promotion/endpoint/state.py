"""What the state of an endpoint means for a promotion: before the change, during it, and in a rollback.

An endpoint that is InService proves nothing by itself: after an automatic rollback it is InService too, with the config
it had before. Only the name of its config tells.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Literal

from promotion.record import PromotionRecord

# API reference, DescribeEndpoint: in these the endpoint can be neither updated nor deleted.
BUSY = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}

_UNCHANGED_CHECKS = 2
"""How often an untouched endpoint is seen before it counts as rolled back: the first look may be stale."""


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is to be done with an endpoint before anything was changed; `previous` is the config it has."""

    outcome: Literal["update", "already_live", "newer_live", "busy", "unusable"]
    previous: str | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a deployment is. `unchanged_checks` counts how often the endpoint was seen unchanged."""

    verdict: Literal["in_progress", "deployed", "failed"]
    changing: bool = False
    unchanged_checks: int = 0
    reason: str = ""
    alarms: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RollbackStep:
    """The next step of rolling an endpoint back."""

    step: Literal["rolled_back", "wait", "update", "delete", "failed"]
    reason: str = ""


def inspect(
    description: dict[str, Any] | None, requested: str, created_at: str, live: PromotionRecord | None
) -> Inspection:
    """What to do with the endpoint of `description` (DescribeEndpoint's answer, None if there is none).

    `requested` is the config that is to be live, `created_at` the candidate's time, `live` the record of the last good
    promotion, if any.
    """
    if description is None:
        return Inspection("update")
    name, status, current = (
        description["EndpointName"],
        description["EndpointStatus"],
        description["EndpointConfigName"],
    )
    if status in BUSY:
        return Inspection("busy", current, f"The endpoint {name} is {status}.")
    if status not in ("InService", "OutOfService"):
        return Inspection("unusable", current, _unusable(description))
    if status == "InService" and current == requested:
        return Inspection("already_live", current, f"The endpoint {name} already has the config {requested}.")
    if live and live["endpoint_config_name"] == current and is_older(created_at, live["created_at"]):
        return Inspection(
            "newer_live",
            current,
            f"{live['model_name']}, which is live on {name}, is of {live['created_at']} and so newer than this "
            f"candidate of {created_at}.",
        )
    return Inspection("update", current)


def progress(
    description: dict[str, Any] | None,
    requested: str,
    previous: str | None,
    changing: bool,
    unchanged_checks: int,
    alarms: tuple[str, ...] = (),
) -> Progress:
    """How far the change from `previous` (None for a new endpoint) to `requested` is.

    `changing` and `unchanged_checks` are what the last check returned; `alarms` are those of its DeploymentConfig that
    were seen in ALARM meanwhile.
    """
    found = _progress(description, requested, previous, changing, unchanged_checks)
    if found.verdict == "failed" and alarms:
        why = f"{found.reason.rstrip('.')}. In ALARM during the deployment: {', '.join(alarms)}."
        return dataclasses.replace(found, alarms=alarms, reason=why)
    return dataclasses.replace(found, alarms=alarms)


def _progress(
    description: dict[str, Any] | None, requested: str, previous: str | None, changing: bool, unchanged_checks: int
) -> Progress:
    if description is None:
        return Progress("failed", reason="Someone deleted the endpoint during the deployment.")
    name, status, current = (
        description["EndpointName"],
        description["EndpointStatus"],
        description["EndpointConfigName"],
    )
    if status in BUSY:
        return Progress("in_progress", changing=True, reason=f"The endpoint {name} is {status}.")
    if status not in ("InService", "OutOfService"):
        return Progress("failed", reason=_unusable(description))
    pending = (description.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    if status == "InService" and current == requested and not pending:
        return Progress("deployed")
    if current == previous or pending == requested:
        if not changing and unchanged_checks + 1 < _UNCHANGED_CHECKS:
            return Progress(
                "in_progress",
                unchanged_checks=unchanged_checks + 1,
                reason=f"The endpoint {name} has not begun to change.",
            )
        why = description.get("FailureReason") or "SageMaker gave no reason"
        return Progress("failed", reason=f"SageMaker put the endpoint {name} back to {current}: {why}")
    if current == requested:
        return Progress("failed", reason=f"The endpoint {name} is {status} with the new config {requested}.")
    return Progress("failed", reason=f"Someone else changed the endpoint {name} to the config {current} meanwhile.")


def rollback_step(description: dict[str, Any] | None, requested: str, previous: str | None) -> RollbackStep:
    """Return the next step of rolling the endpoint back from `requested`, or from wherever it is, to `previous`.

    `previous` None means that there was no endpoint before. Only what this promotion did is undone: an endpoint that
    someone else changed meanwhile is left alone and "failed" says so.
    """
    if description is None:
        if previous is None:
            return RollbackStep("rolled_back")
        return RollbackStep(
            "failed",
            f"The endpoint was deleted by someone during the promotion. Its config was {previous}; create it anew with "
            "that config, or promote again.",
        )
    name, status, current = (
        description["EndpointName"],
        description["EndpointStatus"],
        description["EndpointConfigName"],
    )
    if status in BUSY:
        return RollbackStep("wait", f"The endpoint {name} is {status}.")
    if previous is None and current == requested:
        return RollbackStep("delete")
    if status not in ("InService", "OutOfService"):
        return RollbackStep("failed", _unusable(description))
    if current == previous:
        if description.get("PendingDeploymentSummary"):
            return RollbackStep("wait", f"The endpoint {name} is about to change.")
        return RollbackStep("rolled_back")
    if current == requested:
        return RollbackStep("update")
    return RollbackStep(
        "failed",
        f"Someone else changed the endpoint {name} to the config {current} during the promotion, so it was left as it "
        f"is. Its config was {previous or 'none: it did not exist'} before.",
    )


def _unusable(description: dict[str, Any]) -> str:
    name, status = description["EndpointName"], description["EndpointStatus"]
    why = description.get("FailureReason") or "SageMaker gave no reason"
    if status == "UpdateRollbackFailed":
        advice = "Its fleet is mixed; bring it to a config that works with UpdateEndpoint"
    else:
        advice = "Only deleting it helps"
    return f"The endpoint {name} is {status}: {why.rstrip('.')}. {advice}, then start the promotion again."


def is_scaled_out(description: dict[str, Any], config: dict[str, Any], requested: dict[str, Any]) -> bool:
    """Whether the endpoint has more instances now than its own `config` started with, and than `requested` starts with.

    Both are DescribeEndpointConfig's answers. An update resets a fleet to the new config's InitialInstanceCount, unless
    it is told to retain what variants have.
    """
    started, new = (
        {v["VariantName"]: v.get("InitialInstanceCount") for v in each["ProductionVariants"]}
        for each in (config, requested)
    )
    has = {v["VariantName"]: v.get("DesiredInstanceCount") for v in description.get("ProductionVariants", [])}
    return any(
        started.get(name) is not None and count > max(started[name], new.get(name) or 0)
        for name, count in has.items()
        if count
    )


def is_older(time: str, than: str) -> bool:
    """Whether one time (ISO 8601) is before another."""
    return datetime.datetime.fromisoformat(time) < datetime.datetime.fromisoformat(than)
