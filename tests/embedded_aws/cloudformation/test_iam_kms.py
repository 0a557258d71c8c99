"""Resources of IAM and KMS, deployed by small templates."""

import json
from typing import Any

import pytest

from embedded_aws.services.cloudformation import deploy as cloudformation
from tests.embedded_aws.support.resource_stacks import (
    ACCOUNT,
    ASSUME,
    ROLE,
    Deploy,
    attributes_of,
    client,
    delete_stack,
)


def test_role(deploy: Deploy, name: str) -> None:
    policy = {
        "PolicyName": "inline",
        "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]},
    }
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    properties = {
        "Path": "/some/path/",
        "AssumeRolePolicyDocument": ASSUME,
        "Policies": [policy, policy | {"PolicyName": "other"}],
        "ManagedPolicyArns": [managed],
    }
    iam = client("iam")

    outputs = deploy({"R": {"Type": "AWS::IAM::Role", "Properties": properties}}, attributes_of("R", "Arn", "RoleId"))

    role = iam.get_role(RoleName=outputs["Ref"])["Role"]
    assert outputs["Ref"].startswith(f"{name}-R-")
    assert outputs["Arn"] == role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/some/path/{outputs['Ref']}"
    assert outputs["RoleId"] == role["RoleId"]
    assert role["AssumeRolePolicyDocument"] == ASSUME
    assert iam.list_role_policies(RoleName=outputs["Ref"])["PolicyNames"] == ["inline", "other"]
    attached = iam.list_attached_role_policies(RoleName=outputs["Ref"])["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [managed]

    del properties["ManagedPolicyArns"]
    trust = json.loads(json.dumps(ASSUME).replace("lambda", "states"))
    properties |= {"Policies": [policy], "AssumeRolePolicyDocument": trust}
    again = deploy({"R": {"Type": "AWS::IAM::Role", "Properties": properties}}, attributes_of("R"))

    assert again["Ref"] == outputs["Ref"]
    assert iam.list_role_policies(RoleName=outputs["Ref"])["PolicyNames"] == ["inline"]
    assert iam.list_attached_role_policies(RoleName=outputs["Ref"])["AttachedPolicies"] == []
    assert iam.get_role(RoleName=outputs["Ref"])["Role"]["AssumeRolePolicyDocument"] == trust

    delete_stack(name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=outputs["Ref"])


def test_permissions_boundary_of_a_role(deploy: Deploy) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    boundary = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}

    def boundary_of(**properties: Any) -> Any:
        role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ASSUME, **properties}}
        name = deploy({"B": boundary, "R": role}, attributes_of("R"))["Ref"]
        return client("iam").get_role(RoleName=name)["Role"].get("PermissionsBoundary")

    assert not boundary_of()
    assert "-B-" in boundary_of(PermissionsBoundary={"Ref": "B"})["PermissionsBoundaryArn"]
    assert not boundary_of()


def test_a_managed_policy_that_lists_its_roles(deploy: Deploy, name: str) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    resources = {
        "R": ROLE,
        "M": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document, "Roles": [{"Ref": "R"}]}},
    }
    iam = client("iam")

    outputs = deploy(resources, {"R": {"Ref": "R"}, "M": {"Ref": "M"}})

    assert iam.list_attached_role_policies(RoleName=outputs["R"])["AttachedPolicies"][0]["PolicyArn"] == outputs["M"]

    for number in range(7):
        document["Statement"][0]["Action"] = f"s3:Get{number}*"  # type: ignore[index]
        deploy(resources, {"R": {"Ref": "R"}, "M": {"Ref": "M"}})

    version = iam.get_policy(PolicyArn=outputs["M"])["Policy"]["DefaultVersionId"]
    read = iam.get_policy_version(PolicyArn=outputs["M"], VersionId=version)["PolicyVersion"]["Document"]
    assert read == document
    delete_stack(name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=outputs["M"])


def test_a_managed_policy_that_roles_refer_to(deploy: Deploy) -> None:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    properties: dict[str, Any] = {
        "Description": "d",
        "Path": "/some/path/",
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
    iam = client("iam")

    def deployed(**attached: list[Any]) -> tuple[str, dict[str, list[str]]]:
        """Deploy a policy and roles with the given policies; return the policy's ARN and the policies of each role."""
        roles = {
            name: {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": ASSUME, "ManagedPolicyArns": policies},
            }
            for name, policies in attached.items()
        }
        policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
        outputs = deploy(roles | {"M": policy}, {name: {"Ref": name} for name in ["M", *roles]})
        found = {name: iam.list_attached_role_policies(RoleName=outputs[name])["AttachedPolicies"] for name in roles}
        return outputs["M"], {name: [policy["PolicyArn"] for policy in policies] for name, policies in found.items()}

    arn, attached = deployed(A=[{"Ref": "M"}], B=[{"Fn::GetAtt": ["M", "PolicyArn"]}])

    assert arn.startswith(f"arn:aws:iam::{ACCOUNT}:policy/some/path/")
    assert attached == {"A": [arn], "B": [arn]}
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["Description"], policy["AttachmentCount"]) == ("d", 2)
    with pytest.raises(iam.exceptions.DeleteConflictException, match="Cannot delete a policy attached to entities"):
        iam.delete_policy(PolicyArn=arn)

    statement["Action"] = "s3:PutObject"
    assert deployed(A=[{"Ref": "M"}], B=[]) == (arn, {"A": [arn], "B": []})
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert version["Document"] == properties["PolicyDocument"]
    assert policy["AttachmentCount"] == 1

    properties["Path"] = "/another/path/"
    replaced, attached = deployed(A=[{"Ref": "M"}])

    assert replaced.startswith(f"arn:aws:iam::{ACCOUNT}:policy/another/path/")
    assert attached == {"A": [replaced]}
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=arn)


def test_quotas_of_managed_policies(deploy: Deploy) -> None:
    def policy(characters: int) -> dict[str, Any]:
        def document(resource: str) -> dict[str, Any]:
            return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": resource}}

        # Whitespace does not count.
        room = characters - len(json.dumps(document("arn:aws:s3:::"), separators=(",", ":")))
        properties = {"PolicyDocument": document("arn:aws:s3:::" + "x" * room)}
        return {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}

    def role(policies: int) -> dict[str, Any]:
        arns = [{"Ref": f"M{number}"} for number in range(policies)]
        return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ASSUME, "ManagedPolicyArns": arns}}

    policies = {f"M{number}": policy(6144) for number in range(11)}
    deploy(policies | {"R": role(10)})

    with pytest.raises(cloudformation.DeploymentError, match=r"R \(AWS::IAM::Role\).*quota for PoliciesPerRole: 10"):
        deploy(policies | {"R": role(11)})
    with pytest.raises(cloudformation.DeploymentError, match=r"M0 .*CreatePolicyVersion.*quota for PolicySize: 6144"):
        deploy(policies | {"M0": policy(6145)})
    with pytest.raises(cloudformation.DeploymentError, match=r"N .*CreatePolicy .*quota for PolicySize: 6144"):
        deploy(policies | {"N": policy(6145)})


def test_key(deploy: Deploy, name: str) -> None:
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [root]}
    key = {"Type": "AWS::KMS::Key", "Properties": {"Description": "d", "KeyPolicy": policy, "EnableKeyRotation": True}}
    kms = client("kms")

    outputs = deploy({"K": key}, attributes_of("K", "Arn", "KeyId"))

    described = kms.describe_key(KeyId=outputs["Ref"])["KeyMetadata"]
    assert (described["KeyId"], described["Arn"]) == (outputs["Ref"], outputs["Arn"])
    assert described["Description"] == "d"
    assert kms.get_key_rotation_status(KeyId=outputs["Ref"])["KeyRotationEnabled"] is True
    assert json.loads(kms.get_key_policy(KeyId=outputs["Ref"], PolicyName="default")["Policy"]) == policy

    root["Sid"] = "Changed"
    deploy({"K": key}, attributes_of("K"))

    assert json.loads(kms.get_key_policy(KeyId=outputs["Ref"], PolicyName="default")["Policy"]) == policy
    delete_stack(name)
    assert kms.describe_key(KeyId=outputs["Ref"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
