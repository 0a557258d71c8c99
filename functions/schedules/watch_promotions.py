"""Monitor locks, approvals, live records and endpoints: publish metrics, repair interruptions, report differences.

An interrupted promotion whose event was lost is recovered. A successful one that ended before its event was published
is published. An endpoint that differs from its record is reported once, and counted until it agrees. A source or an
ended approval whose event was lost gets its execution.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from promotion import metrics
from promotion.aws.aws_errors import Meaning, is_throttled, meaning, message
from promotion.aws.clients import client, upstream_client
from promotion.aws.executions import is_running
from promotion.errors import PromotionError
from promotion.history import agreement, approval, approval_requests, events, lock, missed_events, records, recovery
from promotion.history.agreement import Facts
from promotion.history.missed_events import Fate
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the seconds that locks are `held` and approvals are `waiting`, and what was done or found by endpoint.

    An endpoint is `recovering`, its event was `published`, or it is `differing` from its record, its lock or its
    history. `missed` are the sources and approvals whose events were lost. A check that fails does not prevent the
    others. Raise PromotionError at the end if one has failed.
    """
    stage, table = event["stage"], PromotionTable(client("dynamodb"), event["table"])
    stepfunctions, ssm = client("stepfunctions"), client("ssm")
    now = datetime.datetime.now(datetime.UTC)
    problems: list[str] = []
    held: dict[str, float] = {}
    waiting: dict[str, float] = {}
    longest: dict[str, float] = collections.defaultdict(float)
    differing: dict[str, str] = {}
    recovering, published, missed, known = [], [], list[str](), set[str]()

    with _checking("the locks", problems):
        locks = lock.all_held(table)
        held = {each.endpoint: each.unexplained_seconds(now) for each in locks}
        _put_seconds(stage, "LockHeldSeconds", held)
        for each in locks:
            with _checking(f"the lock of the endpoint {each.endpoint}", problems):
                if recovery.recover_if_dead(table, stepfunctions, each.endpoint, each.holder, now):
                    recovering.append(each.endpoint)
    with _checking("the events of the upstream account", problems):
        known = missed_events.started(table, now)
        missed += _missed_sources(event, table, known, now)
    with _checking("the unrecorded approvals", problems):
        for record, automation in approval_requests.record_orphans(
            table, ssm, stepfunctions, f"model-promotion-{stage}"
        ):
            events.publish_request(client("events"), event["bus"], record, automation)
    with _checking("the superseded approvals", problems):
        requests = collections.Counter(record["endpoint"] for record, _ in approval_requests.open_requests(table))
        for endpoint in [endpoint for endpoint, number in requests.items() if number > 1]:
            with _checking(f"the superseded approvals of the endpoint {endpoint}", problems):
                approval_requests.supersede_older(table, ssm, endpoint)
    with _checking("the approval requests", problems):
        for record, request in approval_requests.open_requests(table):
            with _checking(f"the approval {request.automation}", problems):
                requested = approval.find(ssm, request.automation)
                match missed_events.fate(requested, known, now):
                    case Fate.OPEN if requested:
                        seconds = approval_requests.waiting_seconds(requested, now)
                        if seconds is not None:
                            waiting[f"{record['endpoint']}, {record['source_name']}"] = seconds
                            longest[record["endpoint"]] = max(seconds, longest[record["endpoint"]])
                    case Fate.UNHEARD:
                        missed_events.start_for_approval(stepfunctions, event["state_machine"], request.automation)
                        missed.append(f"the end of the approval {request.automation}")
                        approval_requests.record_ended(table, record, request)
                    case Fate.HEARD:
                        approval_requests.record_ended(table, record, request)
    _put_seconds(stage, "ApprovalWaitingSeconds", longest)
    with _checking("the live records", problems):
        for record in records.unpublished(table):
            with _checking(f"the event of the endpoint {record['endpoint']}", problems):
                if _publish_if_ended(table, stepfunctions, event["bus"], record):
                    published.append(record["endpoint"])
    with _checking("the endpoints", problems):
        reported = agreement.reported(table)
        for endpoint in agreement.endpoints(table):
            differing[endpoint] = reported.get(endpoint, "")  # unless it can be read
            with _checking(f"the endpoint {endpoint}", problems):
                facts = agreement.read(table, client("sagemaker"), stepfunctions, endpoint)
                if facts is None or not agreement.is_settled(facts):
                    differing[endpoint] = ""
                    continue
                differing[endpoint] = " ".join(agreement.differences(facts))
                _report(table, event, facts, differing[endpoint], reported.get(endpoint, ""))
        differing = {endpoint: text for endpoint, text in differing.items() if text}
        metrics.put("DifferingEndpoints", len(differing), "Count", Stage=stage)
    found: dict[str, Any] = {"held": held, "recovering": recovering, "waiting": waiting, "published": published}
    found |= {"differing": differing, "missed": missed}
    logger.info("Promotions checked", **found)
    if problems:
        raise PromotionError(f"{len(problems)} checks failed. The first is that of {problems[0]}")
    return found


def _missed_sources(event: dict[str, Any], table: PromotionTable, known: set[str], now: datetime.datetime) -> list[str]:
    """Start the executions of sources in the upstream account whose events were lost, and return their ARNs.

    The account of a stage publishes lost events itself. Return none if its reader role does not permit lists yet.
    """
    since = missed_events.first_check(table, now)
    if event["upstream_stage"]:
        return []
    role = event["upstream_role_arn"], event["external_id"]
    try:
        sagemaker = upstream_client(*role, "watch-promotions", "sagemaker")
        found = list(missed_events.sources(sagemaker, known, since, now))
    except ClientError as error:
        if meaning(error) is not Meaning.DENIED:
            raise
        logger.warning("Lost events not found: deploy upstream.yaml in the upstream account", reason=message(error))
        return []
    start = functools.partial(missed_events.start_for_source, client("stepfunctions"), event["state_machine"])
    return [arn for arn, lost in found if start(arn, lost)]


@contextlib.contextmanager
def _checking(what: str, problems: list[str]) -> Iterator[None]:
    """Add any exception to `problems`, since the other checks are still due. The next run repeats a throttled one."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        if isinstance(error, ClientError) and is_throttled(error):
            logger.warning("Check throttled", of=what, reason=message(error))
            return
        logger.exception("Check failed", of=what)
        problems.append(f"{what}: {error}")


def _publish_if_ended(table: PromotionTable, stepfunctions: Any, bus: str, record: PromotionRecord) -> bool:
    """Publish the event of a promotion whose execution has ended without doing so, and return whether it was published.

    If the execution published the event but did not record that, the event is published twice.
    """
    if is_running(stepfunctions, record["execution"]):
        return False
    events.publish_success(client("events"), bus, record)
    records.record_late_publication(table, record)
    return True


def _report(table: PromotionTable, event: dict[str, Any], facts: Facts, text: str, former: str) -> None:
    """Publish the differences of an endpoint, unless `text` is empty or another check has published them.

    If this check is killed before it publishes them, the alarm on the number of differing endpoints remains.
    """
    endpoint = facts.endpoint
    if text == former or not agreement.claim_report(table, endpoint, text, former) or not text:
        return
    application = endpoint.removesuffix(f"-{event['stage']}")
    last = facts.live or facts.history[-1]
    detail = {
        "application": application,
        "stage": event["stage"],
        "endpoint": endpoint,
        "execution": facts.holder.execution if facts.holder else last["execution"],
        # A reason of SageMaker could contain a link, which must not become one in an email.
        "summary": f"{application}: endpoint and record differ. " + re.sub("https?://", "", text, flags=re.IGNORECASE),
    }
    try:
        events.publish_difference(client("events"), event["bus"], detail)
    except Exception:
        agreement.claim_report(table, endpoint, former, text)
        raise


def _put_seconds(stage: str, metric: str, seconds: dict[str, float]) -> None:
    """Put the seconds of each endpoint that has any, and the longest, also if it is zero: the alarm returns to OK."""
    metrics.put(metric, max(seconds.values(), default=0), "Seconds", Stage=stage)
    for endpoint, value in seconds.items():
        metrics.put(metric, value, "Seconds", Stage=stage, Application=endpoint.removesuffix(f"-{stage}"))
