"""Step Functions: expressions, events of executions, logs, and concurrent writes to a table."""

from __future__ import annotations

import concurrent.futures
import json
import re
from typing import Any

from botocore.exceptions import ClientError

from tests.deployed import recorded
from tests.deployed.account import Account, allow, trusting
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost
from tests.deployed.probes.policies import make_table
from tests.linter.project import Project

_FAILING = {
    "StartAt": "Fail",
    "States": {"Fail": {"Type": "Fail", "Error": "ProbeError", "Cause": 'the "cause"\nof the probe'}},
}
# Causes as functions, Lambda and Step Functions write them, and what the definition's expression makes of them.
_CAUSES = {
    '{"errorMessage": "a \\"quote\\"", "errorType": "ValueError"}': 'a "quote"',
    'The call failed. Response: {"errorMessage":"it ended"} (Status Code: 200)': "it ended",
    '{"errorMessage": "cut off': '{"errorMessage": "cut off',
    "a sentence": "a sentence",
}


@probe(
    "The expression that reads the message of a cause gives the same in AWS's JSONata as in the reference "
    "implementation",
    documented="Step Functions developer guide, Transforming data with JSONata; template.yaml, ErrorMessage",
    believed=f"{len(_CAUSES)} of {len(_CAUSES)} equal",
    costs=[Cost("state transition", 2)],
)
def the_expression_for_messages(account: Account) -> str:
    """Evaluate the definition's expression with recorded causes."""
    output = f"{{% {Project.read().substitutions()['ErrorMessage']} %}}"
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": output, "End": True}
    found = {cause: evaluate(account, state, {"Cause": cause}) for cause in _CAUSES}
    wrong = [f"{cause!r} gave {found[cause]!r}" for cause, expected in _CAUSES.items() if found[cause] != expected]
    return "; ".join([f"{len(_CAUSES) - len(wrong)} of {len(_CAUSES)} equal", *wrong])


def evaluate(account: Account, state: dict[str, Any], given: Any) -> Any:
    """Return the output of a state: by TestState, or in the embedded AWS, which has none, by a state machine."""
    if not account.is_embedded:
        client = account.client("stepfunctions")
        answer = client.test_state(definition=json.dumps(state), input=json.dumps(given))
        return json.loads(answer["output"]) if answer["status"] == "SUCCEEDED" else answer.get("cause")
    name = account.arn("states", f"stateMachine:{account.name('state')}")
    try:
        account.client("stepfunctions").describe_state_machine(stateMachineArn=name)
    except account.client("stepfunctions").exceptions.StateMachineDoesNotExist:
        role = account.role("state", [], trusting("states"))
        account.machine("state", {"StartAt": "State", "States": {"State": state}}, role)
    execution = account.execution(name, given)
    return json.loads(execution["output"]) if execution["status"] == "SUCCEEDED" else execution.get("cause")


_RECORDED = recorded.read()


@probe(
    "Choices and other states of the definition decide in AWS's JSONata as in the reference implementation",
    documented="Step Functions developer guide, Transforming data with JSONata; tests/deployed/recorded.json",
    believed=f"{len(_RECORDED)} of {len(_RECORDED)} equal",
    costs=[Cost("state transition", 5 * len(_RECORDED))],
)
def the_recorded_evaluations(account: Account) -> str:
    """Evaluate states with recorded inputs and variables, and compare the next state and its input."""
    wrong = []
    for each in _RECORDED:
        following = _followed_by(account, each)
        if following != (each["next"], each["output"]):
            wrong.append(f"{each['name']} was followed by {following[0]}, not {each['next']}")
    return "; ".join([f"{len(_RECORDED) - len(wrong)} of {len(_RECORDED)} equal", *wrong])


def _followed_by(account: Account, one: dict[str, Any]) -> tuple[str, Any]:
    """Return the next state and its input: by TestState, or in the embedded AWS by a state machine."""
    client, state = account.client("stepfunctions"), one["state"] | {"QueryLanguage": "JSONata"}
    if not account.is_embedded:
        answer = client.test_state(
            definition=json.dumps(state),
            input=json.dumps(one["input"]),
            variables=json.dumps(one["variables"]),
        )
        return str(answer.get("nextState", answer.get("error"))), json.loads(answer.get("output", "null"))
    if "states" not in account.shared:
        account.shared["states"] = account.role("states", [], trusting("states"))
    names = set(re.findall(r'"(?:Next|Default)": "([^"]+)"', json.dumps(state)))
    ends = {
        name: {"Type": "Pass", "Output": {"next": name, "of": "{% $states.input %}"}, "End": True} for name in names
    }
    variables = {"Type": "Pass", "Assign": one["variables"], "Next": one["name"]}
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Variables",
        "States": {"Variables": variables, one["name"]: state, **ends},
    }
    account.shared["number"] = account.shared.get("number", 0) + 1
    machine = account.machine(f"state{account.shared['number']}", definition, account.shared["states"])
    execution = account.execution(machine, one["input"])
    found = json.loads(execution.get("output") or '{"next": "", "of": ""}')
    return found["next"], found["of"]


@probe(
    "The event of a failed execution contains its error and its cause",
    documented="assumed: template.yaml, NotifyRollbackFailure; the sample event of Step Functions has null for both",
    believed='ProbeError: the "cause"\\nof the probe',
    costs=[Cost("state transition", 1), Cost("EventBridge event", 1), Cost("SQS request", 40)],
)
def the_event_of_a_failed_execution(account: Account) -> str:
    """Let an execution fail, and receive its event."""
    role = account.role("failing", [], trusting("states"))
    machine = account.machine("failing", _FAILING, role)
    url, arn = account.queue("failing")
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [machine], "status": ["FAILED"]}}
    account.rule("failing", pattern, {"Arn": arn})
    # A new rule can take a minute until it matches.
    account.pause(0 if account.is_embedded else 60)
    account.execution(machine, {})
    (body,) = account.messages(url, 1)
    detail = json.loads(body)["detail"]
    return f"{detail.get('error')}: {detail.get('cause')}".replace("\n", "\\n")


@probe(
    "A state machine with logging can be created immediately after its role and its log group",
    documented="assumed: template.yaml, PromotionStateMachine",
    believed="created",
    not_modeled="The embedded Step Functions delivers no logs.",
    costs=[Cost("state transition", 1), Cost("log gigabyte", 0.0001)],
)
def log_delivery_at_the_first_create(account: Account) -> str:
    """Create a state machine with logging, let it fail, and read its log."""
    _logged(account)
    return "created"


@probe(
    "With IncludeExecutionData=false, the log contains neither the error nor the cause of an execution",
    documented="assumed: docs/decisions.md, The response of a model stays in the execution history",
    believed="neither is logged",
    not_modeled="The embedded Step Functions delivers no logs.",
    costs=[Cost("state transition", 1), Cost("log gigabyte", 0.0001)],
)
def the_log_of_a_failed_execution(account: Account) -> str:
    """Search the log of a failed execution for its error and its cause."""
    group, machine = _logged(account)
    account.execution(machine, {})
    logs = account.client("logs")

    def read() -> str | None:
        events = logs.filter_log_events(logGroupName=group).get("events", [])
        text = "\n".join(event["message"] for event in events)
        return text if "ExecutionFailed" in text else None

    text = account.wait(read, "the log of the execution", 300)
    logged = [word for word, sign in (("the error", "ProbeError"), ("the cause", "of the probe")) if sign in text]
    return f"{' and '.join(logged)} logged" if logged else "neither is logged"


def _logged(account: Account) -> tuple[str, str]:
    """Return a log group and a state machine that logs to it; both are created once."""
    group = f"/aws/vendedlogs/states/{account.name('logged')}"
    machine = account.arn("states", f"stateMachine:{account.name('logged')}")
    client, logs = account.client("stepfunctions"), account.client("logs")
    try:
        client.describe_state_machine(stateMachineArn=machine)
    except client.exceptions.StateMachineDoesNotExist:
        actions = ["CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries"]
        actions += ["PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"]
        role = account.role("logged", [allow([f"logs:{action}" for action in actions])], trusting("states"))
        account.ledger.add("logs", "delete_log_group", logGroupName=group)
        logs.create_log_group(logGroupName=group)
        destination = {"cloudWatchLogsLogGroup": {"logGroupArn": account.arn("logs", f"log-group:{group}:*")}}
        options = {"level": "ALL", "includeExecutionData": False, "destinations": [destination]}
        account.machine("logged", _FAILING, role, loggingConfiguration=options)
    return group, machine


@probe(
    "A PutItem beside a transaction with the same item fails with TransactionConflictException, and two transactions "
    "with TransactionConflict among the reasons",
    documented="DynamoDB developer guide, Transaction conflict handling",
    believed="TransactionCanceledException TransactionConflict, TransactionConflictException",
    not_modeled="The embedded DynamoDB serves one request at a time. gateway/faults.py provokes conflicts.",
    costs=[Cost("DynamoDB write request unit", 4000)],
)
def transaction_conflicts(account: Account) -> str:
    """Write one item from many threads, alone and in transactions."""
    table = make_table(account, "conflicts")
    client = account.client("dynamodb", retries=False)
    item = {"TableName": table, "Item": {"kind": {"S": "lock"}}}

    def write(number: int) -> str:
        try:
            if number % 2:
                client.put_item(**item)
            else:
                client.transact_write_items(TransactItems=[{"Put": item}])
        except ClientError as error:
            reasons = {str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])}
            return " ".join([str(error.response["Error"]["Code"]), *sorted(reasons)])
        return ""

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        return ", ".join(sorted(set(pool.map(write, range(2000))) - {""})) or "no conflict"
