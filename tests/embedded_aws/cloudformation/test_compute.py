"""Resources of Lambda and Step Functions, deployed by small templates."""

import json
from typing import Any

import pytest

from embedded_aws.services.cloudformation import deploy as cloudformation
from tests.embedded_aws.support.resource_stacks import CODE, ROLE, Deploy, attributes_of, client, delete_stack


def test_function_with_permission_and_event_invoke_config(deploy: Deploy, name: str) -> None:
    properties: dict[str, Any] = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["R", "Arn"]},
        "Code": CODE,
        "Timeout": "7",
        "MemorySize": 256,
        "Environment": {"Variables": {"COUNT": 3, "FLAG": True}},
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    permission = {"FunctionName": {"Ref": "F"}, "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
    retries = {"FunctionName": {"Ref": "F"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 0}
    resources = {
        "R": ROLE,
        "F": {"Type": "AWS::Lambda::Function", "Properties": properties},
        "P": {"Type": "AWS::Lambda::Permission", "Properties": permission},
        "E": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": retries},
    }
    functions = client("lambda")

    outputs = deploy(resources, attributes_of("F", "Arn"))

    function = functions.get_function(FunctionName=outputs["Ref"])
    configuration = function["Configuration"]
    assert outputs["Ref"].startswith(f"{name}-F-")
    assert outputs["Arn"] == configuration["FunctionArn"]
    assert (configuration["Timeout"], configuration["MemorySize"]) == (7, 256)
    assert configuration["Environment"]["Variables"] == {"COUNT": "3", "FLAG": "true"}
    assert function["Tags"] == {"k": "v"}
    assert json.loads(functions.invoke(FunctionName=outputs["Ref"])["Payload"].read()) == 1
    statement = json.loads(functions.get_policy(FunctionName=outputs["Ref"])["Policy"])["Statement"][0]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert functions.get_function_event_invoke_config(FunctionName=outputs["Ref"])["MaximumRetryAttempts"] == 0

    properties |= {"Timeout": 9, "Code": {"ZipFile": CODE["ZipFile"].replace("1", "2")}}
    retries["MaximumRetryAttempts"] = 1
    deploy(resources)

    assert functions.get_function_configuration(FunctionName=outputs["Ref"])["Timeout"] == 9
    assert json.loads(functions.invoke(FunctionName=outputs["Ref"])["Payload"].read()) == 2
    assert functions.get_function_event_invoke_config(FunctionName=outputs["Ref"])["MaximumRetryAttempts"] == 1
    delete_stack(name)
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName=outputs["Ref"])


@pytest.mark.parametrize("form", ["DefinitionString", "Definition", "DefinitionS3Location"])
def test_state_machine(deploy: Deploy, name: str, form: str) -> None:
    wait: dict[str, Any] = {"Type": "Wait", "Seconds": 1, "Next": "Report"}
    states = {"Wait": wait, "Report": {"Type": "Pass", "Output": "${Text}", "End": True}}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Wait", "States": states}
    # Only in a string can a substitution replace a number.
    text = json.dumps(definition).replace('"Seconds": 1', '"Seconds": ${Seconds}')
    given: Any = definition if form == "Definition" else text
    if form == "DefinitionS3Location":
        client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client("s3").put_object(Bucket=name, Key="machine.yaml", Body=f"# YAML may have comments\n{text}".encode())
        given = {"Bucket": name, "Key": "machine.yaml"}
    properties = {
        "RoleArn": {"Fn::GetAtt": ["R", "Arn"]},
        form: given,
        "DefinitionSubstitutions": {"Text": {"Ref": "R"}, "Seconds": 0, "Unused": True},
        "LoggingConfiguration": {"Level": "ERROR", "IncludeExecutionData": False},
    }
    resources = {"R": ROLE, "M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    states_client = client("stepfunctions")

    outputs = deploy(resources, attributes_of("M", "Arn", "Name") | {"Role": {"Ref": "R"}})

    machine = states_client.describe_state_machine(stateMachineArn=outputs["Ref"])
    assert outputs["Ref"] == outputs["Arn"] == machine["stateMachineArn"]
    assert outputs["Name"] == machine["name"]
    assert machine["name"].startswith(f"{name}-M-")
    assert machine["loggingConfiguration"]["level"] == "ERROR"
    read = json.loads(machine["definition"])["States"]
    assert read["Wait"]["Seconds"] == (1 if form == "Definition" else 0)
    assert read["Report"]["Output"] == outputs["Role"]

    properties["DefinitionSubstitutions"] = {"Text": "changed", "Seconds": 0}
    assert deploy(resources, attributes_of("M"))["Ref"] == outputs["Ref"]

    changed = json.loads(states_client.describe_state_machine(stateMachineArn=outputs["Ref"])["definition"])
    assert changed["States"]["Report"]["Output"] == "changed"


def test_a_state_machine_with_an_invalid_definition_fails_the_deployment(deploy: Deploy) -> None:
    definition = "StartAt: A\nStates:\n  A: {Type: Pass, Next: Nowhere}\n"
    properties = {"RoleArn": {"Fn::GetAtt": ["R", "Arn"]}, "DefinitionString": definition}

    with pytest.raises(cloudformation.DeploymentError, match=r"M \(AWS::StepFunctions::StateMachine\).*Nowhere"):
        deploy({"R": ROLE, "M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}})
