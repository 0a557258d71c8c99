"""Monitor locks, approvals and live records: publish how long locks and approvals last, and repair interruptions.

An interrupted promotion whose event was lost is recovered. A successful one that ended before its event was published
is published.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator
from typing import Any

from promotion.aws.clients import client
from promotion.aws.executions import is_running
from promotion.errors import PromotionError, TransientError
from promotion.history import approval_requests, lock, records, recovery
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source.request import OWN_SOURCE, SUCCEEDED
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the seconds that locks are `held` and approvals are `waiting`, and what is `recovering` and `published`.

    A check that fails does not prevent the others. Raise PromotionError at the end if one has failed.
    """
    stage, table = event["stage"], PromotionTable(client("dynamodb"), event["table"])
    stepfunctions, ssm = client("stepfunctions"), client("ssm")
    now = datetime.datetime.now(datetime.UTC)
    problems: list[str] = []
    held: dict[str, float] = {}
    waiting: dict[str, float] = {}
    recovering, published = [], []

    with _checking("the locks", problems):
        locks = lock.all_held(table)
        held = {each.endpoint: each.unexplained_seconds(now) for each in locks}
        _put_metric(stage, "LockHeldSeconds", held)
        for each in locks:
            with _checking(f"the lock of the endpoint {each.endpoint}", problems):
                if recovery.recover_if_dead(table, stepfunctions, each.endpoint, each.holder, now):
                    recovering.append(each.endpoint)
    with _checking("the unrecorded approvals", problems):
        approval_requests.record_orphans(table, ssm, stepfunctions, f"model-promotion-{stage}")
    with _checking("the approval requests", problems):
        for record, request in approval_requests.open_requests(table):
            with _checking(f"the approval {request.automation}", problems):
                seconds = approval_requests.waiting_seconds(table, ssm, record, request, now)
                if seconds is not None:
                    waiting[f"{record['endpoint']}, {record['source_name']}"] = seconds
    with _checking("the metric ApprovalWaitingSeconds", problems):
        _put_metric(stage, "ApprovalWaitingSeconds", waiting)
    with _checking("the live records", problems):
        for record in records.unpublished(table):
            with _checking(f"the event of the endpoint {record['endpoint']}", problems):
                if _publish_if_ended(table, stepfunctions, event["bus"], record):
                    published.append(record["endpoint"])
    logger.info("Promotions checked", held=held, recovering=recovering, waiting=waiting, published=published)
    if problems:
        raise PromotionError(f"{len(problems)} checks failed. The first is that of {problems[0]}")
    return {"held": held, "recovering": recovering, "waiting": waiting, "published": published}


@contextlib.contextmanager
def _checking(what: str, problems: list[str]) -> Iterator[None]:
    """Add any exception to `problems`, since the other checks are still due."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        logger.exception("Check failed", of=what)
        problems.append(f"{what}: {error}")


def _publish_if_ended(table: PromotionTable, stepfunctions: Any, bus: str, record: PromotionRecord) -> bool:
    """Publish the event of a promotion whose execution has ended without doing so, and return whether it was published.

    If the execution published the event but did not record that, the event is published twice.
    """
    if is_running(stepfunctions, record["execution"]):
        return False
    entry = {"Source": OWN_SOURCE, "DetailType": SUCCEEDED, "EventBusName": bus, "Detail": json.dumps(record)}
    answer = client("events").put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise TransientError(f"PutEvents: {answer['Entries'][0].get('ErrorMessage', 'The entry was not accepted.')}")
    records.record_late_publication(table, record)
    return True


def _put_metric(stage: str, metric: str, seconds: dict[str, float]) -> None:
    """Put the longest time, or zero if there is none, so that the alarm returns to OK."""
    client("cloudwatch").put_metric_data(
        Namespace="ModelPromotion",
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "Stage", "Value": stage}],
                "Value": max(seconds.values(), default=0),
                "Unit": "Seconds",
            }
        ],
    )
