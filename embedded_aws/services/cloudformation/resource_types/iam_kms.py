"""Resource types of IAM and KMS."""

from __future__ import annotations

from typing import Any, override

from embedded_aws.services.cloudformation.resource_types.base import Resource

_MOST_POLICY_VERSIONS = 5


class Role(Resource, of="AWS::IAM::Role", name="RoleName", limit=64, fixed=("Path",)):
    """An IAM role."""

    @override
    def create(self) -> None:
        role = self.call("iam", "create_role", self.properties | {"RoleName": self.name})["Role"]
        self.set_identity(role["RoleName"], Arn=role["Arn"], RoleId=role["RoleId"])
        self._set_policies({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        trust = {"RoleName": self.name, "PolicyDocument": self.properties["AssumeRolePolicyDocument"]}
        self.call("iam", "update_assume_role_policy", trust)
        self.call("iam", "update_role", self.properties | {"RoleName": self.name})
        self._set_permissions_boundary(old)
        self._set_policies(old)

    @override
    def delete(self) -> None:
        old, self.properties = self.properties, {}
        self._set_policies(old)
        self.call("iam", "delete_role", {"RoleName": self.name})

    def _set_permissions_boundary(self, old: dict[str, Any]) -> None:
        role = {"RoleName": self.name}
        if boundary := self.properties.get("PermissionsBoundary"):
            self.call("iam", "put_role_permissions_boundary", role | {"PermissionsBoundary": boundary})
        elif "PermissionsBoundary" in old:
            self.call("iam", "delete_role_permissions_boundary", role)

    def _set_policies(self, old: dict[str, Any]) -> None:
        role = {"RoleName": self.name}
        inline = self.properties.get("Policies", [])
        for policy in inline:
            # IAM accepts an inline policy without a version; moto does not.
            document = {"Version": "2012-10-17"} | policy["PolicyDocument"]
            self.call("iam", "put_role_policy", role | policy | {"PolicyDocument": document})
        for name in {policy["PolicyName"] for policy in old.get("Policies", [])} - {p["PolicyName"] for p in inline}:
            self.call("iam", "delete_role_policy", role | {"PolicyName": name})
        attached, before = set(self.properties.get("ManagedPolicyArns", [])), set(old.get("ManagedPolicyArns", []))
        for arn in attached - before:
            self.call("iam", "attach_role_policy", role | {"PolicyArn": arn})
        for arn in before - attached:
            self.call("iam", "detach_role_policy", role | {"PolicyArn": arn})


class ManagedPolicy(Resource, of="AWS::IAM::ManagedPolicy", name="ManagedPolicyName", fixed=("Path", "Description")):
    """An IAM managed policy."""

    @override
    def create(self) -> None:
        arn = self.call("iam", "create_policy", self.properties | {"PolicyName": self.name})["Policy"]["Arn"]
        self.set_identity(arn, PolicyArn=arn)
        self._attach({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        policy = {"PolicyArn": self.physical_resource_id}
        versions = self.call("iam", "list_policy_versions", policy)["Versions"]
        if len(versions) == _MOST_POLICY_VERSIONS:
            oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda version: version["CreateDate"])
            self.call("iam", "delete_policy_version", policy | {"VersionId": oldest["VersionId"]})
        document = {"PolicyDocument": self.properties["PolicyDocument"], "SetAsDefault": True}
        self.call("iam", "create_policy_version", policy | document)
        self._attach(old)

    @override
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
    """A KMS key."""

    @override
    def create(self) -> None:
        key = self.call("kms", "create_key", self.properties | {"Policy": self.properties.get("KeyPolicy")})[
            "KeyMetadata"
        ]
        self.set_identity(key["KeyId"], Arn=key["Arn"], KeyId=key["KeyId"])
        self._set_rotation()

    @override
    def update(self, old: dict[str, Any]) -> None:
        key = {"KeyId": self.physical_resource_id}
        policy = {"PolicyName": "default", "Policy": self.properties["KeyPolicy"]}
        self.call("kms", "put_key_policy", key | policy)
        self.call("kms", "update_key_description", key | {"Description": self.properties.get("Description", "")})
        self._set_rotation()

    @override
    def delete(self) -> None:
        self.call("kms", "schedule_key_deletion", self.properties | {"KeyId": self.physical_resource_id})

    def _set_rotation(self) -> None:
        rotates = str(self.properties.get("EnableKeyRotation", False)).lower() == "true"
        operation = "enable_key_rotation" if rotates else "disable_key_rotation"
        self.call("kms", operation, {"KeyId": self.physical_resource_id})
