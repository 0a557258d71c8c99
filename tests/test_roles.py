"""The trust policies, passed roles and managed policies in the translated templates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import templates
from embedded_aws.services.cloudformation.transform import transform
from sandbox import stacks
from tests.linter.project import listed

UPLOADED = {"Bucket": "bucket", "Key": "key"}


def translated(name: str) -> dict[str, Any]:
    """Return the resources of a template after SAM's translation, with code and definition in a bucket."""
    document = templates.load((stacks.ROOT / name).read_text())
    document.get("Globals", {}).get("Function", {})["CodeUri"] = UPLOADED
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = UPLOADED
    resources: dict[str, Any] = transform(document, {}, accounts.REGION)["Resources"]
    return resources


STACKS = {name: translated(name) for name in ("template.yaml", "application.yaml", "upstream.yaml")}
TRUSTS = {
    f"{template}: {name}": resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    for template, resources in STACKS.items()
    for name, resource in resources.items()
    if resource["Type"] == "AWS::IAM::Role"
}
FUNCTIONS = {role for role, statements in TRUSTS.items() if "lambda.amazonaws.com" in str(statements)}


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every statement of every policy in `value`."""
    if isinstance(value, list):
        for item in value:
            yield from statements(item)
    elif isinstance(value, dict):
        if "Effect" in value:
            yield value
        for item in value.values():
            yield from statements(item)


def test_every_role_is_of_a_function_or_of_a_known_service_or_account() -> None:
    assert {role.split(": ")[1] for role in TRUSTS.keys() - FUNCTIONS} == {
        "PromotionRole",
        "StartRole",
        "ServingRole",
        "RunbookRole",
        "ForwardingRole",
        "ReaderRole",
    }


@pytest.mark.parametrize("role", sorted(TRUSTS.keys() - FUNCTIONS))
def test_a_role_trusts_one_principal_for_one_source_or_with_an_external_id(role: str) -> None:
    (trust,) = TRUSTS[role]
    ((kind, principal),) = trust["Principal"].items()
    equals = trust["Condition"]["StringEquals"]
    sources = {**trust["Condition"].get("ArnLike", {}), **trust["Condition"].get("ArnEquals", {})}

    assert trust["Action"] == "sts:AssumeRole"
    if kind == "Service":
        assert isinstance(principal, str)
        assert equals == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert sources["aws:SourceArn"]
    else:
        assert kind == "AWS"
        assert equals.keys() == {"sts:ExternalId"}
        assert sources["aws:PrincipalArn"]


@pytest.mark.parametrize("role", sorted(FUNCTIONS))
def test_the_role_of_a_function_trusts_only_lambda(role: str) -> None:
    (trust,) = TRUSTS[role]

    assert trust["Action"] == ["sts:AssumeRole"]
    assert trust["Principal"] == {"Service": ["lambda.amazonaws.com"]}


def test_a_role_is_passed_by_name_or_serving_path_and_only_to_the_service_that_it_trusts() -> None:
    passing = [each for each in statements(STACKS["template.yaml"]) if "iam:PassRole" in str(each["Action"])]
    serving = STACKS["application.yaml"]["ServingRole"]
    assert serving["Properties"]["Path"] == {"Fn::Sub": "/model-promotion/${Stage}/serving/"}
    arn = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/model-promotion/${Stage}/serving/*"
    roles = {
        json.dumps({"Fn::Sub": arn}): serving,
        json.dumps({"Fn::GetAtt": ["RunbookRole", "Arn"]}): STACKS["template.yaml"]["RunbookRole"],
    }

    assert {json.dumps(statement["Resource"]) for statement in passing} == roles.keys()
    for statement in passing:
        role = roles[json.dumps(statement["Resource"])]
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Action"] == "iam:PassRole"
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": trust["Principal"]["Service"]}}


MANAGED_POLICIES = {
    name: resource["Properties"]
    for name, resource in STACKS["template.yaml"].items()
    if resource["Type"] == "AWS::IAM::ManagedPolicy"
}


def holders(policy: str) -> set[str]:
    """Return the roles that a managed policy is attached to."""
    return {
        name
        for name, resource in STACKS["template.yaml"].items()
        if resource["Type"] == "AWS::IAM::Role"
        and {"Ref": policy} in resource["Properties"].get("ManagedPolicyArns", [])
    }


def test_a_function_has_managed_policies_its_own_policy_and_those_for_its_logs_and_traces() -> None:
    role = STACKS["template.yaml"]["RollBackEndpointFunctionRole"]["Properties"]
    basic, traces, *managed = role["ManagedPolicyArns"]
    (own,) = role["Policies"]

    assert basic.endswith(":aws:policy/service-role/AWSLambdaBasicExecutionRole")
    assert traces.endswith(":aws:policy/AWSXrayWriteOnlyAccess")
    assert managed == [{"Ref": name} for name in ("ReadEndpointState", "ScaleEndpoints", "UpdateEndpoints")]
    deletes = ["sagemaker:DeleteEndpoint", "sagemaker:DeleteInferenceComponent"]
    assert [each["Action"] for each in statements(own)] == [deletes, "sagemaker:UpdateEndpoint"]
    assert role["Path"] == {"Fn::Sub": "/model-promotion/${Stage}/"}


@pytest.mark.parametrize("policy", MANAGED_POLICIES)
def test_a_managed_policy_is_shared_and_attached_only_by_its_roles(policy: str) -> None:
    assert len(holders(policy)) > 1
    assert MANAGED_POLICIES[policy].keys() == {"Description", "Path", "PolicyDocument"}


def test_no_role_is_granted_a_permission_twice() -> None:
    for name, resource in STACKS["template.yaml"].items():
        if resource["Type"] == "AWS::IAM::Role":
            own = resource["Properties"].get("Policies", [])
            managed = [properties for policy, properties in MANAGED_POLICIES.items() if name in holders(policy)]
            grants = [
                (action, json.dumps([on, each.get("Condition")], sort_keys=True))
                for each in statements([own, managed])
                for action in listed(each["Action"])
                for on in listed(each["Resource"])
            ]
            assert len(grants) == len(set(grants)), name


def test_a_serving_role_can_join_a_subnet_that_another_account_shares() -> None:
    text = json.dumps(STACKS["application.yaml"]["ServingRole"])

    for kind in ("subnet", "security-group"):
        assert f"arn:${{AWS::Partition}}:ec2:${{AWS::Region}}:*:{kind}/*" in text
    # The network interfaces are the account's own.
    assert "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*" in text
