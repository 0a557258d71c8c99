"""The permissions that calls to S3 require: for the object, for the source of a copy, and for the KMS keys of both.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html ("Required permissions for
Amazon S3 API operations"), and the section "Permissions" of each operation in the API reference.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from moto.s3.models import FakeDeleteMarker, s3_backends

from embedded_aws.iam.attached_policies import owner
from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, key
from embedded_aws.services.s3 import objects

_WRITING = {"PutObject", "CopyObject", "CreateMultipartUpload"}
# "CreateMultipartUpload, UploadPart, and UploadPartCopy ... don't accept conditional headers", so that policies exempt
# them with s3:ObjectCreationOperation (conditional-writes-enforce).
_CREATING = {"PutObject", "CopyObject", "CompleteMultipartUpload"}
_OF_UPLOADS = {"UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "ListParts"}
_NAMES = {
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListBuckets": "ListAllMyBuckets",
}
_KNOWN = {
    *_NAMES,
    "PutObject",
    "AbortMultipartUpload",
    "GetObject",
    "HeadObject",
    "GetObjectAttributes",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObjectTagging",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketLocation",
    "GetBucketVersioning",
    "GetBucketTagging",
}
_OF_VERSIONS = {
    "GetObject",
    "GetObjectAttributes",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObject",
    "DeleteObjectTagging",
}


class _Call:
    """A request to S3, with its bucket and the object's key."""

    def __init__(self, call: Call) -> None:
        self.operation = call.operation
        self.bucket = str(call.parameters.get("Bucket", ""))
        self.name = str(call.parameters.get("Key", ""))
        self.query = call.query
        self.headers = call.headers
        self.body = call.body
        self.account = call.account

    def needs(self) -> Needs:
        operation = self.operation
        if operation == "ListBuckets":
            yield Need("s3:ListAllMyBuckets", ("*",))
        elif operation == "DeleteObjects":
            yield from self._deletions()
        elif operation in ("GetObject", "HeadObject", "GetObjectAttributes"):
            version = self.query.get("versionId")
            yield from self._reading(self.bucket, self.name, version)
            target = _object(self.bucket, self.name, version)
            if target is not None and objects._tagger.get_tag_dict_for_resource(target.arn):
                # "The number of tags, if any, on the object, when you have the relevant permission to read object tags"
                # (API_HeadObject).
                tagging = self._on_object("GetObjectTagging", version)
                yield dataclasses.replace(tagging, header="x-amz-tagging-count")
        elif self.name:
            yield self._on_object(_NAMES.get(operation, operation), self.query.get("versionId"))
            yield from self._for_writing()
        else:
            listing = {
                "s3:prefix": self.query.get("prefix"),
                "s3:delimiter": self.query.get("delimiter"),
                "s3:max-keys": self.query.get("max-keys"),
            }
            yield Need(f"s3:{_NAMES.get(operation, operation)}", (f"arn:aws:s3:::{self.bucket}",), listing)

    def _on_object(self, action: str, version: str | None, bucket: str = "", name: str = "") -> Need:
        versioned = f"{action}Version" if action.endswith("Object") else action.replace("Object", "ObjectVersion")
        of_version = bool(version) and action in _OF_VERSIONS
        context: dict[str, str | list[str] | None] = {
            "s3:versionid": version,
            "s3:x-amz-server-side-encryption": self.headers.get("x-amz-server-side-encryption"),
            "s3:x-amz-server-side-encryption-aws-kms-key-id": self.headers.get(
                "x-amz-server-side-encryption-aws-kms-key-id"
            ),
            "s3:x-amz-server-side-encryption-customer-algorithm": self.headers.get(
                "x-amz-server-side-encryption-customer-algorithm"
            ),
            "s3:x-amz-storage-class": self.headers.get("x-amz-storage-class"),
            "s3:x-amz-acl": self.headers.get("x-amz-acl"),
            "s3:x-amz-copy-source": self.headers.get("x-amz-copy-source"),
        }
        if action == "PutObject":
            context |= {
                "s3:if-match": self.headers.get("if-match"),
                "s3:if-none-match": self.headers.get("if-none-match"),
                "s3:objectcreationoperation": str(self.operation in _CREATING).lower(),
            }
        resource = f"arn:aws:s3:::{bucket or self.bucket}/{name or self.name}"
        return Need(f"s3:{versioned if of_version else action}", (resource,), context)

    def _reading(self, bucket: str, name: str, version: str | None, copies: bool = False) -> Needs:
        yield self._on_object("GetObject", version, bucket, name)
        target = _object(bucket, name, version)
        if target is None:
            # "If you don't have the s3:ListBucket permission, S3 returns 403 Access Denied" for a missing object.
            listing = {"s3:prefix": None, "s3:delimiter": None, "s3:max-keys": None}
            yield Need("s3:ListBucket", (f"arn:aws:s3:::{bucket}",), listing)
            return
        if self.operation == "GetObjectAttributes":
            yield self._on_object("GetObjectAttributes", version, bucket, name)
        # The response to HeadObject has only metadata, of which only the checksum is encrypted ("ChecksumMode").
        # *Assumed*: without the permission for the key, it is denied rather than without the checksum.
        if self.operation != "HeadObject" or self.headers.get("x-amz-checksum-mode"):
            yield from self._key_uses(["Decrypt"], target.kms_key_id, bucket, name, target.bucket_key_enabled)
        if copies and self.operation == "CopyObject" and self._copies_tags(target):
            yield self._on_object("GetObjectTagging", version, bucket, name)
            yield self._on_object("PutObjectTagging", None)

    def _copies_tags(self, source: Any) -> bool:
        copied = self.headers.get("x-amz-tagging-directive", "COPY") == "COPY"
        return copied and bool(objects._tagger.get_tag_dict_for_resource(source.arn))

    def _for_writing(self) -> Needs:
        if source := self.headers.get("x-amz-copy-source"):
            path, _, version = source.partition("?versionId=")
            bucket, _, name = urllib.parse.unquote_plus(path).removeprefix("/").partition("/")
            yield from self._reading(bucket, name, urllib.parse.unquote(version) or None, copies=True)
        if self.headers.get("x-amz-tagging"):
            yield self._on_object("PutObjectTagging", None)
        if self.operation in _WRITING:
            yield from self._encryption()
        elif self.operation in _OF_UPLOADS:
            yield from self._upload_decryption()

    def _encryption(self) -> Needs:
        bucket = _bucket(self.bucket)
        if bucket is None:
            return
        headers = [
            self.headers.get(f"x-amz-server-side-encryption{part}")
            for part in ("", "-aws-kms-key-id", "-bucket-key-enabled")
        ]
        encryption = objects.encryption_of(bucket, self.account, *headers)
        # "Multipart upload and permissions" (mpuAndPermissions): both, because S3 decrypts parts to assemble them.
        uses = ["GenerateDataKey", "Decrypt"] if self.operation == "CreateMultipartUpload" else ["GenerateDataKey"]
        yield from self._key_uses(uses, encryption.kms_key_id, self.bucket, self.name, encryption.bucket_key)

    def _upload_decryption(self) -> Needs:
        bucket = _bucket(self.bucket)
        upload = bucket.multiparts.get(self.query.get("uploadId", "")) if bucket else None
        if upload is not None:
            encryption = upload.encryption
            yield from self._key_uses(["Decrypt"], encryption.kms_key_id, self.bucket, self.name, encryption.bucket_key)

    def _key_uses(self, actions: list[str], key_id: str | None, bucket: str, name: str, bucket_key: Any) -> Needs:
        model = _bucket(bucket)
        if not key_id or model is None:
            return
        # "Changes to note before enabling an S3 Bucket Key" (bucket-key): the context is the bucket's ARN.
        arn = f"arn:aws:s3:::{bucket}" if bucket_key else f"arn:aws:s3:::{bucket}/{name}"
        for action in actions:
            yield key(action, key_id, self.account, model.region_name, "s3", {"aws:s3:arn": arn})

    def _deletions(self) -> Iterator[Need]:
        for element in ElementTree.fromstring(self.body).iter():  # noqa: S314  entities are not expanded
            if element.tag.rpartition("}")[2] == "Object":
                of_object = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
                yield self._on_object("DeleteObject", of_object.get("VersionId"), name=of_object["Key"])


def _bucket(name: str) -> Any:
    account = owner(name)
    return s3_backends[account]["aws"].buckets.get(name) if account else None


def _object(bucket: str, name: str, version: str | None) -> Any:
    account = owner(bucket)
    if account is None or bucket not in s3_backends[account]["aws"].buckets:
        return None
    version_or_marker = s3_backends[account]["aws"].get_object(bucket, name, version_id=version)
    return None if isinstance(version_or_marker, FakeDeleteMarker) else version_or_marker


def _required(call: Call) -> Needs:
    return _Call(call).needs()


PERMISSIONS = {"s3": Permissions(_required, known=frozenset(_KNOWN))}
