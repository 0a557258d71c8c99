"""Deployment of templates: SAM's transform, updates of stacks, and failures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy as cloudformation
from tests.embedded_aws.support.state_machines import wait_for_end

ACCOUNT = accounts.ACCOUNTS["qa"]

Deploy = Callable[..., dict[str, str]]


def client(service: str) -> Any:
    return clients.client_as_operator(service, ACCOUNT)


@pytest.fixture
def deploy(aws: EmbeddedAws, name: str, tmp_path: Path) -> Deploy:
    """Return a function that deploys a template as the stack of the test and returns its outputs."""

    def deploy_template(text: str, **parameters: str) -> dict[str, str]:
        template = tmp_path / "template.yaml"
        template.write_text(text)
        return cloudformation.deploy(template=template, stack_name=name, account=ACCOUNT, parameters=parameters)

    return deploy_template


def status(name: str) -> str:
    return str(client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def resources(name: str) -> dict[str, str]:
    """Return the physical IDs of a stack's resources by logical ID."""
    found = client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}


SERVERLESS = """
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: {Type: String}
  Seconds: {Type: Number, Default: 0}
Globals:
  Function:
    Runtime: python3.13
    CodeUri: code/
    RolePath: !Sub /${AWS::StackName}/
Resources:
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.yaml
      DefinitionSubstitutions:
        GreetArn: !GetAtt Greet.Arn
        Seconds: !Ref Seconds
      Policies:
        - LambdaInvokePolicy: {FunctionName: !Ref Greet}
  Greet:
    Type: AWS::Serverless::Function
    Properties:
      Handler: steps.greet.handler
      Policies: [AWSXRayDaemonWriteAccess]
      Environment:
        Variables: {GREETING: !Ref Greeting}
Outputs:
  Machine: {Value: !Ref Machine}
  Function: {Value: !Ref Greet}
  Role: {Value: !Ref GreetRole}
"""
MACHINE = """
# A comment, which is not valid in JSON.
QueryLanguage: JSONata
StartAt: Let it rest
States:
  Let it rest: {Type: Wait, Seconds: "${Seconds}", Next: Greet}
  Greet:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: "${GreetArn}", Payload: '{% $states.input %}'}
    Output: '{% $states.result.Payload %}'
    End: true
""".replace('"${Seconds}"', "${Seconds}")
CODE = """
import os

def handler(event, context):
    return f"{os.environ['GREETING']} {event['name']}"
"""


def write_project(directory: Path, code: str = CODE) -> None:
    (directory / "code" / "steps").mkdir(parents=True, exist_ok=True)
    (directory / "code" / "steps" / "greet.py").write_text(code)
    (directory / "machine.asl.yaml").write_text(MACHINE)


def greeting(machine: str) -> Any:
    states = client("stepfunctions")
    started = states.start_execution(stateMachineArn=machine, input='{"name": "you"}')
    execution = wait_for_end(states, started["executionArn"])
    return json.loads(execution.get("output") or json.dumps(execution["cause"]))


def test_a_serverless_application_runs_and_is_updated_in_place(deploy: Deploy, name: str, tmp_path: Path) -> None:
    write_project(tmp_path)

    outputs = deploy(SERVERLESS, Greeting="Hello")

    assert greeting(outputs["Machine"]) == "Hello you"
    iam = client("iam")
    assert iam.get_role(RoleName=outputs["Role"])["Role"]["Path"] == f"/{name}/"
    attached = iam.list_attached_role_policies(RoleName=outputs["Role"])["AttachedPolicies"]
    assert {policy["PolicyName"] for policy in attached} == {"AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess"}

    assert deploy(SERVERLESS, Greeting="Goodbye") == outputs
    assert greeting(outputs["Machine"]) == "Goodbye you"

    write_project(tmp_path, CODE.replace("return ", "return '> ' + "))
    assert deploy(SERVERLESS) == outputs
    assert greeting(outputs["Machine"]) == "> Goodbye you"


SHARING = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.13
    CodeUri: code/
    Handler: read.handler
    RolePath: !Sub /${AWS::StackName}/
    PermissionsBoundary: !Ref Boundary
    Environment: {Variables: {PARAMETER: !Sub '/${AWS::StackName}/shared'}}
Resources:
  Parameter: {Type: AWS::SSM::Parameter, Properties: {Name: !Sub '/${AWS::StackName}/shared', Type: String, Value: x}}
  Boundary:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument: {Version: '2012-10-17', Statement: {Effect: Allow, Action: 'ssm:*', Resource: '*'}}
  ReadParameters:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      Path: !Sub /${AWS::StackName}/
      PolicyDocument: {Version: '2012-10-17', Statement: {Effect: Allow, Action: 'ssm:GetParameter', Resource: '*'}}
  Reader:
    Type: AWS::Serverless::Function
    Properties:
      Policies:
        - !Ref ReadParameters
        - Version: '2012-10-17'
          Statement: {Effect: Allow, Action: 'ssm:PutParameter', Resource: '*'}
  Other:
    Type: AWS::Serverless::Function
Outputs:
  Reader: {Value: !Ref Reader}
  ReaderRole: {Value: !Ref ReaderRole}
  Other: {Value: !Ref Other}
  Policy: {Value: !Ref ReadParameters}
"""
READ = """
import os

import boto3

def handler(event, context):
    return boto3.client("ssm").get_parameter(Name=os.environ["PARAMETER"])["Parameter"]["Value"]
"""


def test_a_function_has_the_permissions_of_a_managed_policy_and_of_its_inline_policy(
    deploy: Deploy, name: str, tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "read.py").write_text(READ)

    def response_of(function: str) -> str:
        return str(client("lambda").invoke(FunctionName=function)["Payload"].read())

    outputs = deploy(SHARING)

    iam = client("iam")
    assert outputs["Policy"].startswith(f"arn:aws:iam::{ACCOUNT}:policy/{name}/")
    attached = iam.list_attached_role_policies(RoleName=outputs["ReaderRole"])["AttachedPolicies"]
    assert {policy["PolicyArn"] for policy in attached} == {
        "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
        outputs["Policy"],
    }
    assert iam.list_role_policies(RoleName=outputs["ReaderRole"])["PolicyNames"] == ["ReaderRolePolicy1"]
    assert '"x"' in response_of(outputs["Reader"])
    assert "no identity-based policy allows the ssm:GetParameter action" in response_of(outputs["Other"])

    without = SHARING.replace("        - !Ref ReadParameters\n", "").replace("Value: !Ref ReadParameters", "Value: x")
    assert deploy(without) == outputs | {"Policy": "x"}
    assert "no identity-based policy allows the ssm:GetParameter action" in response_of(outputs["Reader"])


def test_repeating_a_deployment_changes_nothing(deploy: Deploy, name: str, tmp_path: Path) -> None:
    write_project(tmp_path)
    outputs = deploy(SERVERLESS, Greeting="Hello")
    functions = client("lambda")
    modified = functions.get_function_configuration(FunctionName=outputs["Function"])["LastModified"]

    assert deploy(SERVERLESS, Greeting="Hello") == outputs

    assert functions.get_function_configuration(FunctionName=outputs["Function"])["LastModified"] == modified


QUEUES = """
Parameters:
  Days: {Type: Number, Default: 1}
  Secret: {Type: String, Default: s, NoEcho: true}
  With: {Type: String, Default: 'yes', AllowedValues: ['yes', 'no']}
Conditions:
  HasSecond: !Equals [!Ref With, 'yes']
Resources:
  First:
    Type: AWS::SQS::Queue
    Properties:
      MessageRetentionPeriod: !If [HasSecond, 60, 120]
      RedrivePolicy: !If [HasSecond, {deadLetterTargetArn: !GetAtt Second.Arn, maxReceiveCount: 1}, !Ref AWS::NoValue]
  Second:
    Type: AWS::SQS::Queue
    Condition: HasSecond
    Properties:
      QueueName: !Sub '${AWS::StackName}-${Days}-days'
Outputs:
  First: {Value: !Ref First, Description: The first.}
  Second: {Value: !GetAtt Second.QueueName, Condition: HasSecond}
"""


def attribute(queue: str, name: str) -> str | None:
    attributes: dict[str, str] = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])[
        "Attributes"
    ]
    return attributes.get(name)


def test_a_changed_condition_adds_and_removes_resources(deploy: Deploy, name: str) -> None:
    outputs = deploy(QUEUES)
    assert outputs["Second"] == f"{name}-1-days"
    assert attribute(outputs["First"], "MessageRetentionPeriod") == "60"

    without = deploy(QUEUES, With="no")

    assert without == {"First": outputs["First"]}
    assert resources(name) == {"First": outputs["First"]}
    assert attribute(outputs["First"], "MessageRetentionPeriod") == "120"
    with pytest.raises(ClientError, match="NonExistentQueue"):
        client("sqs").get_queue_url(QueueName=f"{name}-1-days")

    assert deploy(QUEUES, With="yes") == outputs


def test_a_resource_that_cannot_be_updated_is_replaced(deploy: Deploy, name: str) -> None:
    first = deploy(QUEUES)["First"]

    assert deploy(QUEUES, Days="2")["Second"] == f"{name}-2-days"

    assert f"{name}-2-days" in str(attribute(first, "RedrivePolicy"))
    with pytest.raises(ClientError, match="NonExistentQueue"):
        client("sqs").get_queue_url(QueueName=f"{name}-1-days")


def test_the_value_of_a_no_echo_parameter_is_hidden(deploy: Deploy, name: str) -> None:
    deploy(QUEUES, Secret="hush")  # noqa: S106

    (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]} == {
        "Days": "1",
        "Secret": "****",
        "With": "yes",
    }
    assert stack["Outputs"][0]["Description"] == "The first."


def test_deleting_a_stack_keeps_retained_resources(deploy: Deploy, name: str) -> None:
    text = "Resources: {A: {Type: AWS::SQS::Queue}, B: {Type: AWS::SQS::Queue, DeletionPolicy: Retain}}"
    deploy(text)
    queues = resources(name)

    cloudformation.delete(stack_name=name, account=ACCOUNT)

    with pytest.raises(ClientError, match="does not exist"):
        status(name)
    with pytest.raises(ClientError, match="NonExistentQueue"):
        attribute(queues["A"], "QueueArn")
    assert attribute(queues["B"], "QueueArn")


def test_a_retained_resource_is_kept_when_it_is_removed_from_the_template(deploy: Deploy, name: str) -> None:
    deploy("Resources: {A: {Type: AWS::SQS::Queue}, B: {Type: AWS::SQS::Queue, DeletionPolicy: Retain}}")
    retained = resources(name)["B"]

    deploy("Resources: {A: {Type: AWS::SQS::Queue}}")

    assert "B" not in resources(name)
    assert attribute(retained, "QueueArn")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Resources: {Odd: {Type: AWS::Glue::Job}}", "Unrecognized resource types: Odd (AWS::Glue::Job)"),
        ("Resources: {A: {Type: AWS::SQS::Queue, DependsOn: B}}", "Unresolved resource dependencies [B]"),
        ("Parameters: {P: {Type: String}}\nResources: {A: {Type: AWS::SQS::Queue}}", "[P] must have values"),
        (
            "Resources: {A: {Type: AWS::SQS::QueuePolicy, Properties: {Queues: [nothing], PolicyDocument: {}}}}",
            "A (AWS::SQS::QueuePolicy): An error occurred",
        ),
        (
            "Resources: {Q: {Type: AWS::SQS::Queue}, "
            "T: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt Q.X}}}",
            "T (AWS::SNS::Topic): Requested attribute X does not exist in schema for AWS::SQS::Queue",
        ),
        (
            "Resources: {Q: {Type: AWS::SQS::Queue}}\nOutputs: {O: {Value: !GetAtt Q.X}}",
            "Requested attribute X does not exist in schema for AWS::SQS::Queue",
        ),
        (
            "Transform: AWS::Serverless-2016-10-31\nResources: {F: {Type: AWS::Serverless::Function, Properties: "
            "{Runtime: python3.13, Handler: a.b, CodeUri: no-such-folder/}}}",
            "no-such-folder does not exist",
        ),
    ],
)
def test_a_failed_deployment_reports_the_resource_and_the_reason(deploy: Deploy, text: str, reason: str) -> None:
    with pytest.raises(cloudformation.DeploymentError) as error:
        deploy(text)

    assert reason in str(error.value)


def test_the_next_deployment_continues_after_a_failure(deploy: Deploy, name: str) -> None:
    def text(source: str) -> str:
        return f"""
Resources:
  Queue: {{Type: AWS::SQS::Queue}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {{source: {source}}}
      Targets: [{{Id: q, Arn: !GetAtt Queue.Arn}}]
"""

    with pytest.raises(cloudformation.DeploymentError, match=r"CREATE_FAILED: Rule \(AWS::Events::Rule\)"):
        deploy(text("not-a-list"))
    assert status(name) == "CREATE_FAILED"
    queue = resources(name)["Queue"]
    with pytest.raises(cloudformation.DeploymentError, match="UPDATE_FAILED: Rule"):
        deploy(text("not-a-list"))

    deploy(text("[s]"))

    assert status(name) == "UPDATE_COMPLETE"
    assert resources(name)["Queue"] == queue
    assert resources(name)["Rule"]


def test_the_api_returns_stacks_and_their_events(deploy: Deploy, name: str) -> None:
    deploy("Resources: {A: {Type: AWS::SQS::Queue}}")
    stacks = client("cloudformation")

    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    resource = stacks.describe_stack_resource(StackName=name, LogicalResourceId="A")["StackResourceDetail"]

    assert [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(events)] == [
        (name, "CREATE_IN_PROGRESS"),
        ("A", "CREATE_COMPLETE"),
        (name, "CREATE_COMPLETE"),
    ]
    assert resource["ResourceType"] == "AWS::SQS::Queue"
    assert name in {summary["StackName"] for summary in stacks.list_stacks()["StackSummaries"]}
