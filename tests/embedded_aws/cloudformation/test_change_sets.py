"""Change sets, and the programs that deploy with them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.resource_stacks import client, delete_stack

FAST = {"Delay": 1, "MaxAttempts": 60}
FIRST = """
Parameters: {Seconds: {Type: Number, Default: 60}, Name: {Type: String}}
Resources:
  Kept: {Type: AWS::SQS::Queue}
  Updated: {Type: AWS::SQS::Queue, Properties: {MessageRetentionPeriod: !Ref Seconds}}
  Replaced: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Name}}
  Following:
    Type: AWS::SQS::Queue
    Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Replaced.Arn, maxReceiveCount: 3}}
  Removed: {Type: AWS::SQS::Queue}
"""
SECOND = FIRST.replace("Removed:", "Added:")


@pytest.fixture
def stacks(aws: EmbeddedAws) -> Any:
    return client("cloudformation")


def create(stacks: Any, name: str, kind: str, body: str, change_set: str = "first", **values: str) -> dict[str, Any]:
    """Create a change set, and return its description."""
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    created = stacks.create_change_set(
        StackName=name, ChangeSetName=change_set, ChangeSetType=kind, TemplateBody=body, Parameters=parameters
    )
    described: dict[str, Any] = stacks.describe_change_set(ChangeSetName=created["Id"], StackName=name)
    return described


def changes(description: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    found = [change["ResourceChange"] for change in description["Changes"]]
    return {change["LogicalResourceId"]: (change["Action"], change.get("Replacement")) for change in found}


def execute(stacks: Any, name: str, kind: str, change_set: str = "first") -> None:
    stacks.execute_change_set(ChangeSetName=change_set, StackName=name)
    stacks.get_waiter(f"stack_{kind.lower()}_complete").wait(StackName=name, WaiterConfig=FAST)


def test_a_change_set_creates_a_stack_when_it_is_executed(stacks: Any, name: str) -> None:
    described = create(stacks, name, "CREATE", FIRST, Name=f"{name}-a")

    [stack] = stacks.describe_stacks(StackName=name)["Stacks"]
    assert (stack["StackStatus"], stack["StackId"]) == ("REVIEW_IN_PROGRESS", described["StackId"])
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert set(changes(described).values()) == {("Add", None)}
    assert client("sqs").list_queues(QueueNamePrefix=name).get("QueueUrls") is None

    execute(stacks, name, "CREATE")

    assert client("sqs").get_queue_url(QueueName=f"{name}-a")
    described = stacks.describe_change_set(ChangeSetName="first", StackName=name)
    assert described["ExecutionStatus"] == "EXECUTE_COMPLETE"
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        stacks.execute_change_set(ChangeSetName="first", StackName=name)
    with pytest.raises(ClientError, match="already exists and cannot be created again"):
        create(stacks, name, "CREATE", FIRST, "again", Name=name)
    delete_stack(name)


def test_a_change_set_lists_what_an_update_adds_modifies_replaces_and_removes(stacks: Any, name: str) -> None:
    create(stacks, name, "CREATE", FIRST, Name=f"{name}-a")
    execute(stacks, name, "CREATE")
    create(stacks, name, "UPDATE", FIRST, "outdated", Name=f"{name}-b")

    described = create(stacks, name, "UPDATE", SECOND, "second", Name=f"{name}-c", Seconds="90")

    assert changes(described) == {
        "Updated": ("Modify", "False"),
        "Replaced": ("Modify", "True"),
        "Following": ("Modify", "False"),
        "Added": ("Add", None),
        "Removed": ("Remove", None),
    }
    execute(stacks, name, "UPDATE", "second")
    assert client("sqs").get_queue_url(QueueName=f"{name}-c")
    with pytest.raises(ClientError, match="NonExistentQueue"):
        client("sqs").get_queue_url(QueueName=f"{name}-a")
    # Executing one change set deletes the others.
    with pytest.raises(ClientError, match="ChangeSetNotFound"):
        stacks.execute_change_set(ChangeSetName="outdated", StackName=name)
    delete_stack(name)


def test_a_change_set_without_changes_has_failed(stacks: Any, name: str) -> None:
    create(stacks, name, "CREATE", FIRST, Name=f"{name}-a")
    execute(stacks, name, "CREATE")

    described = create(stacks, name, "UPDATE", FIRST, "same", Name=f"{name}-a")

    assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "The submitted information didn't contain changes." in described["StatusReason"]
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        stacks.execute_change_set(ChangeSetName="same", StackName=name)
    stacks.delete_change_set(ChangeSetName="same", StackName=name)
    summaries = stacks.list_change_sets(StackName=name)["Summaries"]
    assert [summary["ChangeSetName"] for summary in summaries] == ["first"]
    delete_stack(name)


def test_a_change_set_for_a_stack_that_does_not_exist_is_refused(stacks: Any, name: str) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        create(stacks, name, "UPDATE", FIRST, Name=name)
    with pytest.raises(ClientError, match="does not exist"):
        stacks.describe_stacks(StackName=name)


ROLE = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}}


@pytest.mark.parametrize(
    ("document", "given", "missing"),
    [
        ({"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": ROLE}}}, [], "CAPABILITY_IAM"),
        (
            {"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": ROLE | {"RoleName": "r"}}}},
            ["CAPABILITY_IAM"],
            "CAPABILITY_NAMED_IAM",
        ),
        (
            {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"T": {"Type": "AWS::SNS::Topic"}}},
            ["CAPABILITY_NAMED_IAM"],
            "CAPABILITY_AUTO_EXPAND",
        ),
    ],
)
def test_iam_resources_and_macros_are_acknowledged(
    stacks: Any, name: str, document: dict[str, Any], given: list[str], missing: str
) -> None:
    with pytest.raises(ClientError, match=rf"InsufficientCapabilities.*\[{missing}\]"):
        stacks.create_stack(StackName=name, TemplateBody=json.dumps(document), Capabilities=given)


def test_a_template_in_a_request_is_limited(stacks: Any, name: str) -> None:
    long = json.dumps({"Description": "x" * 51_200, "Resources": {"T": {"Type": "AWS::SNS::Topic"}}})

    with pytest.raises(ClientError, match="less than or equal to 51200"):
        stacks.create_stack(StackName=name, TemplateBody=long)


SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Greet:
    Type: AWS::Serverless::Function
    Properties: {Handler: index.handler, Runtime: python3.13, InlineCode: 'def handler(event, context): return event'}
Outputs: {Function: {Value: !Ref Greet}}
"""


def test_sam_deploys_a_stack_and_finds_no_changes(aws: EmbeddedAws, name: str, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(SAM)
    environment = os.environ | {
        "AWS_CONFIG_FILE": str(aws.config_file),
        "AWS_PROFILE": "qa",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",
    }
    sam = Path(sys.executable).with_name("sam")
    arguments = ["deploy", "--stack-name", name, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"]

    def run() -> subprocess.CompletedProcess[str]:
        command = [str(sam), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    first, second = run(), run()

    assert first.returncode == 0, first.stdout + first.stderr
    [stack] = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    function = client("lambda").invoke(FunctionName=stack["Outputs"][0]["OutputValue"], Payload='"hello"')
    assert function["Payload"].read() == b'"hello"'
    assert second.returncode == 1
    assert f"No changes to deploy. Stack {name} is up to date" in second.stderr
    delete_stack(name)
