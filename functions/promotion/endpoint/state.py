"""The meaning of an endpoint's state for a promotion: before the update, during the deployment and during a rollback.

The status InService alone does not prove success: after an automatic rollback the endpoint is InService with its
previous config. Only the name of its config distinguishes the two.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Literal

from promotion.endpoint.smoke_test import SKIP
from promotion.errors import PromotionRefusedError
from promotion.record import PromotionRecord

# In these statuses an endpoint can be neither updated nor deleted (API reference, DescribeEndpoint).
BUSY = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}

_UNCHANGED_CHECKS = 4
"""An unchanged endpoint counts as rolled back after this many checks, because the first description may be stale."""


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a promotion has to do with an endpoint; `previous` is its current config."""

    outcome: Literal["update", "already_live", "newer_live", "busy", "unusable"]
    previous: str | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a deployment; `unchanged_checks` is the number of checks that found the endpoint unchanged."""

    verdict: Literal["in_progress", "deployed", "failed"]
    changing: bool = False
    unchanged_checks: int = 0
    reason: str = ""
    alarms: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RollbackStep:
    """The next step of the rollback of an endpoint."""

    step: Literal["rolled_back", "wait", "update", "delete", "failed"]
    reason: str = ""


def inspect(
    description: dict[str, Any] | None, requested: str, created_at: str, live: PromotionRecord | None
) -> Inspection:
    """Return what to do with the endpoint of `description` (of DescribeEndpoint, None if it does not exist).

    `requested` is the new config, `created_at` the time of the candidate, and `live` the record of the last successful
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
    recorded = live["endpoint_config_name"] if live else None
    if status == "InService" and current == requested and recorded == requested:
        return Inspection("already_live", current, f"The endpoint {name} already has the config {requested}.")
    if current == requested:
        # Someone else deployed it, without a smoke test. If it fails now, the recorded config is restored.
        return Inspection("update", recorded or current)
    if live and live["endpoint_config_name"] == current and is_older(created_at, live["created_at"]):
        return Inspection(
            "newer_live",
            current,
            f"{live['model_name']}, which is live on the endpoint {name}, is newer than this candidate. It was created "
            f"at {live['created_at']}, the candidate at {created_at}.",
        )
    return Inspection("update", current)


def with_new_settings(inspection: Inspection, record: PromotionRecord, live: PromotionRecord | None) -> Inspection:
    """Return the inspection, or an update if an operator promotes the `live` model with other settings or another test.

    The endpoint then keeps its endpoint config, but the model is tested, recorded and published with these settings.
    """
    if inspection.outcome != "already_live" or record["by_event"] or live is None:
        return inspection
    is_tested = record["smoke_test"] in (SKIP, live.get("smoke_test"))
    # Records of earlier versions have no digest of their deployment and no tags.
    is_deployed = live.get("deployment_digest", record.get("deployment_digest")) == record.get("deployment_digest")
    is_tagged = live.get("tags", {}) == record.get("tags", {})
    return inspection if is_tested and is_deployed and is_tagged else Inspection("update", inspection.previous)


def progress(
    description: dict[str, Any] | None,
    requested: str,
    previous: str | None,
    changing: bool,
    unchanged_checks: int,
    alarms: tuple[str, ...] = (),
) -> Progress:
    """Return the progress of the update from `previous` (None for a new endpoint) to `requested`.

    `changing` and `unchanged_checks` come from the last check; `alarms` are the alarms of the DeploymentConfig that
    have been in ALARM since the update.
    """
    current = _progress(description, requested, previous, changing, unchanged_checks)
    if current.verdict == "failed" and alarms:
        reason = f"{current.reason.rstrip('.')}. In ALARM during the deployment: {', '.join(alarms)}."
        return dataclasses.replace(current, alarms=alarms, reason=reason)
    return dataclasses.replace(current, alarms=alarms)


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
            reason = f"The update of the endpoint {name} has not started yet."
            return Progress("in_progress", unchanged_checks=unchanged_checks + 1, reason=reason)
        cause = description.get("FailureReason") or "SageMaker gave no reason."
        return Progress("failed", reason=f"SageMaker rolled back the endpoint {name} to {current}: {cause}")
    if current == requested:
        return Progress("failed", reason=f"The endpoint {name} is {status} with the new endpoint config {requested}.")
    return Progress("failed", reason=f"Someone else changed the endpoint {name} to {current} during the deployment.")


def assert_serves(description: dict[str, Any] | None, endpoint: str, requested: str) -> None:
    """Raise PromotionRefusedError unless the endpoint of `description` serves the config `requested`.

    Its instances may be scaling. An update is visible as a pending deployment before the config changes.
    """
    current = description["EndpointConfigName"] if description else None
    pending = ((description or {}).get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    if current == requested and pending in (None, requested):
        return
    change = f"changed it to {pending or current}" if description else "deleted it"
    raise PromotionRefusedError(
        f"The endpoint {endpoint} no longer serves the endpoint config {requested}: someone else {change} after the "
        "deployment of this promotion. The smoke test does not count. To promote the model, start the promotion again."
    )


def rollback_step(description: dict[str, Any] | None, requested: str, previous: str | None) -> RollbackStep:
    """Return the next step of the rollback of the endpoint from `requested` to `previous`.

    `previous` is None if the promotion created the endpoint. Only the promotion's own update is rolled back: if someone
    else has changed the endpoint, the step is "failed".
    """
    if description is None:
        if previous is None:
            return RollbackStep("rolled_back")
        return RollbackStep(
            "failed",
            f"Someone deleted the endpoint during the promotion. Create it again with its previous endpoint config "
            f"{previous}, or start a promotion.",
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
            return RollbackStep("wait", f"The endpoint {name} has a pending deployment.")
        return RollbackStep("rolled_back")
    if current == requested:
        return RollbackStep("update")
    return RollbackStep(
        "failed",
        f"Someone else changed the endpoint {name} to {current} during the promotion. That change was not rolled back. "
        + (f"The previous endpoint config is {previous}." if previous else "The endpoint did not exist before."),
    )


def _unusable(description: dict[str, Any]) -> str:
    name, status = description["EndpointName"], description["EndpointStatus"]
    what = "inference component" if "InferenceComponentName" in description else "endpoint"
    cause = description.get("FailureReason") or "SageMaker gave no reason"
    if status == "UpdateRollbackFailed":
        remedy = "Its instances have different configs. Update it to a working endpoint config with UpdateEndpoint"
    else:
        remedy = f"Delete the {what}"
    return f"The {what} {name} is {status}: {cause.rstrip('.')}. {remedy}, then start the promotion again."


def is_scaled_out(description: dict[str, Any], config: dict[str, Any], requested: dict[str, Any]) -> bool:
    """Return whether the endpoint has more instances than its own `config` and the config `requested` start with.

    The configs are DescribeEndpointConfig responses. An update resets the instance count to InitialInstanceCount of the
    new config unless RetainAllVariantProperties is set.
    """
    started, new = (
        {v["VariantName"]: v.get("InitialInstanceCount") for v in each["ProductionVariants"]}
        for each in (config, requested)
    )
    actual = {v["VariantName"]: v.get("DesiredInstanceCount") for v in description.get("ProductionVariants", [])}
    return any(
        started.get(name) is not None and count > max(started[name], new.get(name) or 0)
        for name, count in actual.items()
        if count
    )


def is_older(time: str, than: str) -> bool:
    """Return whether one time (ISO 8601) is before another."""
    return datetime.datetime.fromisoformat(time) < datetime.datetime.fromisoformat(than)
