import datetime
import json
from typing import Any

import pytest

from promotion.errors import TransientError
from promotion.history import lock
from promotion.history.lock import Holder
from promotion.history.recovery import recover_if_dead, resolve
from promotion.history.table import PromotionTable
from promotion.source.request import Recover
from tests.support import promotion_table

HOLDER = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:holder"
OTHER = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:other"
ELEVEN = datetime.datetime(2026, 11, 28, 11, 0, tzinfo=datetime.UTC)


class StepFunctions:
    """A Step Functions that records the started executions, each with a unique name."""

    class exceptions:  # noqa: N801 - boto3's name
        class ExecutionAlreadyExists(Exception):  # noqa: N818
            pass

    def __init__(self, status: str, ended_at: datetime.datetime | None = None) -> None:
        self.status, self.ended_at = status, ended_at
        self.started: dict[str, dict[str, Any]] = {}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        ended = {"stopDate": self.ended_at} if self.ended_at else {}
        return {"executionArn": executionArn, "status": self.status, **ended}

    def start_execution(self, **request: Any) -> None:
        if request["name"] in self.started:
            raise self.exceptions.ExecutionAlreadyExists
        self.started[request["name"]] = request


@pytest.fixture(autouse=True)
def held(table: PromotionTable) -> None:
    lock.record_execution(table, HOLDER, "reviews-qa")
    lock.acquire(table, HOLDER, {"endpoint": "reviews-qa"}, ELEVEN.isoformat())


def recover(
    table: PromotionTable,
    stepfunctions: StepFunctions,
    now: datetime.datetime = ELEVEN,
    execution: str = HOLDER,
    recoveries: int = 0,
) -> bool:
    holder = Holder(execution, recoveries, {"endpoint": "reviews-qa"})
    return recover_if_dead(table, stepfunctions, "reviews-qa", holder, now)


def test_a_dead_execution_is_recovered_by_its_state_machine(table: PromotionTable) -> None:
    stepfunctions = StepFunctions("ABORTED")

    assert recover(table, stepfunctions)

    (started,) = stepfunctions.started.values()
    assert started["stateMachineArn"] == "arn:aws:states:eu-west-1:222222222222:stateMachine:model-promotion-qa"
    assert json.loads(started["input"]) == {"recover": "reviews-qa"}


def test_a_recovery_is_started_at_most_once_an_hour(table: PromotionTable) -> None:
    stepfunctions = StepFunctions("FAILED")

    started = [recover(table, stepfunctions, ELEVEN + datetime.timedelta(minutes=m)) for m in (0, 15, 45, 60)]

    assert started == [True, False, False, True]
    assert len(stepfunctions.started) == 2


@pytest.mark.parametrize(
    ("status", "holder"),
    [
        ("RUNNING", {}),
        # The recovery was abandoned.
        ("ABORTED", {"recoveries": 6}),
        # Another execution has acquired the lock since.
        ("SUCCEEDED", {"execution": OTHER}),
    ],
)
def test_a_running_or_abandoned_or_released_holder_is_not_recovered(
    table: PromotionTable, status: str, holder: dict[str, Any]
) -> None:
    stepfunctions = StepFunctions(status)

    assert not recover(table, stepfunctions, **holder)
    assert stepfunctions.started == {}


MANUAL = Recover((), "reviews-qa", "An operator requested the recovery.")
BY_EVENT = Recover((HOLDER,), None, "The execution holder ended FAILED.")


@pytest.mark.parametrize("requested", [MANUAL, BY_EVENT])
def test_a_dead_holder_is_recovered_on_request(table: PromotionTable, requested: Recover) -> None:
    found = resolve(table, StepFunctions("FAILED"), requested)

    assert found == {
        "outcome": "recover",
        "reason": requested.reason,
        "execution": HOLDER,
        "recoveries": 1,
        "promotion": {"endpoint": "reviews-qa"},
    }


@pytest.mark.parametrize(
    ("requested", "reason"),
    [
        (Recover((), "other-qa", "Why."), "Why. No promotion holds the lock of other-qa; there is nothing to recover."),
        (Recover((OTHER,), None, "Why."), "Why. It holds no lock; there is nothing to recover."),
    ],
)
def test_without_a_lock_there_is_nothing_to_recover(table: PromotionTable, requested: Recover, reason: str) -> None:
    found = resolve(table, StepFunctions("FAILED"), requested)

    assert (found["outcome"], found["reason"]) == ("nothing_to_recover", reason)


@pytest.mark.parametrize("requested", [MANUAL, BY_EVENT])
def test_a_running_holder_is_a_transient_error(table: PromotionTable, requested: Recover) -> None:
    with pytest.raises(TransientError, match=f"The execution {HOLDER} is still running"):
        resolve(table, StepFunctions("RUNNING"), requested)


def test_a_running_execution_that_took_over_the_lock_is_not_recovered(table: PromotionTable) -> None:
    found = resolve(table, StepFunctions("RUNNING"), Recover((OTHER,), "reviews-qa", "why"))

    assert found["outcome"] == "nothing_to_recover"
    assert (
        found["reason"] == f"The lock of the endpoint reviews-qa is held by the execution {HOLDER}, which is running."
    )


@pytest.mark.parametrize(("recoveries", "minutes"), [(3, 15), (4, 60), (5, 240)])
def test_a_recovery_that_failed_three_times_is_tried_again_later(
    table: PromotionTable, recoveries: int, minutes: int
) -> None:
    promotion_table.hold("reviews-qa", HOLDER, recoveries=recoveries)
    stepfunctions = StepFunctions("FAILED", ELEVEN)

    found = resolve(table, stepfunctions, BY_EVENT)

    assert found["outcome"] == "nothing_to_recover"
    assert f"in about {minutes} minutes" in found["reason"]
    assert resolve(table, stepfunctions, MANUAL)["recoveries"] == recoveries + 1
    due = ELEVEN + datetime.timedelta(minutes=minutes)
    assert not recover(table, stepfunctions, due - datetime.timedelta(minutes=1), recoveries=recoveries)
    assert recover(table, stepfunctions, due, recoveries=recoveries)


def test_a_recovery_that_failed_six_times_is_abandoned_unless_manual(table: PromotionTable) -> None:
    promotion_table.hold("reviews-qa", HOLDER, recoveries=6)

    abandoned = resolve(table, StepFunctions("FAILED"), BY_EVENT)

    assert abandoned["outcome"] == "abandoned"
    assert abandoned["promotion"] == {"endpoint": "reviews-qa"}
    assert "could not be recovered in 6 attempts" in abandoned["reason"]
    assert resolve(table, StepFunctions("FAILED"), MANUAL)["outcome"] == "recover"


def test_a_recovery_is_abandoned_after_four_dead_executions_in_a_row(table: PromotionTable) -> None:
    found = resolve(table, StepFunctions("FAILED"), Recover((OTHER, OTHER, OTHER, HOLDER), None, "why"))

    assert found["outcome"] == "abandoned"
