"""The permissions that calls to CloudFormation require.

The service authorization reference has the stack as the resource of all of them. The embedded AWS
creates the resources of a stack with all permissions, not with those of the caller (see `stacks`).
"""

from __future__ import annotations

from moto.cloudformation.models import cloudformation_backends

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, pass_role

_OF_STACKS = {
    "CreateChangeSet",
    "DescribeChangeSet",
    "ExecuteChangeSet",
    "DeleteChangeSet",
    "ListChangeSets",
    "GetTemplateSummary",
    "CreateStack",
    "UpdateStack",
    "DeleteStack",
    "DescribeStacks",
    "DescribeStackEvents",
    "DescribeStackResource",
    "DescribeStackResources",
    "ListStackResources",
    "GetTemplate",
}


def _required(call: Call) -> Needs:
    if call.operation not in _OF_STACKS:
        return
    role_arn = call.parameters.get("RoleARN")
    resource = _arn(call)
    about = {"cloudformation:rolearn": role_arn, "cloudformation:changesetname": call.parameters.get("ChangeSetName")}
    yield Need(f"cloudformation:{call.operation}", (resource,), about)
    yield from pass_role(role_arn, "cloudformation.amazonaws.com", resource)


def _arn(call: Call) -> str:
    """Return the ARN of a stack, which ends with an ID that CloudFormation chooses; all stacks if none is named."""
    name = call.parameters.get("StackName")
    if not name or name.startswith("arn:"):
        return name or call.arn("cloudformation", "stack/*/*")
    stacks = cloudformation_backends[call.account][call.region].stacks.values()
    known = next((stack.stack_id for stack in list(stacks) if stack.name == name), None)
    return str(known or call.arn("cloudformation", f"stack/{name}/new"))


PERMISSIONS = {"cloudformation": Permissions(_required)}
