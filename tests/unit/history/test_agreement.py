"""The check finds every wrong ending, and nothing else."""

import dataclasses
import datetime
import json
from typing import Any

import pytest

from promotion.history import agreement
from promotion.history.agreement import Facts
from promotion.history.lock import LATER_RECOVERIES, RECOVERY_ATTEMPTS, Holder
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from tests.support.promotion_table import FIRST, PROMOTION, SECOND, put
from tests.support.sagemaker import SageMaker

ALL_ATTEMPTS = RECOVERY_ATTEMPTS + len(LATER_RECOVERIES)

OLD, NEW, FOREIGN = "reviews-qa-old", "reviews-qa-new", "someone-elses"
THIRD = SECOND.replace("second", "third")


def description(config: str, status: str = "InService", **more: Any) -> dict[str, Any]:
    return {"EndpointName": "reviews-qa", "EndpointConfigName": config, "EndpointStatus": status, **more}


def record(execution: str, config: str, status: str, minute: int, **more: Any) -> PromotionRecord:
    """Return a record of the history; with the status Succeeded it can be live, too."""
    found: Any = PROMOTION | {
        "execution": execution,
        "endpoint_config_name": config,
        "model_name": config.replace("reviews-qa", "model"),
        "previous_endpoint_config_name": "",
        "status": status,
        "approval": "",
        "source_kind": "training_job",
        "ended_at": f"2026-11-22T09:{minute:02}:00.000Z",
    }
    changed: PromotionRecord = found | more
    return changed


FIRST_SUCCEEDED = record(FIRST, OLD, "Succeeded", 1)
SECOND_SUCCEEDED = record(SECOND, NEW, "Succeeded", 2, previous_endpoint_config_name=OLD)
SECOND_FAILED = record(SECOND, NEW, "Failed", 2, previous_endpoint_config_name=OLD)
FIRST_FAILED = record(FIRST, OLD, "Failed", 1)
AGREEING = Facts("reviews-qa", description(OLD), FIRST_SUCCEEDED, [FIRST_SUCCEEDED])

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    # An update that was undone in the records only, or that a function made after its execution was recovered.
    "a model that did not pass its promotion is served": (
        {"description": description(NEW), "history": [FIRST_SUCCEEDED, SECOND_FAILED]},
        "serves the endpoint config reviews-qa-new, but reviews-qa-old of the model model-old is on record as live. "
        "reviews-qa-new did not pass its promotion: the execution second ended at 2026-11-22T09:02:00.000Z (Failed)",
    ),
    "a first model that did not pass its promotion is served": (
        {"description": description(OLD), "live": None, "history": [FIRST_FAILED]},
        "serves the endpoint config reviews-qa-old, but no promotion is on record as live",
    ),
    "the rollback of a first promotion failed, because someone else updated its endpoint": (
        {"description": description(FOREIGN), "live": None, "history": [FIRST_FAILED | {"status": "RollbackFailed"}]},
        "serves the endpoint config someone-elses, but no promotion is on record as live. No recent promotion deployed",
    ),
    "the rollback failed": (
        {"description": description(NEW), "history": [FIRST_SUCCEEDED, SECOND_FAILED | {"status": "RollbackFailed"}]},
        "(RollbackFailed)",
    ),
    # An update by someone else during the smoke test.
    "the model before the recorded one is served": (
        {"live": SECOND_SUCCEEDED, "history": [FIRST_SUCCEEDED, SECOND_SUCCEEDED]},
        "reviews-qa-old was live earlier: the execution first",
    ),
    "someone else updated the endpoint": (
        {"description": description(FOREIGN)},
        "No recent promotion deployed someone-elses: someone else updated the endpoint",
    ),
    "someone else deleted the endpoint": (
        {"description": None},
        "does not exist, but the model model-old is on record",
    ),
    "the endpoint serves nothing": (
        {"description": description(OLD, "Failed", FailureReason="No capacity.")},
        "is Failed, not InService: No capacity.",
    ),
    "the endpoint is out of service": (
        {"description": description(OLD, "OutOfService")},
        "is OutOfService, not InService: SageMaker gave no reason.",
    ),
    "the endpoint has instances of two configs": (
        {"description": description(OLD, "UpdateRollbackFailed")},
        "is UpdateRollbackFailed",
    ),
    "a first endpoint is broken": (
        {"description": description(OLD, "Failed"), "live": None, "history": [FIRST_FAILED]},
        "is Failed, not InService",
    ),
    "the approval was used by another execution": (
        {"live": FIRST_SUCCEEDED | {"approval": "a-1"}, "approval_used_by": SECOND},
        "The approval a-1 of the model model-old, which is live on the endpoint reviews-qa, was used by the execution "
        "second, not by first",
    ),
    "the event of the record was never published": (
        {"is_published": False},
        "was not published: the execution first ended before",
    ),
    "the lock is held by a dead execution": (
        {"holder": Holder(SECOND, 0, FIRST_SUCCEEDED)},
        "is locked by the execution second, which has ended. A recovery is still to come.",
    ),
    "the lock is held, and its recovery was abandoned": (
        {"holder": Holder(SECOND, ALL_ATTEMPTS, FIRST_SUCCEEDED)},
        'start the state machine with the input {"recover": "reviews-qa"}',
    ),
    "the live record is not that of the last success": (
        {"history": [FIRST_SUCCEEDED, SECOND_SUCCEEDED]},
        "is that of the execution first, but the last successful promotion in the history is that of second",
    ),
    "the live record is missing": (
        {"live": None},
        "has no live record, but the promotion of the model model-old by the execution first succeeded",
    ),
    "the live record is in no history": ({"history": []}, "the history has no successful promotion by it"),
    "the live record is of a failed promotion": ({"history": [FIRST_FAILED]}, "has no successful promotion by it"),
}


@pytest.mark.parametrize("ending", WRONG)
def test_a_wrong_ending_is_found(ending: str) -> None:
    changes, text = WRONG[ending]

    (difference,) = agreement.differences(dataclasses.replace(AGREEING, **changes))

    assert text in difference
    assert "reviews-qa" in difference


CORRECT: dict[str, dict[str, Any]] = {
    "promoted": {},
    "rolled back": {"history": [FIRST_SUCCEEDED, SECOND_FAILED]},
    "promoted twice": {
        "description": description(NEW),
        "live": SECOND_SUCCEEDED,
        "history": [FIRST_SUCCEEDED, SECOND_SUCCEEDED],
    },
    "a first deployment that was rolled back": {"description": None, "live": None, "history": [FIRST_FAILED]},
    "a first deployment to the endpoint of someone else": {
        "description": description(FOREIGN),
        "live": None,
        "history": [FIRST_FAILED | {"previous_endpoint_config_name": FOREIGN}],
    },
    "a first deployment of the config that someone else deployed": {
        "live": None,
        "history": [FIRST_FAILED | {"previous_endpoint_config_name": OLD}],
    },
    "an endpoint that someone else created after a first promotion failed": {
        "description": description(FOREIGN),
        "live": None,
        "history": [FIRST_FAILED],
    },
    "an application that was retired": {"description": None, "live": None},
    "a lock that a promotion holds": {
        "description": description(NEW),
        "holder": Holder(SECOND, 0, FIRST_SUCCEEDED),
        "is_holder_running": True,
    },
    "an endpoint that is being changed": {"description": description(FOREIGN, "Updating")},
    "an endpoint that is being deleted": {"description": description(OLD, "Deleting")},
    "an endpoint with a pending deployment": {
        "description": description(FOREIGN, PendingDeploymentSummary={"EndpointConfigName": NEW})
    },
    "an approval that the live promotion used": {
        "live": FIRST_SUCCEEDED | {"approval": "a-1"},
        "approval_used_by": FIRST,
    },
    # The recent history has only failures since the live promotion.
    "a success that is too old for the recent history": {"history": [SECOND_FAILED, record(THIRD, NEW, "Failed", 3)]},
}


@pytest.mark.parametrize("ending", CORRECT)
def test_a_correct_ending_has_no_differences(ending: str) -> None:
    assert agreement.differences(dataclasses.replace(AGREEING, **CORRECT[ending])) == []


@pytest.mark.parametrize(
    ("changes", "is_settled"),
    [
        ({}, True),
        ({"description": None}, True),
        ({"description": description(OLD, "RollingBack")}, False),
        ({"description": description(OLD, PendingDeploymentSummary={"EndpointConfigName": NEW})}, False),
        ({"holder": Holder(SECOND, 0, FIRST_SUCCEEDED), "is_holder_running": True}, False),
        ({"holder": Holder(SECOND, ALL_ATTEMPTS, FIRST_SUCCEEDED), "is_holder_running": True}, False),
        # The recovery of a dead execution is still to come, unless it was abandoned.
        ({"holder": Holder(SECOND, 0, FIRST_SUCCEEDED)}, False),
        ({"holder": Holder(SECOND, ALL_ATTEMPTS, FIRST_SUCCEEDED)}, True),
    ],
)
def test_an_endpoint_is_settled_when_nothing_is_about_to_change_it(changes: dict[str, Any], is_settled: bool) -> None:
    assert agreement.is_settled(dataclasses.replace(AGREEING, **changes)) is is_settled


class StepFunctions:
    """A fake client, in which only the given executions are running."""

    def __init__(self, *running: str) -> None:
        self.running = running

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - the name in boto3
        return {"status": "RUNNING" if executionArn in self.running else "FAILED"}


def store(live: PromotionRecord, *history: PromotionRecord, published: bool = True) -> None:
    put("live", "reviews-qa", execution=live["execution"], promotion=json.dumps(live))
    for each in history:
        key = f"{each['ended_at']}#{each['execution'].rpartition(':')[2]}"
        put("history#reviews-qa", key, promotion=json.dumps(each))


def read(table: PromotionTable, *running: str, config: str = OLD) -> Facts:
    facts = agreement.read(table, SageMaker(config), StepFunctions(*running), "reviews-qa")
    assert facts
    return facts


def test_the_facts_are_read_from_the_table_and_sagemaker(table: PromotionTable) -> None:
    live: Any = FIRST_SUCCEEDED | {"approval": "a-1"}
    store(live, live, SECOND_FAILED)
    put("lock", "reviews-qa", execution=SECOND, promotion=json.dumps(SECOND_FAILED), recoveries=1)
    put("used-approval", "a-1", execution=FIRST)

    facts = read(table, SECOND, config=NEW)

    assert facts.description
    assert facts.description["EndpointConfigName"] == NEW
    assert facts.live == live
    assert facts.history == [live, SECOND_FAILED]
    assert facts.holder == Holder(SECOND, 1, SECOND_FAILED)
    assert facts.is_holder_running
    assert facts.approval_used_by == FIRST
    assert facts.is_published
    assert not read(table).is_holder_running


def test_the_approval_of_an_earlier_promotion_is_not_that_of_a_rollback(table: PromotionTable) -> None:
    rollback: Any = SECOND_SUCCEEDED | {"approval": "a-1", "source_kind": "rollback"}
    store(rollback, rollback)
    put("used-approval", "a-1", execution=FIRST)

    assert agreement.differences(read(table, config=NEW)) == []


def test_an_event_is_missing_if_the_execution_ended_before_it_was_published(table: PromotionTable) -> None:
    store(FIRST_SUCCEEDED, FIRST_SUCCEEDED)
    table.update("live", "reviews-qa", "SET published = :no", no=False)

    assert not read(table).is_published
    assert read(table, FIRST).is_published
    table.update("live", "reviews-qa", "SET published_late = :yes", yes=True)
    assert read(table).is_published


def test_facts_that_change_while_they_are_read_are_not_compared(table: PromotionTable) -> None:
    class Changing(SageMaker):
        def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
            store(SECOND_SUCCEEDED, SECOND_SUCCEEDED)
            return super().describe_endpoint(EndpointName)

    store(FIRST_SUCCEEDED, FIRST_SUCCEEDED)

    assert agreement.read(table, Changing(NEW), StepFunctions(), "reviews-qa") is None
    assert agreement.differences(read(table, config=NEW)) == []


def test_only_the_newest_records_are_read(table: PromotionTable) -> None:
    start = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    failures: list[Any] = [
        SECOND_FAILED | {"ended_at": (start + datetime.timedelta(days=day)).isoformat()} for day in range(1, 61)
    ]
    store(FIRST_SUCCEEDED, FIRST_SUCCEEDED, *failures)

    facts = read(table)

    assert facts.history == failures[-50:]
    assert agreement.differences(facts) == []


def test_every_endpoint_that_was_changed_or_has_a_record_is_known(table: PromotionTable) -> None:
    put("autoscaling", "reviews-qa", execution=FIRST)
    put("live", "reviews-qa", execution=FIRST)
    put("autoscaling", "failed-qa", execution=FIRST)
    put("live", "older-qa", execution=FIRST)
    put("lock", "waiting-qa", execution=FIRST)

    assert agreement.endpoints(table) == ["failed-qa", "older-qa", "reviews-qa"]


def test_the_reported_differences_are_kept_by_endpoint(table: PromotionTable) -> None:
    assert agreement.claim_report(table, "reviews-qa", "It differs.", "")
    assert agreement.claim_report(table, "other-qa", "", "")
    assert not agreement.claim_report(table, "reviews-qa", "It still differs.", "")

    assert agreement.reported(table) == {"other-qa": "", "reviews-qa": "It differs."}
