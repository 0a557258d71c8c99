"""Events that were lost: sources of the last day, and ended approvals, for which no execution was started.

EventBridge delivers almost every event, but does not guarantee it. Each execution that an event or an operator starts
is recorded, whatever becomes of it. A source or an approval without such a record gets the execution that its event
would have started, with the event as its input, so that it is treated as if the event had been delivered. If the event
is delivered later, it is a duplicate.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator
from typing import Any

from promotion.aws import executions
from promotion.history import approval
from promotion.history.table import PromotionTable
from promotion.source.request import APPROVAL_ENDED, Promote, PublishRejection, Request

# Before that, the event may still be delivered.
DELAY = datetime.timedelta(minutes=15)
_PERIOD = datetime.timedelta(days=1)
# 1,000 resources of each kind: more are checked by the next runs, the newest first.
_MOST_PAGES = 10

_TRAINING_JOB, _TUNING_JOB, _PACKAGE = "training_job", "tuning_job", "model_package"


def record_start(table: PromotionTable, request: Request, execution: str, started_at: str) -> None:
    """Record that an execution was started for the source or the approval of a request."""
    match request:
        case Promote() if request.kind != "model":
            key = f"{request.kind}#{request.name}"
        case PublishRejection():
            key = f"approval#{request.approval}"
        case _:
            return
    table.update("started", f"{started_at[:10]}#{key}", "SET execution = :execution", execution=execution)


def started(table: PromotionTable, now: datetime.datetime) -> set[str]:
    """Return the sources and approvals for which an execution was started since the day before yesterday.

    Each is `<kind>#<name>`.
    """
    days = [f"{now - datetime.timedelta(days=days):%Y-%m-%d}#" for days in range(3)]
    return {item["key"].removeprefix(day) for day in days for item in table.query("started", prefix=day)}


def first_check(table: PromotionTable, now: datetime.datetime) -> datetime.datetime:
    """Return the time of the first check. What was completed before it is no event of this stage."""
    item = table.get("started", "since")
    if item:
        return datetime.datetime.fromisoformat(item["at"])
    table.update("started", "since", "SET #at = :at", at=now.isoformat())
    return now


def sources(
    sagemaker: Any, known: set[str], since: datetime.datetime, now: datetime.datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the ARN and the event's detail type and detail of each source without an execution.

    `sagemaker` is a client of the upstream account. A model package counts from its creation, since SageMaker lists no
    time of its approval.
    """
    after, before = max(since, now - _PERIOD), now - DELAY
    for kind, summary in _listed(sagemaker, after):
        completed = summary["CreationTime"] if kind == _PACKAGE else summary["LastModifiedTime"]
        name, arn, event = _EVENTS[kind](summary)
        if after <= completed <= before and f"{kind}#{name}" not in known:
            yield arn, event


def _listed(sagemaker: Any, after: datetime.datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "PaginationConfig": {"PageSize": 100}}
    jobs: dict[str, Any] = {"StatusEquals": "Completed", "LastModifiedTimeAfter": after, **newest}
    packages = {"ModelApprovalStatus": "Approved", "ModelPackageType": "Both", "CreationTimeAfter": after, **newest}
    for kind, operation, member, request in (
        (_TRAINING_JOB, "list_training_jobs", "TrainingJobSummaries", jobs),
        (_TUNING_JOB, "list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", jobs),
        (_PACKAGE, "list_model_packages", "ModelPackageSummaryList", packages),
    ):
        pages = sagemaker.get_paginator(operation).paginate(**request)
        for _, page in zip(range(_MOST_PAGES), pages, strict=False):
            yield from ((kind, summary) for summary in page[member])


def _training_job(summary: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    detail = {"TrainingJobName": summary["TrainingJobName"], "TrainingJobStatus": "Completed"}
    event = {"detail-type": "SageMaker Training Job State Change", "detail": detail}
    return summary["TrainingJobName"], summary["TrainingJobArn"], event


def _tuning_job(summary: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    name = summary["HyperParameterTuningJobName"]
    detail = {"HyperParameterTuningJobName": name, "HyperParameterTuningJobStatus": "Completed"}
    event = {"detail-type": "SageMaker HyperParameter Tuning Job State Change", "detail": detail}
    return name, summary["HyperParameterTuningJobArn"], event


def _package(summary: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    arn = summary["ModelPackageArn"]
    detail = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    return arn, arn, {"detail-type": "SageMaker Model Package State Change", "detail": detail}


_EVENTS = {_TRAINING_JOB: _training_job, _TUNING_JOB: _tuning_job, _PACKAGE: _package}


class Fate(enum.Enum):
    """What has become of an approval request: its event is AWAITED for some minutes after its end, and then UNHEARD."""

    OPEN = enum.auto()
    HEARD = enum.auto()
    AWAITED = enum.auto()
    UNHEARD = enum.auto()


def fate(automation: dict[str, Any] | None, known: set[str], now: datetime.datetime) -> Fate:
    """Return the fate of a request, whose automation is None if it no longer exists.

    A request that was granted has been heard, since its runbook starts the promotion itself.
    """
    if automation is None or approval.is_granted(automation):
        is_open = automation is not None and automation["AutomationExecutionStatus"] in approval.OPEN
        return Fate.OPEN if is_open else Fate.HEARD
    if automation["AutomationExecutionStatus"] in approval.OPEN:
        return Fate.OPEN
    if f"approval#{automation['AutomationExecutionId']}" in known:
        return Fate.HEARD
    ended = automation.get("ExecutionEndTime")
    return Fate.UNHEARD if ended and ended <= now - DELAY else Fate.AWAITED


def start_for_source(stepfunctions: Any, state_machine: str, arn: str, event: dict[str, Any]) -> bool:
    """Start the execution of a lost event of SageMaker, once; return whether it was started now."""
    _, _, _, region, account, _ = arn.split(":", 5)
    given = {"source": "aws.sagemaker", "account": account, "region": region, **event}
    return _start(stepfunctions, state_machine, arn.rpartition(":")[2].partition("/")[2], arn, given)


def start_for_approval(stepfunctions: Any, state_machine: str, automation: str) -> bool:
    """Start the execution of the lost event of an approval that ended, once; return whether it was started now."""
    _, _, _, region, account, _ = state_machine.split(":", 5)
    event = {"detail-type": APPROVAL_ENDED, "detail": {"ExecutionId": automation}}
    given = {"source": "aws.ssm", "account": account, "region": region, **event}
    return _start(stepfunctions, state_machine, f"approval-{automation}", automation, given)


def _start(stepfunctions: Any, state_machine: str, subject: str, cause: str, given: dict[str, Any]) -> bool:
    execution = f"{state_machine.replace(':stateMachine:', ':execution:')}:"
    return executions.start(stepfunctions, execution, executions.name(f"missed-{subject}", cause), given)
