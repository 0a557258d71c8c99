"""Resource types of ECR."""

from __future__ import annotations

import json
from typing import Any, override

from botocore.exceptions import ClientError

from embedded_aws.services.cloudformation.resource_types.base import Resource


class Repository(
    Resource, of="AWS::ECR::Repository", name="RepositoryName", limit=256, fixed=("EncryptionConfiguration",)
):
    """An ECR repository."""

    @override
    def create(self) -> None:
        if self.has_generated_name:
            self.name = self.name.lower()
        encryption = self.properties.get("EncryptionConfiguration", {})
        request = self.properties | {
            "repositoryName": self.name,
            "encryptionConfiguration": {
                "encryptionType": encryption.get("EncryptionType"),
                "kmsKey": encryption.get("KmsKey"),
            },
        }
        repository = self.call("ecr", "create_repository", request)["repository"]
        self.set_identity(self.name, Arn=repository["repositoryArn"], RepositoryUri=repository["repositoryUri"])
        self._set_policy({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        mutability = self.properties.get("ImageTagMutability", "MUTABLE")
        if mutability != old.get("ImageTagMutability", "MUTABLE"):
            request = {"repositoryName": self.name, "imageTagMutability": mutability}
            self.call("ecr", "put_image_tag_mutability", request)
        self._set_policy(old)

    @override
    def delete(self) -> None:
        self.call("ecr", "delete_repository", {"repositoryName": self.name, "force": "false"})

    def _set_policy(self, old: dict[str, Any]) -> None:
        policy, before = self.properties.get("RepositoryPolicyText"), old.get("RepositoryPolicyText")
        if policy and policy != before:
            self.call("ecr", "set_repository_policy", {"repositoryName": self.name, "policyText": json.dumps(policy)})
        elif before and not policy:
            self.call("ecr", "delete_repository_policy", {"repositoryName": self.name})


class RegistryPolicy(Resource, of="AWS::ECR::RegistryPolicy"):
    """The policy of an ECR registry. A registry has only one policy per region; an existing one is not overwritten."""

    @override
    def create(self) -> None:
        try:
            self.call("ecr", "get_registry_policy", {})
        except ClientError as error:
            if error.response["Error"]["Code"] != "RegistryPolicyNotFoundException":
                raise
        else:
            raise ValueError(f"The registry {self.account} already has a policy.")
        self.update({})
        self.set_identity(self.account, RegistryId=self.account)

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.call("ecr", "put_registry_policy", {"policyText": json.dumps(self.properties["PolicyText"])})

    @override
    def delete(self) -> None:
        self.call("ecr", "delete_registry_policy", {})
