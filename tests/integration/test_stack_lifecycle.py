"""The stacks are created again after a failure or a removal, and are removed in their order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel.accounts import REGION
from embedded_aws.services.cloudformation import deploy as cloudformation
from embedded_aws.services.cloudformation import templates
from sandbox import stacks as project
from tests.support.waiting import wait_for
from tests.support.world import DEV, QA

RETAINED = ("ArtifactBucket", "ImageRepository", "StageKey", "PromotionTable")
BROKEN = {"Type": "AWS::SQS::QueuePolicy", "DependsOn": list(RETAINED), "Properties": {"Queues": ["no"]}}


def create(name: str, *, broken: bool) -> str:
    """Create a stack of the resources of template.yaml that keep data; return its status at the end."""
    document = templates.load((project.ROOT / "template.yaml").read_text())
    resources = {logical_id: document["Resources"][logical_id] for logical_id in RETAINED}
    resources |= {"Broken": BROKEN} if broken else {}
    body = {"Parameters": document["Parameters"], "Conditions": document["Conditions"], "Resources": resources}
    given = {"Stage": name, "UpstreamAccountId": DEV, "UpstreamBuckets": "bucket"}
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    stacks = client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(body), Parameters=parameters)

    def status() -> str:
        return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    wait_for(lambda: not status().endswith("IN_PROGRESS"))
    return status()


def client(service: str) -> Any:
    return clients.client_as_operator(service, QA)


def delete(name: str) -> None:
    cloudformation.delete(stack_name=name, account=QA)


def test_a_stage_whose_creation_failed_can_be_created_again(aws: EmbeddedAws, name: str) -> None:
    assert create(name, broken=True) == "ROLLBACK_COMPLETE"
    delete(name)

    assert create(name, broken=False) == "CREATE_COMPLETE"


def test_the_data_of_a_deleted_stage_remains_until_it_is_removed(aws: EmbeddedAws, name: str) -> None:
    bucket = f"model-promotion-{name}-{QA}-{REGION}"
    assert create(name, broken=False) == "CREATE_COMPLETE"
    ids = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    }
    client("s3").put_object(Bucket=bucket, Key="models/a", Body=b"a")
    delete(name)

    # The second create fails on the names, and its rollback leaves alone what it did not create.
    assert create(name, broken=False) == "ROLLBACK_COMPLETE"
    assert client("s3").get_object(Bucket=bucket, Key="models/a")["Body"].read() == b"a"
    assert client("dynamodb").describe_table(TableName=ids["PromotionTable"])
    delete(name)

    _remove_data(ids)
    assert create(name, broken=False) == "CREATE_COMPLETE"


def _remove_data(ids: dict[str, str]) -> None:
    """Remove what a deleted stage leaves, as docs/deploying.md describes."""
    s3, dynamodb = client("s3"), client("dynamodb")
    for version in s3.list_object_versions(Bucket=ids["ArtifactBucket"]).get("Versions", []):
        s3.delete_object(Bucket=ids["ArtifactBucket"], Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=ids["ArtifactBucket"])
    client("ecr").delete_repository(repositoryName=ids["ImageRepository"], force=True)
    with pytest.raises(ClientError, match="DeletionProtection"):
        dynamodb.delete_table(TableName=ids["PromotionTable"])
    dynamodb.update_table(TableName=ids["PromotionTable"], DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=ids["PromotionTable"])
    client("kms").schedule_key_deletion(KeyId=ids["StageKey"], PendingWindowInDays=30)


def test_a_deployment_without_changes_succeeds(aws: EmbeddedAws, name: str, tmp_path: Path) -> None:
    """`make deploy` runs `sam deploy` with the options of an environment."""
    samconfig, template = project.ROOT / "samconfig.toml", tmp_path / "template.yaml"
    environments = [value for value in tomllib.loads(samconfig.read_text()).values() if isinstance(value, dict)]
    assert {each["deploy"]["parameters"].get("fail_on_empty_changeset") for each in environments} == {False}
    template.write_text("Resources: {Queue: {Type: AWS::SQS::Queue}}")
    command = [str(Path(sys.executable).with_name("sam")), "deploy", "--no-confirm-changeset", "--config-env", "qa"]
    command += ["--config-file", str(samconfig), "--stack-name", name, "--template-file", str(template)]
    environment = {"AWS_CONFIG_FILE": str(aws.config_file), "AWS_PROFILE": "qa", "SAM_CLI_TELEMETRY": "0"}

    def run() -> subprocess.CompletedProcess[str]:
        given = os.environ | environment | {"SAM_CLI_POLL_DELAY": "0.5"}
        return subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)  # noqa: S603

    first, second = run(), run()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Successfully created/updated stack" in first.stdout
    assert f"No changes to deploy. Stack {name} is up to date" in second.stdout + second.stderr
    delete(name)


def test_a_stage_is_deleted_after_the_stack_that_lets_the_next_one_read_it(
    aws: EmbeddedAws, name: str, tmp_path: Path
) -> None:
    """The bus of the stage has the rules of that stack."""
    stage, upstream = name, f"{name}-upstream"
    template = tmp_path / "template.yaml"
    template.write_text(f"Resources: {{Bus: {{Type: AWS::Events::EventBus, Properties: {{Name: {name}}}}}}}")
    cloudformation.deploy(template=template, stack_name=stage, account=QA, parameters={})
    client("events").create_event_bus(Name=f"model-promotion-{name}")
    cloudformation.deploy(
        template=project.ROOT / "upstream.yaml",
        stack_name=upstream,
        account=QA,
        parameters={"DownstreamStage": name, "DownstreamAccountId": QA, "SourceBusName": name},
    )

    with pytest.raises(cloudformation.DeploymentError, match="EventBus can't be deleted since it has rules"):
        delete(stage)

    delete(upstream)
    delete(stage)
    with pytest.raises(ClientError, match="does not exist"):
        client("cloudformation").describe_stacks(StackName=stage)
