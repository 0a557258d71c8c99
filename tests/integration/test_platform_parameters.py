"""What a platform requires of every stack: links, a permissions boundary and a key for the logs."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.kernel.accounts import REGION
from tests.support.stacks import deployed_with
from tests.support.world import QA, Stage

LOGS_ONLY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}


def resources(stage: Stage, kind: str) -> list[str]:
    """Return the physical IDs of the stage's resources of a type."""
    pages = stage.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stage.stack)
    found = [each for page in pages for each in page["StackResourceSummaries"]]
    return [each["PhysicalResourceId"] for each in found if each["ResourceType"] == kind]


def boundaries(stage: Stage) -> set[str | None]:
    """Return the permissions boundaries of the stage's roles."""
    roles = [stage.client("iam").get_role(RoleName=name)["Role"] for name in resources(stage, "AWS::IAM::Role")]
    return {role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") for role in roles}


def keys(stage: Stage) -> set[str | None]:
    """Return the keys of the stage's log groups."""
    logs, names = stage.client("logs"), resources(stage, "AWS::Logs::LogGroup")
    groups = [logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0] for name in names]
    return {group.get("kmsKeyId") for group in groups}


def described(stage: Stage, application: str) -> dict[str, Any]:
    """Describe a model that does not exist as a function that may describe it."""
    name = f"{application}-qa-20260101-0000-0a1b2c3d"
    sagemaker = stage.trying_as("CreateModelFunction", "sagemaker")
    return dict(sagemaker.describe_model(ModelName=name))


def test_a_boundary_limits_every_role_and_a_key_encrypts_every_log(qa: Stage, application: str) -> None:
    iam, document = qa.client("iam"), json.dumps(LOGS_ONLY)
    boundary = iam.create_policy(PolicyName=f"{application}-boundary", PolicyDocument=document)["Policy"]["Arn"]
    key = qa.client("kms").create_key()["KeyMetadata"]["Arn"]

    with deployed_with(qa, PermissionsBoundary=boundary, LogKeyArn=key):
        assert boundaries(qa) == {boundary}
        assert keys(qa) == {key}
        with pytest.raises(ClientError, match="no permissions boundary allows"):
            described(qa, application)

    assert boundaries(qa) == {None}
    assert keys(qa) == {None}
    with pytest.raises(ClientError, match="Could not find"):
        described(qa, application)


def test_the_outputs_of_a_stage_are_links(qa: Stage) -> None:
    [stack] = qa.client("cloudformation").describe_stacks(StackName=qa.stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    console = f"https://{REGION}.console.aws.amazon.com"

    assert outputs["StateMachineUrl"] == (
        f"{console}/states/home?region={REGION}#/statemachines/view/"
        f"arn:aws:states:{REGION}:{QA}:stateMachine:model-promotion-qa"
    )
    assert (
        outputs["DashboardUrl"] == f"{console}/cloudwatch/home?region={REGION}#dashboards/dashboard/model-promotion-qa"
    )
    assert outputs["PromotionTableUrl"] == f"{console}/dynamodbv2/home?region={REGION}#item-explorer?table={qa.table}"
