"""Executions of state machines, and validation of definitions."""

import functools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.kernel import accounts
from tests.embedded_aws.support.state_machines import (
    ACCOUNT,
    LIMIT,
    Create,
    Run,
    definition,
    deliver_events,
    fail,
    finish,
    messages,
    task,
    wait_for_end,
    waiting,
)
from tests.support.waiting import wait_for


def has_entered(history: Callable[[], Any], state: str) -> bool:
    return any(event.get("stateEnteredEventDetails", {}).get("name") == state for event in history()["events"])


def test_a_stopped_execution_is_aborted_immediately_with_error_and_cause(
    states: Any, create: Create, queue: str
) -> None:
    endless = {"Type": "Wait", "Seconds": 600, "End": True}
    for state in (endless, waiting(queue)):
        started = states.start_execution(stateMachineArn=create({"Wait": state}))
        history = functools.partial(states.get_execution_history, executionArn=started["executionArn"])
        wait_for(functools.partial(has_entered, history, "Wait"))

        states.stop_execution(executionArn=started["executionArn"], error="Enough", cause="Maintenance")

        execution = states.describe_execution(executionArn=started["executionArn"])
        assert (execution["status"], execution["error"], execution["cause"]) == ("ABORTED", "Enough", "Maintenance")
        assert execution["stopDate"] >= execution["startDate"]
        time.sleep(0.7)
        events = history()["events"]
        assert events[-1]["executionAbortedEventDetails"] == {"error": "Enough", "cause": "Maintenance"}
        assert [event["type"] for event in events].count("ExecutionAborted") == 1


def test_stopping_an_ended_execution_changes_nothing(run: Run, states: Any) -> None:
    execution = run({"Same": finish("{% $states.input %}")})

    states.stop_execution(executionArn=execution["executionArn"], error="Late")

    assert states.describe_execution(executionArn=execution["executionArn"])["status"] == "SUCCEEDED"


def test_the_history_contains_the_states_in_order(run: Run, states: Any) -> None:
    execution = run({"One": {"Type": "Pass", "Next": "Two"}, "Two": {"Type": "Succeed"}})
    arn = execution["executionArn"]

    history = states.get_execution_history(executionArn=arn)["events"]
    backwards = states.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=2)
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn, PaginationConfig={"PageSize": 2})

    assert [event["type"] for event in history] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "SucceedStateEntered",
        "SucceedStateExited",
        "ExecutionSucceeded",
    ]
    assert [e["stateEnteredEventDetails"]["name"] for e in history if "stateEnteredEventDetails" in e] == ["One", "Two"]
    assert [event["id"] for event in history] == [1, 2, 3, 4, 5, 6]
    assert all(execution["startDate"] <= event["timestamp"] <= execution["stopDate"] for event in history)
    assert [event["id"] for event in backwards["events"]] == [6, 5]
    assert [event["id"] for page in pages for event in page["events"]] == [1, 2, 3, 4, 5, 6]


def test_executions_are_listed_by_status(states: Any, create: Create) -> None:
    machine = create(
        {
            "What?": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input.fail %}", "Next": "Fail"}],
                "Default": "Wait",
            },
            "Fail": fail("E"),
            "Wait": {"Type": "Wait", "Seconds": 60, "End": True},
        }
    )
    failed = states.start_execution(stateMachineArn=machine, input='{"fail": true}')["executionArn"]
    running = states.start_execution(stateMachineArn=machine, input='{"fail": false}')["executionArn"]
    wait_for_end(states, failed)

    def listed(**options: Any) -> list[tuple[str, bool]]:
        executions = states.list_executions(stateMachineArn=machine, **options)["executions"]
        return [(execution["executionArn"], "stopDate" in execution) for execution in executions]

    assert listed(statusFilter="RUNNING") == [(running, False)]
    assert listed(statusFilter="FAILED") == [(failed, True)]
    assert listed() == [(running, False), (failed, True)]
    states.stop_execution(executionArn=running)


def test_an_execution_without_a_name_receives_one(states: Any, create: Create) -> None:
    machine = create({"Same": {"Type": "Succeed"}})

    first, second = (states.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(2))

    assert len(first.rpartition(":")[2]) == 36
    assert first != second


def test_a_name_identifies_one_execution(states: Any, create: Create) -> None:
    machine = create({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}})

    def start(execution_input: str) -> str:
        return str(states.start_execution(stateMachineArn=machine, name="one", input=execution_input)["executionArn"])

    running = start('{"a": 1}')
    assert start('{"a": 1}') == running
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        start('{"a": 2}')
    states.stop_execution(executionArn=running)
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        start('{"a": 1}')


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "with space"}, "InvalidName"),
        ({"name": "co:lon"}, "InvalidName"),
        ({"name": "x" * 81}, "ValidationException"),
        ({"input": "{"}, "InvalidExecutionInput"),
        ({"input": json.dumps("x" * LIMIT)}, "ValidationException"),
    ],
)
def test_an_invalid_start_is_refused(states: Any, create: Create, arguments: dict[str, str], code: str) -> None:
    machine = create({"Same": {"Type": "Succeed"}})

    with pytest.raises(ClientError) as error:
        states.start_execution(stateMachineArn=machine, **arguments)

    assert error.value.response["Error"]["Code"] == code
    assert states.list_executions(stateMachineArn=machine)["executions"] == []


def test_many_executions_run_in_parallel(states: Any, create: Create) -> None:
    processor = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}}
    machine = create(
        {
            "Remember": {"Type": "Pass", "Assign": {"n": "{% $states.input.n %}"}, "Next": "Each"},
            "Each": {"Type": "Map", "Items": [1, 2], "ItemProcessor": processor, "Next": "Report"},
            "Report": finish("{% $n %}"),
        }
    )

    def start(n: int) -> str:
        return str(states.start_execution(stateMachineArn=machine, input=json.dumps({"n": n}))["executionArn"])

    with ThreadPoolExecutor(8) as pool:
        executions = list(pool.map(start, range(24)))
    ended = [wait_for_end(states, execution) for execution in executions]

    assert [execution["output"] for execution in ended] == [str(n) for n in range(24)]
    at_once = [sum(e["startDate"] <= other["startDate"] < e["stopDate"] for e in ended) for other in ended]
    assert max(at_once) > 4


def test_an_execution_keeps_the_definition_it_was_started_with(states: Any, create: Create) -> None:
    machine = create({"Wait": {"Type": "Wait", "Seconds": 1, "Next": "Report"}, "Report": finish("old")})
    old = states.start_execution(stateMachineArn=machine)["executionArn"]

    states.update_state_machine(stateMachineArn=machine, definition=definition({"Report": finish("new")}))

    new = states.start_execution(stateMachineArn=machine)["executionArn"]
    assert (wait_for_end(states, new)["output"], wait_for_end(states, old)["output"]) == ('"new"', '"old"')


def test_every_change_of_status_is_an_event(states: Any, create: Create, queue: str, name: str) -> None:
    machine = create(
        {
            "What?": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $states.input.do = 'fail' %}", "Next": "Fail"},
                    {"Condition": "{% $states.input.do = 'wait' %}", "Next": "Wait"},
                ],
                "Default": "End",
            },
            "Fail": fail("E", "C"),
            "Wait": {"Type": "Wait", "Seconds": 60, "End": True},
            "End": {"Type": "Succeed", "Output": "done"},
        },
        TimeoutSeconds=3,
    )
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine]},
    }
    deliver_events(queue, name, pattern)

    started = {
        end: states.start_execution(stateMachineArn=machine, name=end, input=json.dumps({"do": do}))["executionArn"]
        for end, do in {"SUCCEEDED": "", "FAILED": "fail", "ABORTED": "wait", "TIMED_OUT": "wait"}.items()
    }
    states.stop_execution(executionArn=started["ABORTED"], error="S", cause="stopped")

    found = messages(queue, 8)
    assert len(found) == 8
    details = {(event["detail"]["name"], event["detail"]["status"]): event["detail"] for event in found}
    assert set(details) == {(end, status) for end in started for status in ("RUNNING", end)}
    assert {(event["account"], event["region"]) for event in found} == {(ACCOUNT, accounts.REGION)}
    assert all(event["resources"] == [event["detail"]["executionArn"]] for event in found)
    execution = states.describe_execution(executionArn=started["SUCCEEDED"])
    assert details["SUCCEEDED", "SUCCEEDED"] == {
        "executionArn": started["SUCCEEDED"],
        "stateMachineArn": machine,
        "name": "SUCCEEDED",
        "status": "SUCCEEDED",
        "startDate": round(execution["startDate"].timestamp() * 1000),
        "stopDate": round(execution["stopDate"].timestamp() * 1000),
        "input": '{"do": ""}',
        "output": '"done"',
        "inputDetails": {"included": True},
        "outputDetails": {"included": True},
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "NOT_REDRIVABLE",
        "redriveStatusReason": None,
        "error": None,
        "cause": None,
    }
    assert (details["FAILED", "FAILED"]["error"], details["FAILED", "FAILED"]["cause"]) == ("E", "C")
    assert (details["ABORTED", "ABORTED"]["error"], details["ABORTED", "ABORTED"]["cause"]) == ("S", "stopped")
    running = details["FAILED", "RUNNING"]
    assert (running["stopDate"], running["output"], running["outputDetails"]) == (None, None, None)


@pytest.mark.parametrize(
    ("states_of_machine", "reason"),
    [
        ({"A": {"Type": "Pass", "Next": "Nowhere"}}, "Missing 'Next' target: Nowhere at /States/A/Next"),
        ({"A": {"Type": "Pass"}}, "Exactly one of Next and End"),
        ({"A": {"Type": "Succeed"}, "B": {"Type": "Succeed"}}, 'State "B" is not reachable'),
        ({"A": finish("{% 1 + %}")}, "at /States/A/Output"),
        ({"A": finish("{% 1")}, "begin with {% and end with %}"),
        ({"A": {"Type": "Pass", "ResultPath": "$.a", "End": True}}, "'ResultPath' is not supported"),
        ({"A": task("aws-sdk:sagemaker:describeEndpont")}, "is not recognized"),
        ({"A": task("aws-sdk:events:putEvents")}, "is not recognized"),
        ({"A": task("lambda:invke")}, "not recognized"),
        ({"A": {"Type": "Tsk", "End": True}}, "SCHEMA_VALIDATION_FAILED"),
    ],
)
def test_an_invalid_definition_is_refused(
    states: Any, create: Create, states_of_machine: dict[str, Any], reason: str
) -> None:
    with pytest.raises(states.exceptions.InvalidDefinition) as error:
        create(states_of_machine)

    assert reason in str(error.value)


def test_definitions_of_iterations_and_branches_are_validated(states: Any, create: Create) -> None:
    inner = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nowhere"}}}

    for state in (
        {"Type": "Map", "Items": [], "ItemProcessor": inner, "End": True},
        {"Type": "Parallel", "Branches": [inner], "End": True},
    ):
        with pytest.raises(states.exceptions.InvalidDefinition):
            create({"Outer": state})


def test_creating_a_state_machine_again_does_not_update_it(states: Any, create: Create, role: str) -> None:
    machine = create({"A": {"Type": "Succeed"}})
    name = machine.rpartition(":")[2]

    again = states.create_state_machine(name=name, definition=definition({"A": {"Type": "Succeed"}}), roleArn=role)

    assert again["stateMachineArn"] == machine
    with pytest.raises(states.exceptions.StateMachineAlreadyExists):
        states.create_state_machine(name=name, definition=definition({"B": {"Type": "Succeed"}}), roleArn=role)


def test_an_event_omits_an_input_or_output_that_is_too_large(
    states: Any, create: Create, queue: str, name: str
) -> None:
    machine = create({"Forget": {"Type": "Succeed", "Output": "small"}})
    deliver_events(queue, name, {"source": ["aws.states"], "detail": {"stateMachineArn": [machine]}})

    states.start_execution(stateMachineArn=machine, input=json.dumps("x" * 254_000))

    details = {event["detail"]["status"]: event["detail"] for event in messages(queue, 2)}
    assert {status: detail["output"] for status, detail in details.items()} == {"RUNNING": None, "SUCCEEDED": '"small"'}
    assert {detail["input"] for detail in details.values()} == {None}
    assert all(detail["inputDetails"] == {"included": False} for detail in details.values())
