import datetime
import json
from typing import Any

import pytest

from promotion.errors import TransientError
from promotion.history import lock
from promotion.history.lock import Holder
from promotion.history.recovery import recover_all_dead, recover_if_dead, resolve
from promotion.history.table import PromotionTable
from promotion.source.request import Recover
from tests.support import promotion_table

HOLDER = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:holder"
OTHER = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:other"
ELEVEN = datetime.datetime(2026, 11, 28, 11, 0, tzinfo=datetime.UTC)


class StepFunctions:
    """Remembers what is started; a name can be started once."""

    class exceptions:  # noqa: N801 - as boto3 calls it
        class ExecutionAlreadyExists(Exception):  # noqa: N818
            pass

    def __init__(self, status: str) -> None:
        self.status = status
        self.started: dict[str, dict[str, Any]] = {}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        return {"executionArn": executionArn, "status": self.status}

    def start_execution(self, **request: Any) -> None:
        if request["name"] in self.started:
            raise self.exceptions.ExecutionAlreadyExists
        self.started[request["name"]] = request


@pytest.fixture(autouse=True)
def held(table: PromotionTable) -> None:
    lock.acquire(table, HOLDER, {"endpoint": "reviews-qa"}, ELEVEN.isoformat())


def recover(
    table: PromotionTable,
    stepfunctions: StepFunctions,
    now: datetime.datetime = ELEVEN,
    by: str = HOLDER,
    recoveries: int = 0,
) -> bool:
    holder = Holder(by, recoveries, {"endpoint": "reviews-qa"})
    return recover_if_dead(table, stepfunctions, "reviews-qa", holder, now)


def test_what_a_dead_execution_holds_is_recovered_by_its_state_machine(table: PromotionTable) -> None:
    stepfunctions = StepFunctions("ABORTED")

    assert recover(table, stepfunctions)

    (started,) = stepfunctions.started.values()
    assert started["stateMachineArn"] == "arn:aws:states:eu-west-1:222222222222:stateMachine:model-promotion-qa"
    assert json.loads(started["input"]) == {"recover": "reviews-qa"}


def test_a_recovery_is_started_once_an_hour_however_many_ask_for_it(table: PromotionTable) -> None:
    stepfunctions = StepFunctions("FAILED")

    asked = [recover(table, stepfunctions, ELEVEN + datetime.timedelta(minutes=m)) for m in (0, 15, 45, 60)]

    assert asked == [True, False, False, True]
    assert len(stepfunctions.started) == 2


@pytest.mark.parametrize(
    ("status", "holder"),
    [
        ("RUNNING", {}),
        # It waits for people.
        ("ABORTED", {"recoveries": 3}),
        # Another one has taken the endpoint since.
        ("SUCCEEDED", {"by": OTHER}),
    ],
)
def test_what_is_not_dead_or_was_given_up_or_back_is_left_alone(
    table: PromotionTable, status: str, holder: dict[str, Any]
) -> None:
    stepfunctions = StepFunctions(status)

    assert not recover(table, stepfunctions, **holder)
    assert stepfunctions.started == {}


def test_all_dead_holders_are_recovered(table: PromotionTable) -> None:
    lock.acquire(table, OTHER, {"endpoint": "other-qa"}, ELEVEN.isoformat())
    stepfunctions = StepFunctions("FAILED")

    assert recover_all_dead(table, stepfunctions, ELEVEN) == ["other-qa", "reviews-qa"]
    assert len(stepfunctions.started) == 2


BY_HAND = Recover((), "reviews-qa", "An operator asked for the recovery.")
BY_EVENT = Recover((HOLDER,), None, "The execution holder ended FAILED.")


@pytest.mark.parametrize("asked", [BY_HAND, BY_EVENT])
def test_a_dead_holder_is_there_to_recover(table: PromotionTable, asked: Recover) -> None:
    found = resolve(table, StepFunctions("FAILED"), asked)

    assert found == {
        "outcome": "recover",
        "reason": asked.reason,
        "execution": HOLDER,
        "promotion": {"endpoint": "reviews-qa"},
    }


@pytest.mark.parametrize("asked", [Recover((), "other-qa", "why"), Recover((OTHER,), None, "why")])
def test_without_a_lock_there_is_nothing_to_recover(table: PromotionTable, asked: Recover) -> None:
    found = resolve(table, StepFunctions("FAILED"), asked)

    assert (found["outcome"], found["reason"]) == (
        "nothing_to_recover",
        "why It holds no endpoint, nothing is left to do.",
    )


@pytest.mark.parametrize("asked", [BY_HAND, BY_EVENT])
def test_a_holder_that_is_still_running_is_to_be_tried_again(table: PromotionTable, asked: Recover) -> None:
    with pytest.raises(TransientError, match=f"The promotion {HOLDER} of reviews-qa is still running"):
        resolve(table, StepFunctions("RUNNING"), asked)


def test_a_running_execution_that_took_over_the_lock_is_left_alone(table: PromotionTable) -> None:
    found = resolve(table, StepFunctions("RUNNING"), Recover((OTHER,), "reviews-qa", "why"))

    assert found["outcome"] == "nothing_to_recover"
    assert found["reason"] == f"The endpoint reviews-qa is held by {HOLDER}, which is running."


def test_a_recovery_that_failed_three_times_is_given_up_unless_it_is_by_hand(table: PromotionTable) -> None:
    promotion_table.hold("reviews-qa", HOLDER, recoveries=3)

    given_up = resolve(table, StepFunctions("FAILED"), BY_EVENT)

    assert given_up["outcome"] == "abandoned"
    assert given_up["promotion"] == {"endpoint": "reviews-qa"}
    assert "could not be recovered in 3 tries" in given_up["reason"]
    assert resolve(table, StepFunctions("FAILED"), BY_HAND)["outcome"] == "recover"


def test_four_dead_executions_in_a_row_are_given_up(table: PromotionTable) -> None:
    found = resolve(table, StepFunctions("FAILED"), Recover((OTHER, OTHER, OTHER, HOLDER), None, "why"))

    assert found["outcome"] == "abandoned"
