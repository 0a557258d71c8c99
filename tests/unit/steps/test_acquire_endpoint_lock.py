import json
from typing import Any

import boto3
import pytest

from steps import acquire_endpoint_lock
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, get, put

PROMOTION = {"endpoint": "reviews-qa", "application": "reviews"}


def acquire(checks: int = 0) -> dict[str, Any]:
    given = {"promotion": PROMOTION, "execution": FIRST, "checks": checks, "table": NAME}
    return acquire_endpoint_lock.handler(given, CONTEXT)


def start_another() -> str:
    """Start another execution of the state machine, which keeps running, and return its ARN."""
    stepfunctions = boto3.client("stepfunctions")
    machine = stepfunctions.create_state_machine(
        name="model-promotion-qa",
        definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
        roleArn="arn:aws:iam::123456789012:role/promotion",
    )["stateMachineArn"]
    return str(stepfunctions.start_execution(stateMachineArn=machine, name="another")["executionArn"])


def inputs_of_executions(arn: str) -> list[dict[str, Any]]:
    """Return the inputs of all executions of the state machine that the execution `arn` belongs to."""
    stepfunctions = boto3.client("stepfunctions")
    machine = arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    executions = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
    return [
        json.loads(stepfunctions.describe_execution(executionArn=execution["executionArn"])["input"])
        for execution in executions
    ]


def test_a_free_lock_is_acquired_with_the_record_in_its_journal(dynamodb: Any) -> None:
    assert acquire() == {"acquired": True, "holder": ""}

    locked = get("lock", "reviews-qa")
    assert locked
    assert locked["execution"] == FIRST
    assert json.loads(locked["promotion"]) == PROMOTION


def test_a_retry_of_the_same_execution_holds_the_lock(dynamodb: Any) -> None:
    acquire()

    assert acquire() == {"acquired": True, "holder": ""}


def test_the_lock_of_a_running_promotion_is_not_acquired(dynamodb: Any) -> None:
    holder = start_another()
    put("lock", "reviews-qa", execution=holder, promotion="{}")

    assert acquire() == {"acquired": False, "holder": holder}

    assert (get("lock", "reviews-qa") or {})["execution"] == holder
    assert inputs_of_executions(holder) == [{}]


def test_the_lock_of_an_ended_execution_starts_a_recovery(dynamodb: Any) -> None:
    holder = start_another()
    put("lock", "reviews-qa", execution=holder, promotion="{}")
    boto3.client("stepfunctions").stop_execution(executionArn=holder)

    assert acquire() == {"acquired": False, "holder": holder}

    assert {"recover": "reviews-qa"} in inputs_of_executions(holder)


def test_the_holder_is_checked_at_every_fifth_attempt(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put("lock", "reviews-qa", execution=start_another(), promotion="{}")
    checked: list[object] = []
    monkeypatch.setattr(acquire_endpoint_lock, "recover_if_dead", lambda *arguments: checked.append(arguments))

    found = []
    for attempt in range(11):
        acquire(attempt)
        found.append(len(checked))

    assert found == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]
