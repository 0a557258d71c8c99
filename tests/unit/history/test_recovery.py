import datetime
import json
from typing import Any

import pytest

from promotion.history import lock
from promotion.history.lock import Holder
from promotion.history.recovery import recover_if_dead
from promotion.history.table import PromotionTable

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
