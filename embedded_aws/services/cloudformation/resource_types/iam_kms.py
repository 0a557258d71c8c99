"""IAM and KMS."""

from __future__ import annotations

import functools
import json
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import DeleteConflictException, LimitExceededException
from moto.iam.models import AWSManagedPolicy, IAMBackend

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudformation.resource_types.base import Resource

_MOST_POLICY_VERSIONS = 5
# Quotas of managed policies, of which the second counts no white space (reference_iam-quotas).
_POLICIES_PER_ROLE = 10
_POLICY_SIZE = 6144
_AWS_POLICY = "arn:aws:iam::aws:policy"

patches = Patches("5.2.5")
_attach_in_moto = IAMBackend.attach_role_policy
_create_in_moto = IAMBackend.create_policy
_create_version_in_moto = IAMBackend.create_policy_version
_delete_in_moto = IAMBackend.delete_policy


@functools.cache
def _aws_policies() -> dict[str, dict[str, Any]]:
    policies: dict[str, dict[str, Any]] = json.loads(aws_managed_policies_data)
    return policies


def aws_policy_arns() -> dict[str, str]:
    """The ARN of every policy that AWS itself manages, by its name."""
    return {name: f"{_AWS_POLICY}{policy['Path']}{name}" for name, policy in _aws_policies().items()}


@patches.replaces(
    IAMBackend,
    "attach_role_policy",
    "moto loads all AWS managed policies (in seconds) or none, and has no quota. Here each is loaded on demand.",
)
def _attach_role_policy(self: IAMBackend, policy_arn: str, role_name: str) -> None:
    name = policy_arn.rpartition("/")[2]
    if policy_arn not in self.managed_policies and aws_policy_arns().get(name) == policy_arn:
        policy = AWSManagedPolicy.from_data(name, self.account_id, self.region_name, _aws_policies()[name])
        self.managed_policies[policy.arn] = policy
    attached = self.get_role(role_name).managed_policies
    if policy_arn in attached:
        return
    if len(attached) == _POLICIES_PER_ROLE:
        raise LimitExceededException(f"Cannot exceed quota for PoliciesPerRole: {_POLICIES_PER_ROLE}")
    _attach_in_moto(self, policy_arn, role_name)


@patches.replaces(IAMBackend, "create_policy", "moto does not limit the size of a managed policy.")
def _create_policy(self: IAMBackend, description: str, path: str, policy_document: str, *name_and_tags: Any) -> Any:
    _check_size(policy_document)
    return _create_in_moto(self, description, path, policy_document, *name_and_tags)


@patches.replaces(IAMBackend, "create_policy_version", "moto does not limit the size of a managed policy.")
def _create_policy_version(self: IAMBackend, policy_arn: str, policy_document: str, set_as_default: bool) -> Any:
    _check_size(policy_document)
    return _create_version_in_moto(self, policy_arn, policy_document, set_as_default)


def _check_size(document: str) -> None:
    if len("".join(document.split())) > _POLICY_SIZE:
        raise LimitExceededException(f"Cannot exceed quota for PolicySize: {_POLICY_SIZE}")


@patches.replaces(IAMBackend, "delete_policy", "moto deletes a policy that is attached.")
def _delete_policy(self: IAMBackend, policy_arn: str) -> None:
    if self.get_policy(policy_arn).attachment_count:
        raise DeleteConflictException("Cannot delete a policy attached to entities.")
    _delete_in_moto(self, policy_arn)


class Role(Resource, of="AWS::IAM::Role", name="RoleName", limit=64, fixed=("Path",)):
    def create(self) -> None:
        role = self.call("iam", "create_role", self.properties | {"RoleName": self.name})["Role"]
        self.made(role["RoleName"], Arn=role["Arn"], RoleId=role["RoleId"])
        self._grant({})

    def update(self, old: dict[str, Any]) -> None:
        trust = {"RoleName": self.name, "PolicyDocument": self.properties["AssumeRolePolicyDocument"]}
        self.call("iam", "update_assume_role_policy", trust)
        self.call("iam", "update_role", self.properties | {"RoleName": self.name})
        self._limit(old)
        self._grant(old)

    def delete(self) -> None:
        old, self.properties = self.properties, {}
        self._grant(old)
        self.call("iam", "delete_role", {"RoleName": self.name})

    def _limit(self, old: dict[str, Any]) -> None:
        role = {"RoleName": self.name}
        if boundary := self.properties.get("PermissionsBoundary"):
            self.call("iam", "put_role_permissions_boundary", role | {"PermissionsBoundary": boundary})
        elif "PermissionsBoundary" in old:
            self.call("iam", "delete_role_permissions_boundary", role)

    def _grant(self, old: dict[str, Any]) -> None:
        role = {"RoleName": self.name}
        inline = self.properties.get("Policies", [])
        for policy in inline:
            # IAM takes a role's own policy without a version; moto does not.
            document = {"Version": "2012-10-17"} | policy["PolicyDocument"]
            self.call("iam", "put_role_policy", role | policy | {"PolicyDocument": document})
        for name in {policy["PolicyName"] for policy in old.get("Policies", [])} - {p["PolicyName"] for p in inline}:
            self.call("iam", "delete_role_policy", role | {"PolicyName": name})
        attached, before = set(self.properties.get("ManagedPolicyArns", [])), set(old.get("ManagedPolicyArns", []))
        for arn in attached - before:
            self.call("iam", "attach_role_policy", role | {"PolicyArn": arn})
        for arn in before - attached:
            self.call("iam", "detach_role_policy", role | {"PolicyArn": arn})


class Policy(Resource, of="AWS::IAM::Policy", name="PolicyName"):
    def create(self) -> None:
        for role in self.properties.get("Roles", []):
            self.call("iam", "put_role_policy", self.properties | {"RoleName": role})
        self.made(self.name)

    def update(self, old: dict[str, Any]) -> None:
        self._remove(set(old.get("Roles", [])) - set(self.properties.get("Roles", [])))
        self.create()

    def delete(self) -> None:
        self._remove(set(self.properties.get("Roles", [])))

    def _remove(self, roles: set[str]) -> None:
        for role in roles:
            self.call("iam", "delete_role_policy", {"RoleName": role, "PolicyName": self.name})


class ManagedPolicy(Resource, of="AWS::IAM::ManagedPolicy", name="ManagedPolicyName", fixed=("Path", "Description")):
    def create(self) -> None:
        arn = self.call("iam", "create_policy", self.properties | {"PolicyName": self.name})["Policy"]["Arn"]
        self.made(arn, PolicyArn=arn)
        self._attach({})

    def update(self, old: dict[str, Any]) -> None:
        policy = {"PolicyArn": self.physical_resource_id}
        versions = self.call("iam", "list_policy_versions", policy)["Versions"]
        if len(versions) == _MOST_POLICY_VERSIONS:
            oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda version: version["CreateDate"])
            self.call("iam", "delete_policy_version", policy | {"VersionId": oldest["VersionId"]})
        document = {"PolicyDocument": self.properties["PolicyDocument"], "SetAsDefault": True}
        self.call("iam", "create_policy_version", policy | document)
        self._attach(old)

    def delete(self) -> None:
        policy = {"PolicyArn": self.physical_resource_id}
        old, self.properties = self.properties, {}
        self._attach(old)
        for version in self.call("iam", "list_policy_versions", policy)["Versions"]:
            if not version["IsDefaultVersion"]:
                self.call("iam", "delete_policy_version", policy | {"VersionId": version["VersionId"]})
        self.call("iam", "delete_policy", policy)

    def _attach(self, old: dict[str, Any]) -> None:
        policy = {"PolicyArn": self.physical_resource_id}
        roles, before = set(self.properties.get("Roles", [])), set(old.get("Roles", []))
        for role in roles - before:
            self.call("iam", "attach_role_policy", policy | {"RoleName": role})
        for role in before - roles:
            self.call("iam", "detach_role_policy", policy | {"RoleName": role})


class Key(Resource, of="AWS::KMS::Key", fixed=("KeySpec", "KeyUsage", "MultiRegion", "Origin")):
    def create(self) -> None:
        key = self.call("kms", "create_key", self.properties | {"Policy": self.properties.get("KeyPolicy")})[
            "KeyMetadata"
        ]
        self.made(key["KeyId"], Arn=key["Arn"], KeyId=key["KeyId"])
        self._rotate()

    def update(self, old: dict[str, Any]) -> None:
        key = {"KeyId": self.physical_resource_id}
        policy = {"PolicyName": "default", "Policy": self.properties["KeyPolicy"]}
        self.call("kms", "put_key_policy", key | policy)
        self.call("kms", "update_key_description", key | {"Description": self.properties.get("Description", "")})
        self._rotate()

    def delete(self) -> None:
        self.call("kms", "schedule_key_deletion", self.properties | {"KeyId": self.physical_resource_id})

    def _rotate(self) -> None:
        rotates = str(self.properties.get("EnableKeyRotation", False)).lower() == "true"
        operation = "enable_key_rotation" if rotates else "disable_key_rotation"
        self.call("kms", operation, {"KeyId": self.physical_resource_id})


class Alias(Resource, of="AWS::KMS::Alias", name="AliasName"):
    def create(self) -> None:
        self.call("kms", "create_alias", self.properties)
        self.made(self.name)

    def update(self, old: dict[str, Any]) -> None:
        self.call("kms", "update_alias", self.properties)

    def delete(self) -> None:
        self.call("kms", "delete_alias", {"AliasName": self.name})
