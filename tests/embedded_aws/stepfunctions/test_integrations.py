"""Service integrations of state machines."""

import io
import json
import zipfile
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.iam import clients
from embedded_aws.services.lambda_.environments import Environment, Outcome
from tests.embedded_aws.support.state_machines import (
    ACCOUNT,
    OTHER_ACCOUNT,
    Create,
    Execution,
    Run,
    create_role,
    deliver_events,
    finish,
    messages,
    task,
)


def test_a_service_is_called_with_the_role_of_the_state_machine(run: Run, role: str) -> None:
    execution = run({"Who?": task("aws-sdk:sts:getCallerIdentity")})

    role_name = role.rpartition("/")[2]
    assert execution["output"]["Account"] == ACCOUNT
    assert execution["output"]["Arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role_name}/")


def test_a_task_with_credentials_uses_their_role_and_account(run: Run, role: str, name: str) -> None:
    other = create_role(OTHER_ACCOUNT, f"upstream-{name}", {"AWS": role})
    states = {
        "Who?": task(
            "aws-sdk:sts:getCallerIdentity",
            Credentials={"RoleArn": "{% $states.input.role %}"},
            Assign={"arn": "{% $states.result.Arn %}"},
            Next="And now?",
        ),
        "And now?": task("aws-sdk:sts:getCallerIdentity", Output=["{% $arn %}", "{% $states.result.Account %}"]),
    }

    execution = run(states, {"role": other})

    assert execution["output"] == [
        f"arn:aws:sts::{OTHER_ACCOUNT}:assumed-role/upstream-{name}/StepFunctions",
        ACCOUNT,
    ]


def test_requests_and_responses_are_in_pascal_case_and_times_are_strings(run: Run, create: Create) -> None:
    machine = create({"Same": finish("{% $states.input %}")})

    execution = run(
        {
            "Start": task(
                "aws-sdk:sfn:startExecution",
                {"StateMachineArn": machine, "Input": {"a": [1]}, "TraceHeader": None},
                Output="{% $states.result.ExecutionArn %}",
                Next="Wait",
            ),
            "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Describe"},
            "Describe": task("aws-sdk:sfn:describeExecution", {"ExecutionArn": "{% $states.input %}"}),
        }
    )

    assert execution["output"]["Status"] == "SUCCEEDED"
    assert json.loads(execution["output"]["Output"]) == {"a": [1]}
    assert execution["output"]["StartDate"].endswith("Z")
    assert execution["output"]["OutputDetails"] == {"Included": True}


def test_a_task_waits_for_a_nested_state_machine(run: Run, create: Create) -> None:
    machine = create({"Same": finish("{% $states.input %}")})
    arguments = {"StateMachineArn": machine, "Input": {"a": 1}}

    execution = run({"Run": task("states:startExecution.sync:2", arguments, Output="{% $states.result.Output %}")})

    assert execution["output"] == {"a": 1}


@pytest.fixture
def table(aws: EmbeddedAws, name: str) -> str:
    clients.client_as_operator("dynamodb", ACCOUNT).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.mark.parametrize(
    ("resource", "taken", "wrong_key"),
    [
        ("dynamodb:putItem", "DynamoDB.ConditionalCheckFailedException", "DynamoDB.AmazonDynamoDBException"),
        ("aws-sdk:dynamodb:putItem", "DynamoDb.ConditionalCheckFailedException", "DynamoDb.DynamoDbException"),
    ],
)
def test_errors_of_dynamodb_have_the_names_of_the_integration(
    run: Run, table: str, resource: str, taken: str, wrong_key: str
) -> None:
    condition = {"ConditionExpression": "attribute_not_exists(id)"}
    item = {"id": {"S": "{% $states.input.id %}"}, "count": {"N": 1}}
    put = task(resource, {"TableName": table, "Item": item} | condition)

    first, second = run({"Take": put}, {"id": resource}), run({"Take": put}, {"id": resource})
    wrong = run({"Take": task(resource, {"TableName": table, "Item": {"other": {"S": "x"}}})})

    assert (first["status"], second["error"], wrong["error"]) == ("SUCCEEDED", taken, wrong_key)
    assert "The conditional request failed" in second["cause"]


def test_errors_of_sdk_integrations_have_the_names_of_the_java_sdk(run: Run, name: str) -> None:
    def error(resource: str, **arguments: Any) -> str:
        return str(run({"Call": task(f"aws-sdk:{resource}", arguments)})["error"])

    assert error("sagemaker:describeEndpoint", EndpointName="nothing") == "SageMaker.SageMakerException"
    assert error("s3:headBucket", Bucket=f"none-{name}") == "S3.S3Exception"
    assert error("s3:listObjectsV2", Bucket=f"none-{name}") == "S3.NoSuchBucketException"
    assert error("sfn:describeExecution", ExecutionArn="arn:x") == "Sfn.InvalidArnException"
    assert error("ssm:getParameter", Name=name) == "Ssm.ParameterNotFoundException"
    assert error("cloudwatchlogs:getLogEvents", LogGroupName=name, LogStreamName=name) == (
        "CloudWatchLogs.ResourceNotFoundException"
    )


def test_an_event_contains_the_execution_and_state_machine_and_a_failed_entry_is_an_error(
    run: Run, queue: str, name: str
) -> None:
    deliver_events(queue, name, {"source": [name]})
    entry = {"Source": name, "DetailType": "Done", "Detail": {"text": "{% $states.input.text %}"}}

    good = run({"Put": task("events:putEvents", {"Entries": [entry]})}, {"text": 'a "b"'})
    bad = run({"Put": task("events:putEvents", {"Entries": [entry | {"Source": "aws.sagemaker"}]})}, {"text": ""})

    (event,) = messages(queue, 1)
    assert event["detail"] == {"text": 'a "b"'}
    assert set(event["resources"]) == {good["executionArn"], good["stateMachineArn"]}
    assert bad["error"] == "EventBridge.FailedEntry"


CODE = """
import os, time

class BusyError(Exception):
    pass

def handler(event, context):
    if event == "raise":
        raise BusyError('the "endpoint" is busy')
    if event == "die":
        os._exit(1)
    if event == "sleep":
        time.sleep(30)
    return {"event": event, "account": context.invoked_function_arn.split(":")[4]}
"""


@pytest.fixture
def function(aws: EmbeddedAws, name: str) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", CODE)
    answer = clients.client_as_operator("lambda", ACCOUNT).create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="app.handler",
        Timeout=3,
        Role=create_role(ACCOUNT, f"function-{name}", {"Service": "lambda.amazonaws.com"}),
        Code={"ZipFile": code.getvalue()},
    )
    return str(answer["FunctionArn"])


def test_a_function_receives_its_payload_and_its_errors_keep_their_names(run: Run, function: str) -> None:
    def invoke(payload: Any, name: str = function) -> Execution:
        arguments = {"FunctionName": name, "Payload": payload}
        return run({"Invoke": task("lambda:invoke", arguments, Output="{% $states.result.Payload %}")})

    payload = {"text": 'a "b" \\ ü', "list": [None, 1.5]}
    assert invoke(payload)["output"] == {"event": payload, "account": ACCOUNT}

    raised = invoke("raise")
    assert raised["error"] == "BusyError"
    assert json.loads(raised["cause"])["errorMessage"] == 'the "endpoint" is busy'
    assert json.loads(raised["cause"])["errorType"] == "BusyError"
    assert invoke("die")["error"] == "Runtime.ExitError"
    assert invoke("sleep")["error"] == "Sandbox.Timedout"
    assert invoke("x", f"{function}-not")["error"] == "Lambda.ResourceNotFoundException"


@pytest.mark.parametrize("payload", ['{"errorMessage":"Task timed out"}', '"Task timed out"'])
def test_an_error_without_a_type_is_unknown_and_its_cause_is_a_sentence(
    run: Run, function: str, monkeypatch: pytest.MonkeyPatch, payload: str
) -> None:
    monkeypatch.setattr(Environment, "run", lambda *_: Outcome(payload.encode(), failed=True, log=""))

    execution = run({"Invoke": task("lambda:invoke", {"FunctionName": function, "Payload": {}})})

    assert execution["error"] == "Lambda.Unknown"
    assert execution["cause"] == (
        f"The cause could not be determined because Lambda did not return an error type. Returned payload: {payload}"
    )


@pytest.mark.parametrize(
    ("resource", "operation", "error"),
    [
        ("dynamodb:putItem", "PutItem", "DynamoDB.TransactionConflictException"),
        ("aws-sdk:dynamodb:putItem", "PutItem", "DynamoDb.TransactionConflictException"),
        ("aws-sdk:dynamodb:transactWriteItems", "TransactWriteItems", "DynamoDb.TransactionCanceledException"),
    ],
)
def test_a_transaction_conflict_is_retried_by_its_error_name(
    run: Run, role: str, table: str, resource: str, operation: str, error: str
) -> None:
    put = {"TableName": table, "Item": {"id": {"S": resource}}}
    arguments = put if operation == "PutItem" else {"TransactItems": [{"Put": put}]}
    once = task(resource, arguments)

    for state, status in ((once, "FAILED"), (once | {"Retry": [{"ErrorEquals": [error]}]}, "SUCCEEDED")):
        with faults.injected(Call(role, "dynamodb", operation), Kind.CONFLICT_ONCE):
            execution = run({"Put": state})
        assert execution["status"] == status
        assert execution.get("error") == (error if status == "FAILED" else None)


def test_a_lost_response_is_an_error_of_the_sdk(run: Run, role: str, function: str, table: str) -> None:
    invoke = task("lambda:invoke", {"FunctionName": function, "Payload": {}})
    put = {"TableName": table, "Item": {"id": {"S": "lost"}}}

    with faults.injected(Call(role, "lambda", "Invoke"), Kind.LOST_DONE):
        assert run({"Invoke": invoke})["error"] == "Lambda.SdkClientException"
    with faults.injected(Call(role, "dynamodb", "PutItem"), Kind.LOST_UNDONE):
        assert run({"Put": task("dynamodb:putItem", put)})["error"] == "DynamoDB.SdkClientException"
    with faults.injected(Call(role, "dynamodb", "PutItem"), Kind.LOST_UNDONE):
        assert run({"Put": task("aws-sdk:dynamodb:putItem", put)})["error"] == "DynamoDb.SdkClientException"
