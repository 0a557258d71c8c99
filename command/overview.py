"""What a stage serves and does now: the live promotions, the history of an endpoint, and the status of applications."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

from command import executions
from command.stage import Stage
from command.text import iso
from promotion.history import agreement, approval, approval_requests, lock, records
from promotion.record import PromotionRecord


def live(stage: Stage, applications: list[str]) -> list[PromotionRecord]:
    """Return the live records, of all applications or of some, by application."""
    found = [json.loads(item["promotion"]) for item in stage.table.query("live")]
    wanted = [record for record in found if not applications or record["application"] in applications]
    return sorted(wanted, key=lambda record: record["application"])


def history(stage: Stage, application: str, number: int) -> list[PromotionRecord]:
    """Return the newest records of an application, newest first."""
    return records.newest(stage.table, stage.endpoint(application), number)[::-1]


@dataclasses.dataclass
class Pending:
    """An approval that waits for a decision: the record of the candidate, and the Automation execution."""

    record: PromotionRecord
    automation: str
    requested_at: datetime.datetime
    parameters: dict[str, str]


def pending(stage: Stage, application: str | None = None) -> list[Pending]:
    """Return the approvals that wait for a decision."""
    ssm, found = stage.client("ssm"), []
    endpoint = stage.endpoint(application) if application else None
    for record, asked in approval_requests.open_requests(stage.table, endpoint):
        execution = approval.find(ssm, asked.automation)
        if execution and execution["AutomationExecutionStatus"] == "Waiting":
            started = execution["ExecutionStartTime"]
            found.append(Pending(record, asked.automation, started, approval.parameters(execution)))
    return found


def status(stage: Stage, applications: list[str]) -> dict[str, Any]:
    """Return the status of all applications or of some: those with a problem first, then those with a promotion.

    `applications` has an item for each, `running` the executions that hold no lock, and `alarms` the names of the
    alarms of the stage and its endpoints that are in ALARM.
    """
    running = {each["execution"]: each for each in executions.running(stage)}
    endpoints = _endpoints(stage)
    locks = {each.endpoint: each for each in lock.all_held(stage.table)}
    wanted = applications or stage.applications()
    differences, approvals = agreement.reported(stage.table), pending(stage)
    lives = {record["application"]: record for record in live(stage, [])}
    items = [
        _application_status(
            application,
            stage.endpoint(application),
            endpoints.get(stage.endpoint(application)),
            lives.get(application),
            locks.get(stage.endpoint(application)),
            running,
            [each for each in approvals if each.record["application"] == application],
            differences.get(stage.endpoint(application), ""),
        )
        for application in wanted
    ]
    holders = {each.holder.execution for each in locks.values()}
    return {
        "stage": stage.name,
        "applications": sorted(items, key=_urgency),
        "running": [
            {**each, "started_at": iso(each["started_at"])}
            for arn, each in running.items()
            if arn not in holders and not applications
        ],
        "alarms": _alarms(stage, wanted),
    }


def _application_status(
    application: str,
    endpoint: str,
    endpoint_status: str | None,
    record: PromotionRecord | None,
    held: lock.Lock | None,
    running: dict[str, dict[str, Any]],
    approvals: list[Pending],
    difference: str,
) -> dict[str, Any]:
    promotion, problem = None, difference
    if held:
        execution = running.get(held.holder.execution)
        promotion = {
            "execution": held.holder.execution,
            "state": execution["state"] if execution else None,
            "since": iso(held.acquired_at),
            "recoveries": held.holder.recoveries,
        }
        if held.holder.is_abandoned and execution is None:
            problem = "Its recovery was abandoned. The endpoint is locked until an operator recovers it."
        elif execution is None:
            problem = problem or "The execution that holds its lock has ended. A recovery starts automatically."
    if record and endpoint_status is None:
        problem = problem or "The endpoint does not exist."
    elif endpoint_status in ("Failed", "OutOfService", "UpdateRollbackFailed"):
        problem = problem or f"The endpoint is {endpoint_status}."
    return {
        "application": application,
        "endpoint": endpoint,
        "endpoint_status": endpoint_status,
        "model_name": record["model_name"] if record else None,
        "source_name": record["source_name"] if record else None,
        "live_since": record["ended_at"] if record else None,
        "promotion": promotion,
        "approvals": [
            {
                "id": each.automation,
                "source_name": each.record["source_name"],
                "requested_at": iso(each.requested_at),
            }
            for each in approvals
        ],
        "problem": problem or None,
    }


def _urgency(item: dict[str, Any]) -> tuple[int, str]:
    rank = 0 if item["problem"] else 1 if item["promotion"] or item["approvals"] else 2
    return rank, item["application"]


def _endpoints(stage: Stage) -> dict[str, str]:
    """Return the status of each endpoint that can belong to an application in the stage."""
    pages = stage.client("sagemaker").get_paginator("list_endpoints").paginate(NameContains=f"-{stage.name}")
    return {each["EndpointName"]: each["EndpointStatus"] for page in pages for each in page["Endpoints"]}


def _alarms(stage: Stage, applications: list[str]) -> list[str]:
    pages = stage.client("cloudwatch").get_paginator("describe_alarms").paginate(StateValue="ALARM")
    names = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    own = tuple(f"{stage.endpoint(application)}-" for application in applications)
    return sorted(name for name in names if name.startswith((f"{stage.runbook}-", *own)))
