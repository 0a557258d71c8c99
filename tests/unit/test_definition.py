"""The definition of the state machine is valid, and every execution ends within AWS's limits."""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonata import Jsonata

from embedded_aws.services.stepfunctions.jsonata import evaluate
from embedded_aws.services.stepfunctions.substitutions import substitute
from tests import linter
from tests.linter.flow import loops, transitions
from tests.linter.project import texts
from tests.support.history_events import EVENTS, EVENTS_OF_A_RETRY, EVENTS_OF_AN_ITERATION
from tests.support.promotion_table import FIRST, NAME, SECOND, get, hold

PROJECT = linter.Project.read()
TEXT = PROJECT.texts[linter.DEFINITION]
PARAMETERS = PROJECT.parameters
STATES = PROJECT.definition["States"]
LOOPS = {
    name: loop for loop in loops(transitions(PROJECT.definition)) for name in loop if STATES[name]["Type"] == "Wait"
}

# Step Functions developer guide, "Service quotas".
MAXIMUM_EVENTS = 25_000
MAXIMUM_BYTES = 1024**2

# The parameter that limits each loop, by its Wait state.
BOUNDS = {
    "Wait for endpoint lock": "LockWaitSeconds",
    "Wait for deployment": "DeploymentTimeoutSeconds",
    "Wait for rollback": "DeploymentTimeoutSeconds",
}


def expressions() -> list[Any]:
    found = [(name, text) for name, state in PROJECT.states() for text in texts(state) if "{%" in text]
    return [pytest.param(text, id=f"{name}-{number}") for number, (name, text) in enumerate(found)]


def test_statelint_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "promotion.asl.yaml"
    # Step Functions accepts an expression there (developer guide, "Wait workflow state"), which statelint rejects.
    path.write_text(re.sub(r"(?m)^( +Seconds): '\{%.*%\}'$", r"\1: 30", PROJECT.substituted()))

    result = subprocess.run(  # noqa: S603 - the file is the project's own
        [sys.executable, "-m", "statelint", "--yaml", str(path)], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_definition_is_valid_yaml_before_its_substitutions() -> None:
    assert yaml.safe_load(TEXT)["States"].keys() == STATES.keys()


def test_the_definition_has_no_anchors_or_aliases() -> None:
    tokens = list(yaml.scan(PROJECT.substituted()))

    assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken)]
    assert not [token for token in tokens if isinstance(token, yaml.ScalarToken) and token.value == "<<"]


def test_the_definition_has_no_duplicate_keys() -> None:
    def check(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), keys
            for _, value in node.value:
                check(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                check(value)

    check(yaml.compose(PROJECT.substituted(), yaml.SafeLoader))


def test_the_definition_does_not_exceed_the_maximum_size() -> None:
    assert len(PROJECT.substituted().encode()) < MAXIMUM_BYTES


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_valid_jsonata(expression: str) -> None:
    stripped = re.fullmatch(r"\{%(.*)%\}", expression.strip(), re.DOTALL)

    assert stripped
    assert "{%" not in stripped[1]
    Jsonata(stripped[1])


# Step Functions developer guide, "Perform DynamoDB CRUD operations with Step Functions", on exception prefixes.
PREFIXES = {"states:::dynamodb:": "DynamoDB", "states:::aws-sdk:dynamodb:": "DynamoDb"}
# The errors that can be retried: DynamoDB developer guide, "Error handling with DynamoDB" and "Transaction conflict
# handling in DynamoDB". The SDK for Java, which Step Functions uses, ends their names in Exception.
TRANSIENT_ERRORS_OF_DYNAMODB = [
    "InternalServerErrorException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceededException",
    "SdkClientException",
    "ThrottlingException",
    "TransactionCanceledException",
    "TransactionConflictException",
    "TransactionInProgressException",
]


@pytest.mark.parametrize("error", TRANSIENT_ERRORS_OF_DYNAMODB)
def test_every_call_of_dynamodb_is_retried_after_a_transient_error(error: str) -> None:
    calls = [
        (name, prefix, state)
        for name, state in PROJECT.states("Task")
        for service, prefix in PREFIXES.items()
        if service in state["Resource"]
    ]
    assert len(calls) == 5
    for name, prefix, state in calls:
        # The first retrier that has the error decides (Step Functions developer guide, "Retrying after an error").
        attempts = [
            retry["MaxAttempts"]
            for retry in state["Retry"]
            if {f"{prefix}.{error}", "States.ALL"} & set(retry["ErrorEquals"])
        ]
        assert attempts[0] > 1, name


def iterations(wait: str) -> int:
    """Return the maximum number of iterations of a Wait state's loop, with the defaults of the template."""
    bound = PARAMETERS[BOUNDS[wait]]["Default"]
    if wait != "Wait for endpoint lock":
        return checks(wait, STATES, bound, baking=0)
    waited, number = 0, 0
    while waited < bound:
        waited, number = waited + lock_wait(waited), number + 1
    return number + 1


def checks(wait: str, states: dict[str, Any], bound: int, baking: int) -> int:
    """Return the maximum number of checks of a deployment or rollback with a time limit and a baking period."""
    elapsed, number = 0, 0
    while elapsed < bound + baking:
        elapsed, number = elapsed + poll_wait(wait, states, bound, baking, elapsed), number + 1
    return number + 1


def poll_wait(wait: str, states: dict[str, Any], bound: int, baking: int | None, elapsed: float) -> int:
    """Return how long a promotion waits, in seconds, for the next check of an update that began `elapsed` seconds ago.

    `baking` is None if the failure occurred before the promotion recorded its baking period.
    """
    expression = parsed(states[wait]["Seconds"])
    expression.register_lambda("millis", lambda: 1000 * elapsed)
    ends = 1000 * (bound + (baking or 0))
    known = {"promotion": {} if baking is None else {"baking_seconds": baking}}
    return int(expression.evaluate(None, known | {"deployment_ends": ends, "rollback_ends": ends}))


@functools.cache
def parsed(expression: str) -> Jsonata:
    return Jsonata(expression.strip("{%} "))


@functools.cache
def states_with(**defaults: int) -> dict[str, Any]:
    """Return the states of a stage with other parameters."""
    template = PROJECT.texts[linter.TEMPLATE]
    for name, value in defaults.items():
        template, count = re.subn(rf"(?ms)(^  {name}:\n.*?Default: )\d+", rf"\g<1>{value}", template, count=1)
        assert count == 1
    texts = {**PROJECT.texts, linter.TEMPLATE: template}
    return dict(linter.Project(texts).definition["States"])


def lock_wait(waited: float) -> int:
    """Return how long a promotion waits, in seconds, before it tries to acquire the lock again."""
    expression = Jsonata(STATES["Wait for endpoint lock"]["Seconds"].strip("{%} "))
    expression.register_lambda("millis", lambda: waited * 1000)
    return int(expression.evaluate(None, {"lock_wait_ends": PARAMETERS["LockWaitSeconds"]["Default"] * 1000}))


@pytest.mark.parametrize(("waited", "seconds"), [(0, 30), (300, 60), (1200, 150), (2700, 300), (43_000, 300)])
def test_a_promotion_tries_to_acquire_the_lock_less_often_the_longer_it_waits(waited: int, seconds: int) -> None:
    assert lock_wait(waited) == seconds


def test_every_loop_ends_after_the_time_in_its_parameter() -> None:
    # The deadlines contain the names of the parameters instead of their defaults.
    supplied = PROJECT.substitutions().items()
    expressions = {name: value["Fn::Sub"] for name, value in supplied if isinstance(value, dict) and "Fn::Sub" in value}
    text = substitute(TEXT, expressions)
    assert set(LOOPS) == set(BOUNDS)
    for wait, bound in BOUNDS.items():
        [condition] = [rule["Condition"] for _, end, rule in transitions(PROJECT.definition) if end == wait]
        [ends] = re.findall(r"\$millis\(\) < \$(\w+)", condition)

        plain, with_waits = rf"\$\{{{bound}\}}", rf"\(\$\{{{bound}\}} \+ .*\$promotion.baking_seconds.*\)"
        assigned = re.findall(rf"(?m)^ +{ends}: ['\"]\{{% \$millis\(\) \+ (.*) \* 1000 %\}}['\"]$", text)
        assert assigned
        assert all(re.fullmatch(f"{plain}|{with_waits}", seconds) for seconds in assigned)


POLLED = ["Wait for deployment", "Wait for rollback"]


@pytest.mark.parametrize("wait", POLLED)
@pytest.mark.parametrize(
    ("elapsed", "seconds"), [(0, 10), (300, 10), (360, 12), (1800, 60), (9000, 300), (80_000, 300)]
)
def test_a_deployment_is_checked_less_often_the_longer_it_takes(wait: str, elapsed: int, seconds: int) -> None:
    assert poll_wait(wait, STATES, 5400, 79_200, elapsed) == seconds


def test_a_rollback_without_a_recorded_baking_period_is_checked() -> None:
    assert poll_wait("Wait for rollback", STATES, 5400, None, 0) == 10


@pytest.mark.parametrize("wait", POLLED)
@pytest.mark.parametrize("baking", [0, 3600, 72_000])
@pytest.mark.parametrize("poll", [1, 2, 30, 3600])
def test_the_checks_of_a_deployment_do_not_fill_the_history(wait: str, baking: int, poll: int) -> None:
    bound = PARAMETERS["DeploymentTimeoutSeconds"]["MaxValue"]
    states = states_with(PollSeconds=poll, DeploymentTimeoutSeconds=bound)

    # 9 events each: less than a fifth of the history for the deployment, and as much for its rollback.
    assert checks(wait, states, bound, baking) < 520


CHANGES = ["Update endpoint", "Apply autoscaling", "Roll back endpoint"]
RUNNING = ["ServiceException", "AWSLambdaException", "SdkClientException", "ClientExecutionTimeoutException", "Unknown"]


@pytest.mark.parametrize("error", RUNNING)
@pytest.mark.parametrize("state", CHANGES)
def test_a_function_that_may_still_change_the_endpoint_has_ended_before_its_retry(state: str, error: str) -> None:
    function = PROJECT.function(str(PROJECT.function_of(STATES[state])))
    [rule, *_] = [rule for rule in STATES[state]["Retry"] if f"Lambda.{error}" in rule["ErrorEquals"]]

    assert rule["IntervalSeconds"] > function["Timeout"]
    assert rule["BackoffRate"] >= 1
    assert "JitterStrategy" not in rule


@pytest.mark.parametrize(
    ("error", "is_recovery", "seconds"),
    [
        *((f"Lambda.{error}", False, 120) for error in RUNNING),
        ("Interrupted", True, 120),
        ("TransientError", False, 30),
        ("Sandbox.Timedout", False, 30),
    ],
)
def test_a_rollback_begins_when_no_function_can_change_the_endpoint(
    error: str, is_recovery: bool, seconds: int
) -> None:
    wait = STATES["Wait before rollback"]["Seconds"].strip("{%} ")

    assert evaluate(wait, {"is_recovery": is_recovery, "failure": {"error": error}}) == seconds


@pytest.mark.parametrize("state", ["Create alarms", "Update endpoint"])
@pytest.mark.parametrize("before", ["Acquire endpoint lock", "Inspect endpoint", "Update required?"])
def test_only_a_candidate_that_is_to_be_deployed_changes_the_alarms_and_the_endpoint(state: str, before: str) -> None:
    steps = [(source, target) for source, target, _ in transitions(PROJECT.definition)]
    reached, without = {PROJECT.definition["StartAt"]}, {PROJECT.definition["StartAt"]}
    for _ in STATES:
        reached |= {target for source, target in steps if source in reached}
        without |= {target for source, target in steps if source in without - {before}}

    assert state in reached
    assert state not in without


def test_a_takeover_whose_answer_was_lost_counts_once(dynamodb: Any) -> None:
    known = {
        "promotion": {"endpoint": "reviews-qa"},
        "interrupted_execution": FIRST,
        "recoveries": 2,
        "states": {"context": {"Execution": {"Id": SECOND}}},
    }

    def evaluated(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: evaluated(member) for key, member in value.items()}
        is_expression = isinstance(value, str) and value.startswith("{%")
        return evaluate(value.strip("{%} "), known) if is_expression else value

    hold("reviews-qa", FIRST, recoveries=1)
    request = evaluated(STATES["Take over endpoint lock"]["Arguments"]) | {"TableName": NAME}

    for _ in range(2):
        dynamodb.update_item(**request)

    locked = get("lock", "reviews-qa") or {}
    assert (locked["execution"], locked["recoveries"]) == (SECOND, "2")


def test_an_iteration_of_a_loop_is_nine_events() -> None:
    # The task is entered, scheduled, started, ended and exited; the choice and the wait are entered and exited.
    for wait in BOUNDS:
        assert sum(EVENTS[STATES[name]["Type"]] for name in LOOPS[wait]) == 5 + 2 + 2


def test_the_longest_execution_does_not_exceed_the_maximum_history() -> None:
    # 161 iterations for the lock, and 118 each for the deployment and the rollback: 397 * 9 = 3,573.
    polled = sum(iterations(wait) * sum(EVENTS[STATES[name]["Type"]] for name in LOOPS[wait]) for wait in BOUNDS)
    # Every state once, and every task with all its retries.
    once = sum(EVENTS[state["Type"]] for state in STATES.values())
    retries = [rule.get("MaxAttempts", 3) for state in STATES.values() for rule in state.get("Retry", [])]
    # A thousand batches are a million objects, or 200 TiB.
    copy_batch = dict(PROJECT.states())["Copy batch"]
    copied = 1000 * (EVENTS[copy_batch["Type"]] + EVENTS_OF_AN_ITERATION)

    assert polled == 3_573
    assert polled + once + sum(retries) * EVENTS_OF_A_RETRY + copied < MAXIMUM_EVENTS


def cause(message: str) -> str:
    return json.dumps({"errorMessage": message, "errorType": "InvalidRequestError", "stackTrace": ["errorMessage"]})


NO_ERROR_TYPE = "The cause could not be determined because Lambda did not return an error type. Returned payload: "
MESSAGES = [
    pytest.param(cause("It failed."), "It failed.", id="the document of an exception"),
    pytest.param(cause('A "quoted" \\ path\n and ü'), 'A "quoted" \\ path\n and ü', id="escaped characters"),
    pytest.param('{"errorMessage":"It failed."}', "It failed.", id="a document without spaces"),
    pytest.param(f"{NO_ERROR_TYPE}{cause('Task timed out')}", "Task timed out", id="a document in a sentence"),
    pytest.param(cause("It failed.")[:-30], "It failed.", id="a document that is cut after its message"),
    pytest.param('{"errorMessage": "It fai', '{"errorMessage": "It fai', id="a document that is cut in its message"),
    pytest.param('{"errorType": "X"}', '{"errorType": "X"}', id="a document without a message"),
    pytest.param('{"errorMessage": null}', '{"errorMessage": null}', id="a document without text"),
    pytest.param("Rate exceeded", "Rate exceeded", id="a string"),
    pytest.param(None, "AWS gave no cause", id="no cause"),
]


@pytest.mark.parametrize(("given", "message"), MESSAGES)
def test_the_reason_of_a_failure_is_the_message_in_its_cause(given: str | None, message: str) -> None:
    error = {"Error": "X"} | ({} if given is None else {"Cause": given})
    variables = {
        "states": {"input": error},
        "promotion": {"endpoint": "reviews-qa", "baking_seconds": 0},
        "failure": {"reason": "R"},
    }

    captured = STATES["Capture failure"]["Assign"]["failure"]["reason"]
    interrupted = STATES["Rollback interrupted"]["Cause"]

    assert evaluate(captured.strip("{%} "), variables) == message
    assert f"was interrupted (X: {message})." in evaluate(interrupted.strip("{%} "), variables)
