"""State machines that use JSONata: data flow, transitions and errors."""

from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.stepfunctions import language
from tests.embedded_aws.support.state_machines import LIMIT, Run, fail, finish, messages, task, waiting


@pytest.fixture
def real_waits(aws: EmbeddedAws) -> Iterator[None]:
    """Let Wait states take their real time."""
    language.set_pace(1.0)
    yield
    language.set_pace(aws.pace.waiting)


def test_input_variables_and_output_are_unchanged(run: Run) -> None:
    value = {"text": 'He said "no" \\ {% $x %}\n ü日本\u2028', "deep": [{"null": None, "number": 1.5, "list": [[]]}]}

    execution = run(
        {
            "Remember": {
                "Type": "Pass",
                "Assign": {"value": "{% $states.input %}", "literal": value, "said": "{% $states.input.text %}"},
                "Next": "Report",
            },
            "Report": finish(
                {"value": "{% $value %}", "literal": "{% $literal %}", "said": "{% $said %}", "plain": 'a "b"'}
            ),
        },
        value,
    )

    assert execution["output"] == {"value": value, "literal": value, "said": value["text"], "plain": 'a "b"'}


def test_an_output_does_not_see_the_assignments_of_its_state(run: Run) -> None:
    execution = run(
        {
            "First": {"Type": "Pass", "Assign": {"x": 1}, "Next": "Second"},
            "Second": {"Type": "Pass", "Assign": {"x": 2, "y": "{% $x %}"}, "Output": "{% $x %}", "Next": "Third"},
            "Third": finish({"before": "{% $states.input %}", "after": "{% $x %}", "y": "{% $y %}"}),
        }
    )

    assert execution["output"] == {"before": 1, "after": 2, "y": 1}


def test_the_context_contains_execution_state_machine_and_state(run: Run, role: str) -> None:
    execution = run({"Look around": finish("{% $states.context %}")}, {"a": 1})

    context = execution["output"]
    assert context["Execution"] == {
        "Id": execution["executionArn"],
        "Name": execution["name"],
        "RoleArn": role,
        "Input": {"a": 1},
        "StartTime": context["Execution"]["StartTime"],
    }
    assert context["StateMachine"] == {
        "Id": execution["stateMachineArn"],
        "Name": execution["stateMachineArn"].rpartition(":")[2],
    }
    assert context["State"]["Name"] == "Look around"
    assert context["State"]["EnteredTime"].endswith("Z")
    assert context["Execution"]["StartTime"] <= context["State"]["EnteredTime"]


@pytest.mark.parametrize(
    "state",
    [
        finish("{% $states.input.nothing %}"),
        finish("{% $unknown %}"),
        finish("{% 'a' + 1 %}"),
        {"Type": "Succeed", "Output": "{% $nothing %}"},
        {"Type": "Wait", "Seconds": "{% 'five' %}", "End": True},
        {"Type": "Wait", "Seconds": "{% '1' %}", "End": True},
        {"Type": "Fail", "Error": "E", "Cause": "{% $states.input %}"},
        {"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "End"}], "Default": "End"},
        task("aws-sdk:sts:getCallerIdentity", {"x": "{% $nothing %}"}),
        task("dynamodb:getItem", {"TableName": "{% $nothing %}", "Key": {}}),
        task("aws-sdk:sts:getCallerIdentity", TimeoutSeconds="{% 'soon' %}"),
    ],
)
def test_an_expression_with_an_invalid_value_fails_the_execution(run: Run, state: dict[str, Any]) -> None:
    states = {"Evaluate": state} | ({"End": {"Type": "Succeed"}} if state["Type"] == "Choice" else {})

    execution = run(states, {"object": 1})

    assert (execution["status"], execution["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert "The JSONata expression '" in execution["cause"]


def test_choice_selects_the_first_matching_rule_or_the_default(run: Run) -> None:
    states = {
        "How many?": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input.n > 10 %}", "Assign": {"size": "large"}, "Next": "Report"},
                {"Condition": "{% $states.input.n > 5 %}", "Output": {"n": "{% $states.input.n %}"}, "Next": "Report"},
            ],
            "Default": "Report",
            "Assign": {"size": "small"},
        },
        "Report": finish({"size": "{% $exists($size) ? $size : 'unknown' %}", "input": "{% $states.input %}"}),
    }

    assert run(states, {"n": 11, "m": 0})["output"] == {"size": "large", "input": {"n": 11, "m": 0}}
    assert run(states, {"n": 6, "m": 0})["output"] == {"size": "unknown", "input": {"n": 6}}
    assert run(states, {"n": 1, "m": 0})["output"] == {"size": "small", "input": {"n": 1, "m": 0}}


def test_a_choice_without_a_match_or_default_fails(run: Run) -> None:
    execution = run(
        {
            "Which?": {"Type": "Choice", "Choices": [{"Condition": "{% false %}", "Next": "End"}]},
            "End": {"Type": "Succeed"},
        }
    )

    assert execution["error"] == "States.NoChoiceMatched"


@pytest.mark.usefixtures("real_waits")
def test_wait_evaluates_an_expression(run: Run) -> None:
    execution = run({"Wait": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "End": True}}, {"seconds": 1})

    assert 1 <= (execution["stopDate"] - execution["startDate"]).total_seconds() < 3


def test_fail_evaluates_error_and_cause(run: Run) -> None:
    execution = run({"Fail": fail("{% 'My' & 'Error' %}", "{% $states.input.why %}")}, {"why": 'it "broke"'})

    assert (execution["status"], execution["error"], execution["cause"]) == ("FAILED", "MyError", 'it "broke"')
    assert "output" not in execution


@pytest.mark.usefixtures("real_waits")
def test_map_runs_iterations_in_parallel_and_keeps_their_order(run: Run) -> None:
    execution = run(
        {
            "Each": {
                "Type": "Map",
                "Items": "{% $states.input.items %}",
                "MaxConcurrency": 4,
                "ItemSelector": {
                    "index": "{% $states.context.Map.Item.Index %}",
                    "value": "{% $states.context.Map.Item.Value %}",
                    "of": "{% $states.input.of %}",
                },
                "ItemProcessor": {
                    "StartAt": "Wait",
                    "States": {
                        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Twice"},
                        "Twice": finish(
                            {
                                "n": "{% $states.input.value * 2 %}",
                                "index": "{% $states.input.index %}",
                                "of": "{% $states.input.of %}",
                                "same": "{% $states.context.Map.Item.Index = $states.input.index %}",
                            }
                        ),
                    },
                },
                "Assign": {"last": "{% $states.result[-1].n %}"},
                "Output": {"results": "{% $states.result %}"},
                "Next": "Report",
            },
            "Report": finish({"last": "{% $last %}", "results": "{% $states.input.results %}"}),
        },
        {"items": [1, 2, 3, 4, 5, 6], "of": "all"},
    )

    results = [{"n": 2 * n, "index": n - 1, "of": "all", "same": True} for n in range(1, 7)]
    assert execution["output"] == {"last": 12, "results": results}
    assert 2 <= (execution["stopDate"] - execution["startDate"]).total_seconds() < 4


@pytest.mark.parametrize("items", [[], [7]])
def test_map_returns_a_list_for_few_items(run: Run, items: list[int]) -> None:
    processor = {"StartAt": "Same", "States": {"Same": finish("{% $states.input %}")}}

    execution = run({"Each": {"Type": "Map", "Items": items, "ItemProcessor": processor, "End": True}})

    assert execution["output"] == items


def test_map_without_items_iterates_over_its_input(run: Run) -> None:
    processor = {"StartAt": "Same", "States": {"Same": finish("{% $states.input %}")}}
    selector = {"item": "{% $states.context.Map.Item.Value %}", "count": "{% $count($states.input) %}"}
    first = {"Type": "Pass", "Output": [1, 2], "Next": "Each"}

    execution = run(
        {"List": first, "Each": {"Type": "Map", "ItemSelector": selector, "ItemProcessor": processor, "End": True}}
    )

    assert execution["output"] == [{"item": 1, "count": 2}, {"item": 2, "count": 2}]


def test_an_error_in_an_iteration_is_an_error_of_the_map_state(run: Run) -> None:
    processor = {
        "StartAt": "Bad?",
        "States": {
            "Bad?": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input = 2 %}", "Next": "Bad"}],
                "Default": "Good",
            },
            "Bad": fail("BadItem", "bad"),
            "Good": {"Type": "Wait", "Seconds": 20, "End": True},
        },
    }
    catch = [{"ErrorEquals": ["BadItem"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}]

    execution = run(
        {
            "Each": {"Type": "Map", "Items": [1, 2], "ItemProcessor": processor, "Catch": catch, "End": True},
            "Caught": {"Type": "Succeed"},
        }
    )

    assert execution["output"] == {"Error": "BadItem", "Cause": "bad"}


def test_a_reserved_error_name_of_an_iteration_is_unchanged(run: Run) -> None:
    processor = {"StartAt": "Evaluate", "States": {"Evaluate": finish("{% $nothing %}")}}
    catch = [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught"}]

    execution = run(
        {
            "Each": {"Type": "Map", "Items": [1], "ItemProcessor": processor, "Catch": catch, "End": True},
            "Caught": {"Type": "Succeed", "Output": "caught"},
        }
    )

    assert execution["output"] == "caught"


def test_parallel_returns_the_output_of_every_branch(run: Run) -> None:
    branches = [{"StartAt": n, "States": {n: finish(f"{{% $states.input & '{n}' %}}")}} for n in ("a", "b")]

    execution = run({"Both": {"Type": "Parallel", "Arguments": "{% 'x' %}", "Branches": branches, "End": True}})

    assert execution["output"] == ["xa", "xb"]


def counting(run_queue: str, **fields: Any) -> dict[str, Any]:
    """Return a task that sends its retry count to the queue and then fails because its Output has no value."""
    body = {"QueueUrl": run_queue, "MessageBody": {"count": "{% $states.context.State.RetryCount %}"}}
    return task("sqs:sendMessage", body, Output="{% $states.result.nothing %}", **fields)


@pytest.mark.usefixtures("real_waits")
def test_retry_has_a_maximum_number_of_attempts_and_growing_delays(run: Run, queue: str) -> None:
    retry = [
        {"ErrorEquals": ["Other"], "MaxAttempts": 9},
        {
            "ErrorEquals": ["States.ALL"],
            "IntervalSeconds": 1,
            "MaxAttempts": 2,
            "BackoffRate": 9.5,
            "MaxDelaySeconds": 1,
        },
    ]

    execution = run({"Try": counting(queue, Retry=retry)})

    assert execution["error"] == "States.QueryEvaluationError"
    assert [message["count"] for message in messages(queue, 3)] == [0, 1, 2]
    assert 2 <= (execution["stopDate"] - execution["startDate"]).total_seconds() < 5


def test_jitter_shortens_the_delay(run: Run, queue: str) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1, "JitterStrategy": "FULL"}]

    execution = run({"Try": counting(queue, Retry=retry)})

    assert len(messages(queue, 2)) == 2
    assert (execution["stopDate"] - execution["startDate"]).total_seconds() < 3


def test_catch_can_assign_and_output_the_error(run: Run) -> None:
    catch = [
        {"ErrorEquals": ["Other"], "Next": "Report"},
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": {"error": "{% $states.errorOutput %}", "tried": True},
            "Output": {"was": "{% $states.input %}", "no result": "{% $exists($states.result) %}"},
            "Next": "Report",
        },
    ]
    arguments = {"EndpointName": "no-such-endpoint"}

    execution = run(
        {
            "Describe": task("aws-sdk:sagemaker:describeEndpoint", arguments, Assign={"tried": False}, Catch=catch),
            "Report": finish({"error": "{% $error %}", "input": "{% $states.input %}", "tried": "{% $tried %}"}),
        },
        {"a": 1},
    )

    assert execution["output"]["input"] == {"was": {"a": 1}, "no result": False}
    assert execution["output"]["tried"] is True
    assert execution["output"]["error"]["Error"] == "SageMaker.SageMakerException"
    assert "Could not find endpoint" in execution["output"]["error"]["Cause"]


def test_a_failed_output_can_be_caught_and_variables_are_not_assigned(run: Run) -> None:
    catch = [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Report"}]

    execution = run(
        {
            "Who?": task("aws-sdk:sts:getCallerIdentity", Assign={"x": 1}, Output="{% $nothing %}", Catch=catch),
            "Report": finish("{% $exists($x) %}"),
        }
    )

    assert execution["output"] is False


def test_a_catch_can_repeat_its_own_state(run: Run, queue: str) -> None:
    catch = [
        {"ErrorEquals": ["States.ALL"], "Output": "{% {'tries': $states.input.tries + 1} %}", "Next": "Try"},
    ]
    body = {"QueueUrl": queue, "MessageBody": "{% $states.input.tries < 3 ? $nothing : 'enough' %}"}

    execution = run({"Try": task("sqs:sendMessage", body, Output="{% $states.input %}", Catch=catch)}, {"tries": 0})

    assert execution["output"] == {"tries": 3}


@pytest.mark.parametrize(
    ("error", "caught_by", "caught"),
    [
        ("Mine", "States.ALL", True),
        ("Mine", "States.TaskFailed", True),
        ("Mine", "Mine", True),
        ("Mine", "Min", False),
        ("States.Timeout", "States.ALL", True),
        ("States.Timeout", "States.TaskFailed", False),
        ("States.Timeout", "States.Timeout", True),
        ("States.Permissions", "States.TaskFailed", True),
        ("States.Runtime", "States.ALL", False),
        ("States.Runtime", "States.TaskFailed", False),
        ("States.DataLimitExceeded", "States.ALL", False),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", True),
    ],
)
def test_reserved_names_in_catch(run: Run, error: str, caught_by: str, caught: bool) -> None:
    branch = {"StartAt": "Fail", "States": {"Fail": fail(error)}}
    catch = [{"ErrorEquals": [caught_by], "Next": "Caught"}]

    execution = run(
        {
            "Try": {"Type": "Parallel", "Branches": [branch], "Catch": catch, "End": True},
            "Caught": {"Type": "Succeed"},
        }
    )

    assert execution["status"] == ("SUCCEEDED" if caught else "FAILED")
    assert execution.get("error") == (None if caught else error)


def test_a_task_times_out(run: Run, queue: str) -> None:
    catch = [{"ErrorEquals": ["States.Timeout"], "Next": "Caught"}]
    caught = {"Type": "Succeed", "Output": "caught"}

    constant = run({"Wait": waiting(queue, TimeoutSeconds=1, Catch=catch), "Caught": caught})
    expression = run(
        {"Wait": waiting(queue, TimeoutSeconds="{% $states.input.seconds %}", Catch=catch), "Caught": caught},
        {"seconds": 1},
    )

    assert (constant["output"], expression["output"]) == ("caught", "caught")


def test_an_execution_times_out(run: Run, states: Any) -> None:
    execution = run({"Wait": {"Type": "Wait", "Seconds": 30, "End": True}}, TimeoutSeconds=1)

    assert execution["status"] == "TIMED_OUT"
    assert 1 <= (execution["stopDate"] - execution["startDate"]).total_seconds() < 5
    history = states.get_execution_history(executionArn=execution["executionArn"])["events"]
    assert [event["type"] for event in history] == ["ExecutionStarted", "WaitStateEntered", "ExecutionTimedOut"]


@pytest.mark.parametrize(("size", "status"), [(LIMIT - 2, "SUCCEEDED"), (LIMIT - 1, "FAILED")])
def test_an_output_has_at_most_256_kib(run: Run, size: int, status: str) -> None:
    execution = run({"Write": finish(f"{{% $pad('', {size}, 'x') %}}")})

    assert execution["status"] == status
    assert execution.get("error") == (None if status == "SUCCEEDED" else "States.DataLimitExceeded")
