"""Actions of Automation runbooks: approvals, state machines, API calls and branches."""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.customers import DEV, QA, Queue, as_role, client, make_role
from tests.embedded_aws.support.runbooks import (
    OPERATOR,
    SLEEP,
    approve,
    call,
    describe,
    ended,
    make_runbook,
    run,
    signal,
    start,
    statuses,
    step,
    waiting,
)
from tests.support.waiting import wait_for


def test_a_runbook_continues_after_approval(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, approve(Message="Please"), SLEEP, outputs=["one.ApprovalStatus"])
    execution_id = start(name)
    execution = waiting(execution_id)
    assert (execution["CurrentStepName"], execution["CurrentAction"]) == ("one", "aws:approve")
    assert statuses(execution) == {"one": "Waiting", "two": "Pending"}
    assert step(execution)["TimeoutSeconds"] == 604800
    assert execution["Outputs"] == {"one.ApprovalStatus": ["Waiting"]}

    signal(execution_id, comment="Looks good")

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == "Success"
    outputs = step(execution)["Outputs"]
    assert outputs["ApprovalStatus"] == ["Approved"]
    (decision,) = (json.loads(text) for text in outputs["ApproverDecisions"])
    assert decision.pop("ApprovalDecisionTime").endswith("Z")
    assert decision == {"Approver": OPERATOR, "Decision": "Approve", "Comment": "Looks good"}
    assert execution["Outputs"] == {"one.ApprovalStatus": ["Approved"]}


def test_a_rejected_step_fails_and_the_automation_is_rejected(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, approve(), SLEEP)
    execution_id = start(name)
    waiting(execution_id)

    signal(execution_id, "Reject", comment="No")

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == "Rejected"
    assert statuses(execution) == {"one": "Failed", "two": "Pending"}
    assert step(execution)["Outputs"]["ApprovalStatus"] == ["Rejected"]
    assert OPERATOR in execution["FailureMessage"]


def test_an_approval_without_a_decision_times_out(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, {**approve(), "timeoutSeconds": 1}, SLEEP)

    execution = run(name)

    assert execution["AutomationExecutionStatus"] == "TimedOut"
    assert statuses(execution) == {"one": "TimedOut", "two": "Pending"}


@pytest.mark.parametrize(("kind", "status"), [("Reject", "Rejected"), ("timeout", "TimedOut")])
def test_an_automation_without_approval_continues_with_on_failure_and_does_not_succeed(
    aws: EmbeddedAws, name: str, kind: str, status: str
) -> None:
    make_runbook(
        name,
        {**approve(), "timeoutSeconds": 1 if kind == "timeout" else 60, "onFailure": "step:three"},
        {**SLEEP, "isEnd": True},
        SLEEP,
    )
    execution_id = start(name)
    waiting(execution_id)

    if kind == "Reject":
        signal(execution_id, "Reject")

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == status
    assert statuses(execution)["two"] == "Pending"
    assert statuses(execution)["three"] == "Success"


def test_a_runbook_with_on_failure_continue_continues_after_a_rejection(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, {**approve(), "onFailure": "Continue"}, SLEEP)
    execution_id = start(name)
    waiting(execution_id)

    signal(execution_id, "Reject")

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == "Success"
    assert statuses(execution) == {"one": "Failed", "two": "Success"}


@pytest.mark.parametrize("approver", ["user name", "user", "role", "session"])
def test_an_approver_can_be_named_in_four_ways(aws: EmbeddedAws, name: str, approver: str) -> None:
    role_arn = make_role(name, DEV, "ssm:*", "lambda.amazonaws.com")
    session = as_role("ssm", role_arn, "alice")
    named, by = {
        "user name": ("operator", client("ssm")),
        "user": (OPERATOR, client("ssm")),
        "role": (role_arn, session),
        "session": (f"arn:aws:sts::{DEV}:assumed-role/{name}/alice", session),
    }[approver]
    make_runbook(name, approve(named))
    execution_id = start(name)
    waiting(execution_id)

    signal(execution_id, by=by)

    assert ended(execution_id)["AutomationExecutionStatus"] == "Success"


def test_only_an_approver_can_decide(aws: EmbeddedAws, name: str) -> None:
    role_arn = make_role(name, DEV, "ssm:*", "lambda.amazonaws.com")
    make_runbook(name, approve(f"arn:aws:sts::{DEV}:assumed-role/{name}/alice", role_arn + "x"))
    execution_id = start(name)
    waiting(execution_id)

    for by in (client("ssm"), as_role("ssm", role_arn, "bob")):
        with pytest.raises(ClientError, match="InvalidAutomationSignalException"):
            signal(execution_id, by=by)

    assert describe(execution_id)["AutomationExecutionStatus"] == "Waiting"


def test_two_approvals_require_two_approvers(aws: EmbeddedAws, name: str) -> None:
    role_arn = make_role(name, DEV, "ssm:*", "lambda.amazonaws.com")
    make_runbook(name, approve("operator", role_arn, MinRequiredApprovals=2))
    execution_id = start(name)
    waiting(execution_id)

    signal(execution_id)
    with pytest.raises(ClientError, match="InvalidAutomationSignalException"):
        signal(execution_id)
    assert describe(execution_id)["AutomationExecutionStatus"] == "Waiting"
    signal(execution_id, by=as_role("ssm", role_arn, "alice"))

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == "Success"
    assert len(step(execution)["Outputs"]["ApproverDecisions"]) == 2


def test_a_signal_is_refused_if_no_step_is_waiting(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP)
    execution = run(name)

    with pytest.raises(ClientError, match="InvalidAutomationSignalException"):
        signal(execution["AutomationExecutionId"])
    with pytest.raises(ClientError, match="AutomationExecutionNotFoundException"):
        signal(str(uuid.uuid4()))


def test_an_execution_is_not_visible_in_another_account(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP)
    execution_id = start(name)

    with pytest.raises(ClientError, match="AutomationExecutionNotFoundException"):
        client("ssm", QA).get_automation_execution(AutomationExecutionId=execution_id)


@pytest.mark.parametrize(
    "inputs",
    [
        {"Approvers": []},
        {"MinRequiredApprovals": 2},
        {"Message": "x" * 4097},
        {"NotificationArn": f"arn:aws:sns:eu-west-1:{DEV}:Approvals"},
    ],
    ids=["no approvers", "too many required approvals", "long message", "topic name"],
)
def test_an_approval_with_invalid_inputs_fails(aws: EmbeddedAws, name: str, inputs: dict[str, Any]) -> None:
    make_runbook(name, approve(**inputs))

    execution = run(name)

    assert execution["AutomationExecutionStatus"] == "Failed"
    assert step(execution)["FailureMessage"]


def test_approvers_can_be_a_parameter_and_are_notified(aws: EmbeddedAws, name: str) -> None:
    queue = Queue(name, principal="sns.amazonaws.com")
    sns = client("sns")
    topic_arn = sns.create_topic(Name=f"Automation{name}")["TopicArn"]
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue.arn, Attributes={"RawMessageDelivery": "true"})
    make_runbook(
        name,
        approve("{{ Approvers }}", Message="Promote {{ What }}?", NotificationArn="{{ Topic }}"),
        parameters={"Approvers": {"type": "StringList"}, "What": {"type": "String"}, "Topic": {"type": "String"}},
        assumeRole=make_role(name, DEV, "sns:Publish", "ssm.amazonaws.com"),
    )
    parameters = {"Approvers": ["someone", "operator"], "What": ["it"], "Topic": [topic_arn]}
    execution_id = client("ssm").start_automation_execution(DocumentName=name, Parameters=parameters)[
        "AutomationExecutionId"
    ]
    waiting(execution_id)

    (message,) = queue.bodies()
    signal(execution_id)

    assert message.startswith("Promote it?")
    assert execution_id in message
    assert ended(execution_id)["AutomationExecutionStatus"] == "Success"


def make_state_machine(name: str, **state: Any) -> str:
    definition = {"StartAt": "Only", "States": {"Only": state}}
    return str(
        client("stepfunctions").create_state_machine(
            name=name,
            definition=json.dumps(definition),
            roleArn=make_role(f"{name}-machine", DEV, "x:y", "states.amazonaws.com"),
        )["stateMachineArn"]
    )


def state_machine_role(name: str) -> str:
    return make_role(name, DEV, "states:*", "ssm.amazonaws.com")


def test_a_step_waits_for_its_state_machine(aws: EmbeddedAws, name: str) -> None:
    arn = make_state_machine(name, Type="Pass", End=True)
    make_runbook(
        name,
        {
            "action": "aws:executeStateMachine",
            "inputs": {
                "stateMachineArn": arn,
                "name": "{{ automation:EXECUTION_ID }}",
                "input": '{"who": "{{ Who }}", "where": "{{ global:REGION }}/{{ global:ACCOUNT_ID }}"}',
            },
        },
        parameters={"Who": {"type": "String"}, "AutomationAssumeRole": {"type": "String"}},
        assumeRole="{{ AutomationAssumeRole }}",
        outputs=["one.output"],
    )

    execution = run(name, Who="me", AutomationAssumeRole=state_machine_role(name))

    assert execution["AutomationExecutionStatus"] == "Success"
    outputs = step(execution)["Outputs"]
    assert outputs["status"] == ["SUCCEEDED"]
    assert outputs["name"] == [execution["AutomationExecutionId"]]
    assert outputs["stateMachineArn"] == [arn]
    (output,) = execution["Outputs"]["one.output"]
    assert json.loads(output) == {"who": "me", "where": f"eu-west-1/{DEV}"}


def test_a_failed_state_machine_fails_the_step(aws: EmbeddedAws, name: str) -> None:
    arn = make_state_machine(name, Type="Fail", Error="NotGood", Cause="It is not.")
    make_runbook(
        name,
        {"action": "aws:executeStateMachine", "inputs": {"stateMachineArn": arn, "name": name, "input": "{}"}},
        assumeRole=state_machine_role(name),
    )

    execution = run(name)

    assert execution["AutomationExecutionStatus"] == "Failed"
    assert "NotGood" in step(execution)["FailureMessage"]
    assert step(execution)["Outputs"]["status"] == ["FAILED"]


def test_a_quote_in_a_parameter_breaks_the_json_around_it(aws: EmbeddedAws, name: str) -> None:
    arn = make_state_machine(name, Type="Pass", End=True)
    make_runbook(
        name,
        {
            "action": "aws:executeStateMachine",
            "inputs": {"stateMachineArn": arn, "name": name, "input": '{"who": "{{ Who }}"}'},
        },
        parameters={"Who": {"type": "String"}},
        assumeRole=state_machine_role(name),
    )

    execution = run(name, Who='me", "admin": "yes')

    assert json.loads(step(execution)["Outputs"]["output"][0]) == {"who": "me", "admin": "yes"}


def test_a_cancelled_automation_stops_its_state_machine(aws: EmbeddedAws, name: str) -> None:
    arn = make_state_machine(name, Type="Wait", Seconds=60, End=True)
    make_runbook(
        name,
        {
            "action": "aws:executeStateMachine",
            "inputs": {"stateMachineArn": arn, "name": name, "input": "{}"},
            "onCancel": "step:three",
        },
        SLEEP,
        SLEEP,
        assumeRole=state_machine_role(name),
    )
    execution_id = start(name)
    states = client("stepfunctions")
    (running,) = wait_for(lambda: states.list_executions(stateMachineArn=arn)["executions"])

    client("ssm").stop_automation_execution(AutomationExecutionId=execution_id)

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == "Cancelled"
    assert statuses(execution) == {"one": "Cancelled", "two": "Pending", "three": "Success"}
    assert states.describe_execution(executionArn=running["executionArn"])["status"] == "ABORTED"


def test_a_completed_automation_skips_the_remaining_steps(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, {"action": "aws:sleep", "inputs": {"Duration": "PT1S"}}, SLEEP)
    execution_id = start(name)

    client("ssm").stop_automation_execution(AutomationExecutionId=execution_id, Type="Complete")

    execution = ended(execution_id)
    assert execution["AutomationExecutionStatus"] == "Success"
    assert statuses(execution)["two"] == "Pending"
    with pytest.raises(ClientError, match="InvalidAutomationStatusUpdateException"):
        client("ssm").stop_automation_execution(AutomationExecutionId=execution_id)


def test_an_api_is_called_with_the_assume_role_and_outputs_are_selected_from_the_response(
    aws: EmbeddedAws, name: str
) -> None:
    client("ssm").put_parameter(Name=f"/{name}", Value="42", Type="String")
    make_runbook(
        name,
        {
            **call("GetParameter", Name="/{{ Name }}"),
            "outputs": [
                {"Name": "Value", "Selector": "$.Parameter.Value", "Type": "String"},
                {"Name": "Version", "Selector": "$.Parameter.Version", "Type": "Integer"},
            ],
        },
        {
            **call("GetCallerIdentity", "sts"),
            "outputs": [{"Name": "Arn", "Selector": "$.Arn", "Type": "String"}],
        },
        call("PutParameter", Name="/{{ Name }}-copy", Value="{{ one.Value }} of {{ one.Version }}", Type="String"),
        parameters={"Name": {"type": "String"}},
        assumeRole=make_role(name, DEV, "*", "ssm.amazonaws.com"),
    )

    execution = run(name, Name=name)

    assert execution["AutomationExecutionStatus"] == "Success"
    execution_id = execution["AutomationExecutionId"]
    assert step(execution, "two")["Outputs"]["Arn"] == [
        f"arn:aws:sts::{DEV}:assumed-role/{name}/Automation-{execution_id}"
    ]
    assert client("ssm").get_parameter(Name=f"/{name}-copy")["Parameter"]["Value"] == "42 of 1"


def test_an_api_is_called_with_the_credentials_of_the_caller_if_there_is_no_assume_role(
    aws: EmbeddedAws, name: str
) -> None:
    make_runbook(
        name,
        {**call("GetCallerIdentity", "sts"), "outputs": [{"Name": "Arn", "Selector": "$.Arn", "Type": "String"}]},
    )
    role_arn = make_role(name, DEV, "ssm:*", "lambda.amazonaws.com")

    by_operator = run(name)
    by_role = ended(start(name, by=as_role("ssm", role_arn, "alice")))

    session_arn = f"arn:aws:sts::{DEV}:assumed-role/{name}/alice"
    assert step(by_operator)["Outputs"]["Arn"] == [OPERATOR]
    assert step(by_role)["Outputs"]["Arn"] == [session_arn]
    assert by_role["ExecutedBy"] == session_arn


def test_an_invalid_assume_role_is_refused(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP, parameters={"Role": {"type": "String"}}, assumeRole="{{ Role }}")

    with pytest.raises(ClientError, match="The format of the supplied assume role ARN is invalid"):
        start(name, Role="Administrator")

    with pytest.raises(ClientError, match="The defined assume role is unable to be assumed"):
        start(name, Role=f"arn:aws:iam::{DEV}:role/{name}")


@pytest.mark.parametrize(
    ("value", "way"), [("a", {"two"}), ("b", {"three"}), ("5", {"four"}), ("other", {"two", "three", "four"})]
)
def test_a_branch_continues_with_the_step_of_its_choice(aws: EmbeddedAws, name: str, value: str, way: set[str]) -> None:
    choices = [
        {"NextStep": "two", "Variable": "{{ P }}", "StringEquals": "a"},
        {"NextStep": "three", "And": [{"Not": {"Variable": "{{ P }}", "StringEquals": "a"}}, equal("b")]},
        {"NextStep": "four", "Or": [{"Variable": "{{ P }}", "Contains": "5"}, equal("c")]},
    ]
    make_runbook(
        name,
        {"action": "aws:branch", "inputs": {"Choices": choices}},
        {**SLEEP, "isEnd": value != "other"},
        {**SLEEP, "isEnd": value != "other"},
        SLEEP,
        parameters={"P": {"type": "String"}},
    )

    execution = run(name, P=value)

    assert {step for step, status in statuses(execution).items() if status == "Success"} - {"one"} == way


def equal(value: str) -> dict[str, str]:
    return {"Variable": "{{ P }}", "StringEquals": value}


def test_a_property_can_be_asserted(aws: EmbeddedAws, name: str) -> None:
    client("ssm").put_parameter(Name=f"/{name}", Value="good", Type="String")
    assertion = {
        "action": "aws:assertAwsResourceProperty",
        "inputs": {
            "Service": "ssm",
            "Api": "GetParameter",
            "Name": f"/{name}",
            "PropertySelector": "$.Parameter.Value",
            "DesiredValues": ["{{ Wanted }}"],
        },
    }
    make_runbook(name, assertion, parameters={"Wanted": {"type": "String"}})

    assert run(name, Wanted="good")["AutomationExecutionStatus"] == "Success"
    assert run(name, Wanted="bad")["AutomationExecutionStatus"] == "Failed"


SCRIPT = """
import os
def shout(events, context):
    print("not part of the payload")
    return {"text": events["text"].upper(), "keys": sorted(key for key in os.environ if key.startswith("AWS"))}
"""


def script(text: str, code: str = SCRIPT, runtime: str = "python3.11") -> dict[str, Any]:
    inputs = {"Runtime": runtime, "Handler": "shout", "InputPayload": {"text": text}, "Script": code}
    outputs = [{"Name": "Text", "Selector": "$.Payload.text", "Type": "String"}]
    return {"action": "aws:executeScript", "inputs": inputs, "outputs": outputs}


def test_a_script_gets_the_output_of_a_step_and_has_no_credentials(aws: EmbeddedAws, name: str) -> None:
    first = script('two "lines"\nof text')
    make_runbook(name, first, script("{{ one.Text }}"), outputs=["two.Text"])

    execution = run(name)

    assert execution["Outputs"] == {"two.Text": ['TWO "LINES"\nOF TEXT']}
    assert json.loads(step(execution)["Outputs"]["Payload"][0])["keys"] == []


@pytest.mark.parametrize(
    ("given", "failure"),
    [
        (script("x", "def shout(events, context):\n  raise ValueError('loud')"), "ValueError: loud"),
        (script("x", "shout = 1 +"), "SyntaxError: invalid syntax"),
        (script("x", "def shout(events, context):\n  return 'x' * 200_000"), "more than the 102,400 that are returned"),
        (script("x", runtime="python2.7"), "Runtime is 'python2.7'"),
    ],
)
def test_a_script_that_fails_fails_its_step(aws: EmbeddedAws, name: str, given: dict[str, Any], failure: str) -> None:
    make_runbook(name, given)

    assert failure in step(run(name))["FailureMessage"]


def test_a_script_ends_with_the_time_out_of_its_step(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, script("x", "def shout(events, context):\n  while True: pass") | {"timeoutSeconds": 1})

    assert run(name)["AutomationExecutionStatus"] == "TimedOut"


def test_a_runbook_in_json_has_no_script(aws: EmbeddedAws, name: str) -> None:
    content = {"schemaVersion": "0.3", "mainSteps": [{"name": "one", **script("x")}]}

    with pytest.raises(ClientError, match="Script is not supported in a runbook in JSON"):
        client("ssm").create_document(
            Name=name, DocumentType="Automation", DocumentFormat="JSON", Content=json.dumps(content)
        )
