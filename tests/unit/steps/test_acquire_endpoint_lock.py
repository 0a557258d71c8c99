import json
from typing import Any

import boto3

from steps import acquire_endpoint_lock
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, get, put

PROMOTION = {"endpoint": "reviews-qa", "application": "reviews"}


def take() -> dict[str, Any]:
    return acquire_endpoint_lock.handler({"promotion": PROMOTION, "execution": FIRST, "table": NAME}, CONTEXT)


def start_another() -> str:
    """Start another execution of the state machine, which keeps running; its ARN."""
    stepfunctions = boto3.client("stepfunctions")
    machine = stepfunctions.create_state_machine(
        name="model-promotion-qa",
        definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
        roleArn="arn:aws:iam::123456789012:role/promotion",
    )["stateMachineArn"]
    return str(stepfunctions.start_execution(stateMachineArn=machine, name="another")["executionArn"])


def started(arn: str) -> list[dict[str, Any]]:
    """Return the inputs of all executions of the state machine of an execution."""
    stepfunctions = boto3.client("stepfunctions")
    machine = arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    found = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
    return [json.loads(stepfunctions.describe_execution(executionArn=each["executionArn"])["input"]) for each in found]


def test_a_free_endpoint_is_locked_with_the_promotion_in_its_journal(dynamodb: Any) -> None:
    assert take() == {"acquired": True, "holder": ""}

    locked = get("lock", "reviews-qa")
    assert locked
    assert locked["execution"] == FIRST
    assert json.loads(locked["promotion"]) == PROMOTION


def test_a_second_try_of_the_same_execution_has_the_lock_already(dynamodb: Any) -> None:
    take()

    assert take() == {"acquired": True, "holder": ""}


def test_an_endpoint_that_a_running_promotion_holds_is_left_to_it(dynamodb: Any) -> None:
    holder = start_another()
    put("lock", "reviews-qa", execution=holder, promotion="{}")

    assert take() == {"acquired": False, "holder": holder}

    assert (get("lock", "reviews-qa") or {})["execution"] == holder
    assert started(holder) == [{}]


def test_the_recovery_of_a_promotion_that_has_ended_is_started(dynamodb: Any) -> None:
    holder = start_another()
    put("lock", "reviews-qa", execution=holder, promotion="{}")
    boto3.client("stepfunctions").stop_execution(executionArn=holder)

    assert take() == {"acquired": False, "holder": holder}

    assert {"recover": "reviews-qa"} in started(holder)
