"""Resource types of S3, DynamoDB, CloudWatch Logs and Systems Manager."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, override

from embedded_aws.services.cloudformation.resource_types.base import Resource

_US_EAST_1 = "us-east-1"


class Bucket(Resource, of="AWS::S3::Bucket", name="BucketName", limit=63, fixed=("ObjectLockEnabled",)):
    """An S3 bucket."""

    @override
    def create(self) -> None:
        if self.has_generated_name:
            self.name = self.name.lower()
        request: dict[str, Any] = {
            "Bucket": self.name,
            "ObjectLockEnabledForBucket": self.properties.get("ObjectLockEnabled", False),
        }
        if self.region != _US_EAST_1:
            request["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        self.call("s3", "create_bucket", request)
        self.set_identity(
            self.name,
            Arn=f"arn:aws:s3:::{self.name}",
            DomainName=f"{self.name}.s3.amazonaws.com",
            RegionalDomainName=f"{self.name}.s3.{self.region}.amazonaws.com",
        )
        self._configure({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        self._configure(old)

    @override
    def delete(self) -> None:
        self.call("s3", "delete_bucket", {"Bucket": self.name})

    def _configure(self, old: dict[str, Any]) -> None:
        for name, (put, to_request, delete) in _BUCKET_SETTINGS.items():
            value = self.properties.get(name)
            if value == old.get(name):
                continue
            if value is not None:
                self.call("s3", put, to_request(value) | {"Bucket": self.name})
            elif delete:
                self.call("s3", delete, {"Bucket": self.name})
            else:
                self.call("s3", put, {"Bucket": self.name, "VersioningConfiguration": {"Status": "Suspended"}})


def _encryption(value: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault"),
            "BucketKeyEnabled": rule.get("BucketKeyEnabled"),
        }
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _lifecycle(value: dict[str, Any]) -> dict[str, Any]:
    return {"LifecycleConfiguration": {"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Return S3's form of a lifecycle rule of CloudFormation; in S3's, a filter is required."""
    converted = rule | {"ID": rule.get("Id"), "Filter": {"Prefix": rule.get("Prefix", "")}}
    converted.pop("Prefix", None)
    if "ExpirationInDays" in rule or "ExpiredObjectDeleteMarker" in rule:
        converted["Expiration"] = {"Days": rule.get("ExpirationInDays")} | rule
    if "NoncurrentVersionExpirationInDays" in rule:
        converted["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if "Transitions" in rule:
        converted["Transitions"] = [
            {"StorageClass": transition["StorageClass"], "Days": transition["TransitionInDays"]}
            for transition in rule["Transitions"]
        ]
    return converted


def _notification(value: dict[str, Any]) -> dict[str, Any]:
    to_eventbridge = "EventBridgeConfiguration" in value
    return {"NotificationConfiguration": {"EventBridgeConfiguration": {}} if to_eventbridge else {}}


def _as(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: value}


# For each property: the operation that sets it, a function that builds the request, the operation that deletes it.
_BUCKET_SETTINGS: dict[str, tuple[str, Callable[[Any], dict[str, Any]], str]] = {
    "BucketEncryption": ("put_bucket_encryption", _encryption, "delete_bucket_encryption"),
    "VersioningConfiguration": ("put_bucket_versioning", _as("VersioningConfiguration"), ""),
    "PublicAccessBlockConfiguration": (
        "put_public_access_block",
        _as("PublicAccessBlockConfiguration"),
        "delete_public_access_block",
    ),
    "OwnershipControls": (
        "put_bucket_ownership_controls",
        _as("OwnershipControls"),
        "delete_bucket_ownership_controls",
    ),
    "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", _lifecycle, "delete_bucket_lifecycle"),
    "NotificationConfiguration": ("put_bucket_notification_configuration", _notification, ""),
    "Tags": ("put_bucket_tagging", lambda tags: {"Tagging": {"TagSet": tags}}, "delete_bucket_tagging"),
}


class BucketPolicy(Resource, of="AWS::S3::BucketPolicy", fixed=("Bucket",)):
    """The policy of an S3 bucket."""

    @override
    def create(self) -> None:
        self._put()
        self.set_identity(self.properties["Bucket"])

    @override
    def update(self, old: dict[str, Any]) -> None:
        self._put()

    @override
    def delete(self) -> None:
        self.call("s3", "delete_bucket_policy", {"Bucket": self.properties["Bucket"]})

    def _put(self) -> None:
        self.call("s3", "put_bucket_policy", self.properties | {"Policy": self.properties["PolicyDocument"]})


class Table(
    Resource,
    of="AWS::DynamoDB::Table",
    name="TableName",
    limit=255,
    fixed=("KeySchema", "LocalSecondaryIndexes"),
):
    """A DynamoDB table."""

    @override
    def create(self) -> None:
        table = self.call("dynamodb", "create_table", self._request())["TableDescription"]
        self.set_identity(self.name, Arn=table["TableArn"], StreamArn=table.get("LatestStreamArn"))
        self._configure({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        changed = {
            name: value
            for name, value in self._request().items()
            if name in ("BillingMode", "SSESpecification", "DeletionProtectionEnabled", "TableClass")
            and self.properties.get(name) != old.get(name)
        }
        if changed:
            self.call("dynamodb", "update_table", changed | {"TableName": self.name})
        self._update_indexes(old)
        self._configure(old)

    @override
    def delete(self) -> None:
        self.call("dynamodb", "delete_table", {"TableName": self.name})

    def _request(self) -> dict[str, Any]:
        request = {name: value for name, value in self.properties.items() if name != "ResourcePolicy"}
        request["TableName"] = self.name
        if encryption := request.get("SSESpecification"):
            request["SSESpecification"] = encryption | {"Enabled": encryption["SSEEnabled"]}
        if stream := request.get("StreamSpecification"):
            request["StreamSpecification"] = stream | {"StreamEnabled": True}
        return request

    def _update_indexes(self, old: dict[str, Any]) -> None:
        """Call UpdateTable once for each added, changed or removed index; an update can change only one index."""
        wanted = {index["IndexName"]: index for index in self.properties.get("GlobalSecondaryIndexes", [])}
        existing = {index["IndexName"]: index for index in old.get("GlobalSecondaryIndexes", [])}
        changes = [{"Delete": {"IndexName": name}} for name, index in existing.items() if wanted.get(name) != index]
        changes += [{"Create": index} for name, index in wanted.items() if existing.get(name) != index]
        for change in changes:
            request = {"TableName": self.name, "GlobalSecondaryIndexUpdates": [change]}
            attributes = {"AttributeDefinitions": self.properties["AttributeDefinitions"]} if "Create" in change else {}
            self.call("dynamodb", "update_table", request | attributes)

    def _configure(self, old: dict[str, Any]) -> None:
        table = {"TableName": self.name}
        for name, operation in (
            ("PointInTimeRecoverySpecification", "update_continuous_backups"),
            ("TimeToLiveSpecification", "update_time_to_live"),
        ):
            if name in self.properties and self.properties[name] != old.get(name):
                self.call("dynamodb", operation, table | {name: self.properties[name]})
        self._set_resource_policy(old)

    def _set_resource_policy(self, old: dict[str, Any]) -> None:
        table = {"ResourceArn": self.attributes["Arn"]}
        if policy := self.properties.get("ResourcePolicy"):
            self.call("dynamodb", "put_resource_policy", table | {"Policy": policy["PolicyDocument"]})
        elif "ResourcePolicy" in old:
            self.call("dynamodb", "delete_resource_policy", table)


class LogGroup(Resource, of="AWS::Logs::LogGroup", name="LogGroupName", limit=512):
    """A CloudWatch Logs log group."""

    @override
    def create(self) -> None:
        self.call("logs", "create_log_group", self.properties | {"logGroupName": self.name})
        self.set_identity(self.name, Arn=f"arn:aws:logs:{self.region}:{self.account}:log-group:{self.name}:*")
        self._set_retention({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        self._set_retention(old)
        group, key = {"logGroupName": self.name}, self.properties.get("KmsKeyId")
        if key and key != old.get("KmsKeyId"):
            self.call("logs", "associate_kms_key", group | {"kmsKeyId": key})
        elif not key and "KmsKeyId" in old:
            self.call("logs", "disassociate_kms_key", group)

    @override
    def delete(self) -> None:
        self.call("logs", "delete_log_group", {"logGroupName": self.name})

    def _set_retention(self, old: dict[str, Any]) -> None:
        group = {"logGroupName": self.name}
        if "RetentionInDays" in self.properties:
            self.call("logs", "put_retention_policy", self.properties | group)
        elif "RetentionInDays" in old:
            self.call("logs", "delete_retention_policy", group)


class QueryDefinition(Resource, of="AWS::Logs::QueryDefinition", name="Name"):
    """A saved query of CloudWatch Logs Insights."""

    @override
    def needs_replacement(self, properties: dict[str, Any]) -> bool:
        return False  # "Update requires: No interruption" applies to its name, too

    @override
    def create(self) -> None:
        answer = self.call("logs", "put_query_definition", self.properties)
        self.set_identity(answer["queryDefinitionId"], QueryDefinitionId=answer["queryDefinitionId"])

    @override
    def update(self, old: dict[str, Any]) -> None:
        query = {"queryDefinitionId": self.physical_resource_id}
        self.call("logs", "put_query_definition", self.properties | query)

    @override
    def delete(self) -> None:
        self.call("logs", "delete_query_definition", {"queryDefinitionId": self.physical_resource_id})


class Parameter(Resource, of="AWS::SSM::Parameter", name="Name"):
    """A Systems Manager parameter."""

    @override
    def create(self) -> None:
        self.call("ssm", "put_parameter", self.properties | {"Name": self.name})
        self._set_attributes()

    @override
    def update(self, old: dict[str, Any]) -> None:
        request = {name: value for name, value in self.properties.items() if name != "Tags"}
        self.call("ssm", "put_parameter", request | {"Name": self.name, "Overwrite": True})
        self._set_attributes()

    @override
    def delete(self) -> None:
        self.call("ssm", "delete_parameter", {"Name": self.name})

    def _set_attributes(self) -> None:
        self.set_identity(self.name, Type=self.properties["Type"], Value=self.properties["Value"])


class Document(Resource, of="AWS::SSM::Document", name="Name", fixed=("DocumentType",)):
    """A Systems Manager document."""

    @override
    def create(self) -> None:
        self.call("ssm", "create_document", self._request())
        self.set_identity(self.name)

    @override
    def needs_replacement(self, properties: dict[str, Any]) -> bool:
        return properties.get("UpdateMethod") != "NewVersion" or super().needs_replacement(properties)

    @override
    def update(self, old: dict[str, Any]) -> None:
        answer = self.call("ssm", "update_document", self._request() | {"DocumentVersion": "$LATEST"})
        version = {"Name": self.name, "DocumentVersion": answer["DocumentDescription"]["DocumentVersion"]}
        self.call("ssm", "update_document_default_version", version)

    @override
    def delete(self) -> None:
        self.call("ssm", "delete_document", {"Name": self.name})

    def _request(self) -> dict[str, Any]:
        content = self.properties["Content"]
        text = content if isinstance(content, str) else json.dumps(content)
        document = {"Name": self.name, "Content": text, "DocumentType": self.properties.get("DocumentType", "Command")}
        return self.properties | document
