"""Systems Manager Automation: runbooks, their parameters, and their executions."""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.customers import DEV, Queue, client, make_role, stack_output
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


def test_the_steps_of_a_runbook_run_one_after_the_other(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP, SLEEP)

    execution = run(name)

    assert execution["AutomationExecutionStatus"] == "Success"
    assert (execution["DocumentName"], execution["DocumentVersion"]) == (name, "1")
    assert execution["ExecutedBy"] == OPERATOR
    one, two = execution["StepExecutions"]
    assert (one["StepName"], one["Action"], one["StepStatus"]) == ("one", "aws:sleep", "Success")
    assert one["Inputs"] == {"Duration": '"PT0.1S"'}
    assert one["ExecutionStartTime"] < one["ExecutionEndTime"] <= two["ExecutionStartTime"]


def test_a_runbook_can_be_written_in_json_and_named_by_its_arn(aws: EmbeddedAws, name: str) -> None:
    client("ssm").create_document(
        Name=name,
        DocumentType="Automation",
        Content=json.dumps({"schemaVersion": "0.3", "mainSteps": [{"name": "one", **SLEEP}]}),
    )

    execution = run(f"arn:aws:ssm:{accounts.REGION}:{DEV}:document/{name}")

    assert execution["AutomationExecutionStatus"] == "Success"


@pytest.mark.parametrize(
    ("rule", "value", "reason"),
    [
        ({"type": "String", "allowedPattern": "^[a-z]+$"}, 'a"b', "allowedPattern"),
        ({"type": "String", "allowedValues": ["a", "b"]}, "c", "allowedValues"),
        ({"type": "Integer"}, "many", "integer"),
        ({"type": "Boolean"}, "perhaps", "true or false"),
        ({"type": "String", "maxChars": 3}, "abcd", "too short or too long"),
        ({"type": "String"}, None, "required parameters are missing: P"),
    ],
    ids=str,
)
def test_invalid_parameters_are_refused_before_the_start(
    aws: EmbeddedAws, name: str, rule: dict[str, Any], value: str | None, reason: str
) -> None:
    make_runbook(name, SLEEP, parameters={"P": rule})

    with pytest.raises(ClientError, match=f"InvalidAutomationExecutionParametersException.*{reason}"):
        start(name, **({} if value is None else {"P": value}))


def test_an_unknown_parameter_is_refused(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP)

    with pytest.raises(ClientError, match=r"InvalidAutomationExecutionParametersException.*Other"):
        start(name, Other="x")


@pytest.mark.parametrize("value", ["", "x" * 513], ids=["empty", "long"])
def test_a_value_has_one_to_512_characters(aws: EmbeddedAws, name: str, value: str) -> None:
    make_runbook(name, SLEEP, parameters={"P": {"type": "String"}})

    with pytest.raises(ClientError, match="ValidationException"):
        start(name, P=value)


def test_an_unknown_runbook_cannot_be_started(aws: EmbeddedAws, name: str) -> None:
    with pytest.raises(ClientError, match="AutomationDefinitionNotFoundException"):
        start(name)


def test_an_unknown_version_cannot_be_started(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP)

    with pytest.raises(ClientError, match="AutomationDefinitionVersionNotFoundException"):
        client("ssm").start_automation_execution(DocumentName=name, DocumentVersion="7")


def test_an_execution_keeps_the_version_it_started_with(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, approve(), SLEEP)
    execution_id = start(name)
    waiting(execution_id)
    ssm = client("ssm")
    changed = {"schemaVersion": "0.3", "mainSteps": [{"name": "other", **SLEEP}]}
    ssm.update_document(Name=name, DocumentVersion="1", Content=json.dumps(changed))
    ssm.update_document_default_version(Name=name, DocumentVersion="2")

    signal(execution_id)

    assert statuses(ended(execution_id)) == {"one": "Success", "two": "Success"}
    assert statuses(run(name)) == {"other": "Success"}


def test_a_repeated_client_token_does_not_start_another_execution(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP, parameters={"P": {"type": "String", "default": "x"}})
    ssm, token = client("ssm"), str(uuid.uuid4())

    first = ssm.start_automation_execution(DocumentName=name, ClientToken=token)["AutomationExecutionId"]
    second = ssm.start_automation_execution(DocumentName=name, ClientToken=token)["AutomationExecutionId"]

    assert first == second
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        ssm.start_automation_execution(DocumentName=name, ClientToken=token, Parameters={"P": ["y"]})


@pytest.mark.parametrize(
    ("steps", "content", "reason"),
    [
        ([{"action": "aws:executeStateMachinex"}], {}, "does not support the action aws:executeStateMachinex"),
        ([{"action": "aws:sleep", "onFailure": "step:nowhere"}], {}, "nowhere, which does not exist"),
        ([{"action": "aws:sleep", "nextStep": "nowhere"}], {}, "nowhere, which does not exist"),
        ([{"action": "aws:sleep", "inputs": {"Duration": "{{ Missing }}"}}], {}, "Missing is neither a parameter"),
        ([{"action": "aws:sleep", "onfailure": "Abort"}], {}, "unknown properties: onfailure"),
        ([{"action": "aws:approve", "timeoutSeconds": 2592001}], {}, "at most 2592000"),
        ([{"name": "a", "action": "aws:sleep"}, {"name": "a", "action": "aws:sleep"}], {}, "the step a is not unique"),
        ([], {}, "at least one step"),
        ([SLEEP], {"assumeRole": "{{ Role }}"}, "Role is not a parameter"),
        ([SLEEP], {"parameters": {"P": {"type": "Text"}}}, "type Text"),
        ([SLEEP], {"outputs": ["three.Out"]}, "three.Out is neither"),
    ],
    ids=str,
)
def test_an_invalid_runbook_cannot_be_created(
    aws: EmbeddedAws, name: str, steps: list[dict[str, Any]], content: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ClientError, match=f"InvalidDocumentContent.*{reason}"):
        make_runbook(name, *steps, **content)


FAILING = call("GetParameter", Name="/nothing/here")


@pytest.mark.parametrize(
    ("properties", "status", "others"),
    [
        ({}, "Failed", ("Pending", "Pending")),
        ({"onFailure": "Continue"}, "Success", ("Success", "Success")),
        ({"onFailure": "Continue", "isCritical": True}, "Failed", ("Success", "Success")),
        ({"onFailure": "step:three"}, "Failed", ("Pending", "Success")),
        ({"onFailure": "step:three", "isCritical": False}, "Success", ("Pending", "Success")),
        ({"onFailure": "Continue", "isEnd": True}, "Success", ("Pending", "Pending")),
    ],
    ids=str,
)
def test_on_failure_determines_the_next_step(
    aws: EmbeddedAws, name: str, properties: dict[str, Any], status: str, others: tuple[str, str]
) -> None:
    make_runbook(name, {**FAILING, **properties}, SLEEP, SLEEP)

    execution = run(name)

    assert execution["AutomationExecutionStatus"] == status
    assert statuses(execution) == {"one": "Failed", "two": others[0], "three": others[1]}
    assert "ParameterNotFound" in step(execution)["FailureMessage"]


def test_a_step_is_retried_up_to_its_maximum_number_of_attempts(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, {**call("GetParameter", Name=f"/{name}"), "maxAttempts": 5})
    execution_id = start(name)
    wait_for(lambda: step(describe(execution_id)).get("FailureMessage") or step(describe(execution_id))["Inputs"])

    client("ssm").put_parameter(Name=f"/{name}", Value="here", Type="String")

    assert ended(execution_id)["AutomationExecutionStatus"] == "Success"


def test_a_step_that_did_not_run_has_no_output(aws: EmbeddedAws, name: str) -> None:
    make_runbook(
        name,
        {**SLEEP, "nextStep": "three"},
        SLEEP,
        {"action": "aws:sleep", "inputs": {"Duration": "{{ two.Duration }}"}},
        outputs=["two.Duration"],
    )

    execution = run(name)

    assert execution["AutomationExecutionStatus"] == "Failed"
    assert "two" in step(execution, "three")["FailureMessage"]
    assert execution["Outputs"]["two.Duration"][0].startswith("No output available yet")


def test_executions_are_listed_newest_first_and_filtered(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP)
    make_runbook(f"{name}-other", approve())
    ids = [run(name)["AutomationExecutionId"] for _ in range(3)]
    waits = start(f"{name}-other")
    waiting(waits)
    ssm = client("ssm")

    def listed(**filters: str) -> list[str]:
        wanted = [{"Key": key, "Values": [value]} for key, value in {"DocumentNamePrefix": name, **filters}.items()]
        answer = ssm.describe_automation_executions(Filters=wanted)
        return [execution["AutomationExecutionId"] for execution in answer["AutomationExecutionMetadataList"]]

    assert listed() == [waits, *reversed(ids)]
    assert listed(ExecutionStatus="Waiting") == [waits]
    assert listed(ExecutionId=ids[0]) == [ids[0]]
    assert listed(StartTimeAfter="2999-01-01T00:00:00Z") == []
    first = ssm.describe_automation_executions(Filters=[{"Key": "DocumentNamePrefix", "Values": [name]}], MaxResults=2)
    rest = ssm.describe_automation_executions(
        Filters=[{"Key": "DocumentNamePrefix", "Values": [name]}], NextToken=first["NextToken"]
    )
    pages = first["AutomationExecutionMetadataList"] + rest["AutomationExecutionMetadataList"]
    assert [execution["AutomationExecutionId"] for execution in pages] == [waits, *reversed(ids)]
    with pytest.raises(ClientError, match="InvalidFilterKey"):
        listed(Owner="me")


def test_steps_are_listed_and_filtered(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP, FAILING)
    execution_id = run(name)["AutomationExecutionId"]

    answer = client("ssm").describe_automation_step_executions(
        AutomationExecutionId=execution_id, Filters=[{"Key": "StepExecutionStatus", "Values": ["Failed"]}]
    )

    assert [step["StepName"] for step in answer["StepExecutions"]] == ["two"]


def test_the_ends_of_a_step_and_of_an_automation_are_events(aws: EmbeddedAws, name: str) -> None:
    queue = Queue(name)
    eventbridge = client("events")
    pattern = {"source": ["aws.ssm"], "detail": {"Definition": [name]}}
    eventbridge.put_rule(Name=name, EventPattern=json.dumps(pattern))
    eventbridge.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    make_runbook(name, SLEEP)

    execution_id = run(name)["AutomationExecutionId"]

    received = {event["detail-type"]: event for event in map(json.loads, queue.bodies(count=2))}
    step_event = received["EC2 Automation Step Status-change Notification"]
    assert step_event["resources"] == [
        f"arn:aws:ssm:eu-west-1:{DEV}:automation-execution/{execution_id}",
        f"arn:aws:ssm:eu-west-1:{DEV}:automation-definition/{name}:1",
    ]
    detail = step_event["detail"]
    assert (detail["StepName"], detail["Action"], detail["Status"]) == ("one", "aws:sleep", "Success")
    detail = received["EC2 Automation Execution Status-change Notification"]["detail"]
    assert (detail["ExecutionId"], detail["DefinitionVersion"]) == (execution_id, 1.0)
    assert (detail["Status"], detail["ExecutedBy"]) == ("Success", OPERATOR)


def test_a_rule_starts_a_runbook_with_an_input_template(aws: EmbeddedAws, name: str) -> None:
    make_runbook(name, SLEEP, parameters={"What": {"type": "String"}, "Where": {"type": "StringList", "default": []}})
    dead = start_on_events(name, '{"What": [<what>], "Where": ["a", "b"]}')

    put(name, {"what": "churn"})

    execution = wait_for(lambda: started(name))
    assert describe(execution["AutomationExecutionId"])["Parameters"] == {"What": ["churn"], "Where": ["a", "b"]}
    assert execution["ExecutedBy"].startswith(f"arn:aws:sts::{DEV}:assumed-role/{name}/")
    assert dead.bodies(seconds=0.5) == []


@pytest.mark.parametrize(
    "template",
    ['{"What": <what>}', '{"What": [<missing>]}', '{"What": [<number>]}', '"<what>"', '{"Other": [<what>]}'],
)
def test_a_rule_does_not_start_a_runbook_with_invalid_parameters(aws: EmbeddedAws, name: str, template: str) -> None:
    make_runbook(name, SLEEP, parameters={"What": {"type": "String"}})
    dead = start_on_events(name, template)

    put(name, {"what": "churn", "number": 5})

    (letter,) = dead.messages()
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "SDK_CLIENT_ERROR"
    assert letter["MessageAttributes"]["RETRY_ATTEMPTS"]["StringValue"] == "0"
    assert started(name) is None


def start_on_events(name: str, template: str) -> Queue:
    """Create a rule that starts the runbook on events of the source `name`; return its dead-letter queue."""
    dead = Queue(name)
    eventbridge = client("events")
    eventbridge.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    paths = {"what": "$.detail.what", "number": "$.detail.number", "missing": "$.detail.missing"}
    target = {
        "Id": "runbook",
        "Arn": f"arn:aws:ssm:{accounts.REGION}:{DEV}:automation-definition/{name}:$DEFAULT",
        "RoleArn": make_role(name, DEV, "ssm:StartAutomationExecution"),
        "InputTransformer": {"InputPathsMap": paths, "InputTemplate": template},
        "DeadLetterConfig": {"Arn": dead.arn},
    }
    eventbridge.put_targets(Rule=name, Targets=[target])
    return dead


def put(source: str, detail: dict[str, Any]) -> None:
    client("events").put_events(Entries=[{"Source": source, "DetailType": "x", "Detail": json.dumps(detail)}])


def started(name: str) -> dict[str, Any] | None:
    filters = [{"Key": "DocumentNamePrefix", "Values": [name]}]
    executions = client("ssm").describe_automation_executions(Filters=filters)["AutomationExecutionMetadataList"]
    return executions[0] if executions else None


TEMPLATE = """
Resources:
  Runbook:
    Type: AWS::SSM::Document
    Properties:
      DocumentType: Automation
      UpdateMethod: NewVersion
      Content:
        schemaVersion: "0.3"
        mainSteps:
          - {name: one, action: aws:sleep, inputs: {Duration: DURATION}}
Outputs:
  Name:
    Value: !Ref Runbook
"""


def test_cloudformation_creates_a_runbook_and_its_new_versions(aws: EmbeddedAws, name: str) -> None:
    cloudformation = client("cloudformation")

    cloudformation.create_stack(StackName=name, TemplateBody=TEMPLATE.replace("DURATION", "PT0.1S"))
    runbook = stack_output(name)
    assert run(runbook)["DocumentVersion"] == "1"
    cloudformation.update_stack(StackName=name, TemplateBody=TEMPLATE.replace("DURATION", "PT0.2S"))
    stack_output(name)

    execution = run(runbook)
    assert execution["DocumentVersion"] == "2"
    assert step(execution)["Inputs"] == {"Duration": '"PT0.2S"'}
