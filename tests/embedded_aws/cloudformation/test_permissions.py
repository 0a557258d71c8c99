"""The permissions that calls to CloudFormation require."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.customers import QA, as_role, client, make_role

TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


def restricted(name: str, *actions: str) -> Any:
    """Return a client of a role that has permission for the stack `name` only."""
    role_arn = make_role(f"{name}-role", QA, "none:none", "lambda.amazonaws.com")
    resource = f"arn:aws:cloudformation:{accounts.REGION}:{QA}:stack/{name}/*"
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    client("iam", QA).put_role_policy(
        RoleName=role_arn.rpartition("/")[2],
        PolicyName="policy",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    return as_role("cloudformation", role_arn)


def test_a_permission_is_for_one_stack_by_its_name(aws: EmbeddedAws, name: str) -> None:
    cloudformation = restricted(name, "cloudformation:DescribeStacks", "cloudformation:CreateStack")

    stack_id = cloudformation.create_stack(StackName=name, TemplateBody=TEMPLATE)["StackId"]
    for given in (name, stack_id):
        assert cloudformation.describe_stacks(StackName=given)["Stacks"][0]["StackId"] == stack_id
    for request in ({"StackName": f"{name}-2"}, {}):
        with pytest.raises(ClientError, match="cloudformation:DescribeStacks"):
            cloudformation.describe_stacks(**request)
    with pytest.raises(ClientError, match="cloudformation:UpdateStack"):
        cloudformation.update_stack(StackName=name, TemplateBody=TEMPLATE)


def test_a_role_for_a_deployment_must_be_passed(aws: EmbeddedAws, name: str) -> None:
    cloudformation = restricted(name, "cloudformation:CreateStack")
    deployment = make_role(f"{name}-deployment", QA, "sns:*", "cloudformation.amazonaws.com")

    with pytest.raises(ClientError, match="iam:PassRole"):
        cloudformation.create_stack(StackName=name, TemplateBody=TEMPLATE, RoleARN=deployment)
