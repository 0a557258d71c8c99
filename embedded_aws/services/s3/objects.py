"""The properties of S3 objects that moto lacks: shared content, a checksum, encryption and the uploaded parts.

S3 user guide, "Checking object integrity" (checking-object-integrity), "Setting default server-side encryption"
(bucket-encryption) and "Reducing the cost of SSE-KMS" (bucket-key).
"""

from __future__ import annotations

import base64
import dataclasses
import uuid
from typing import Any

from moto.kms.models import kms_backends
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeKey, S3Backend
from moto.s3.utils import ARCHIVE_STORAGE_CLASSES
from moto.utilities.tagging_service import TaggingService

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.s3.content import Content

ALGORITHMS = ("CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256")
DEFAULT_ALGORITHM = "CRC64NVME"
FULL_OBJECT, COMPOSITE = "FULL_OBJECT", "COMPOSITE"

patches = Patches("5.2.5")
_tagger = TaggingService()
_put_in_moto = S3Backend.put_object


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of an object from a multipart upload, with a checksum if the upload specified an algorithm."""

    number: int
    size: int
    checksum: str | None


@dataclasses.dataclass(frozen=True)
class Encryption:
    """The server-side encryption of an object."""

    algorithm: str
    kms_key_id: str | None = None
    bucket_key: bool = False


class ByReference:
    """An object whose value is its shared content, where moto would copy its bytes."""

    def __init__(self, key: Any, parts: tuple[Part, ...] = ()) -> None:
        self._key = key
        self.value = key.content
        self.multipart = parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)


@patches.replaces(FakeKey, "__deepcopy__", "moto copies every object with its bytes to list the versions.", adds=True)
def _sharing_content(key: Any, _: object) -> Any:
    copied = object.__new__(type(key))
    vars(copied).update(vars(key), disposed=True)  # otherwise moto warns of an open buffer, which is unused
    return copied


def is_archived(key: Any) -> bool:
    """Return whether the object must be restored before it can be read."""
    restored = 'ongoing-request="false"' in key.response_dict.get("x-amz-restore", "")
    return key.storage_class in ARCHIVE_STORAGE_CLASSES and not restored


def encode(digest: bytes) -> str:
    """Return a digest in Base64."""
    return base64.b64encode(digest).decode()


def set_full_object_checksum(key: Any, algorithm: str) -> None:
    """Compute and set the checksum of the object's whole content."""
    key.checksum_algorithm = algorithm
    key.checksum_value = encode(key.content.checksum(algorithm))
    key.checksum_type = FULL_OBJECT


def checksum_value(key: Any) -> str:
    """Return the checksum as in responses: a composite one ends with the number of its parts."""
    suffix = f"-{key.checksum_parts}" if key.checksum_type == COMPOSITE else ""
    return f"{key.checksum_value}{suffix}"


def checksum_headers(key: Any) -> dict[str, str]:
    """Return the response headers of an object's checksum."""
    name = f"x-amz-checksum-{key.checksum_algorithm.lower()}"
    return {name: checksum_value(key), "x-amz-checksum-type": key.checksum_type}


def encryption_headers(encryption: Encryption) -> dict[str, str]:
    """Return the response headers of an object's encryption."""
    headers = {"x-amz-server-side-encryption": encryption.algorithm}
    if encryption.kms_key_id:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = encryption.kms_key_id
    if encryption.bucket_key:
        headers["x-amz-server-side-encryption-bucket-key-enabled"] = "true"
    return headers


def encryption_of(
    bucket: Any, account: str, algorithm: str | None, kms_key_id: str | None, bucket_key: Any
) -> Encryption:
    """Return the encryption of a new object: that of the request's headers, or otherwise the bucket's default.

    Raise KMS.NotFoundException if the key does not exist. `account` is the caller's.
    """
    rule = bucket.encryption["Rule"] if bucket.encryption else {}
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    if algorithm is None:
        algorithm, kms_key_id = default.get("SSEAlgorithm", "AES256"), default.get("KMSMasterKeyID")
    if algorithm == "AES256":
        return Encryption(algorithm)
    if bucket_key is None:
        bucket_key = rule.get("BucketKeyEnabled", False)
    # Without a key ID, it is the account's AWS managed key, not the bucket's default key.
    arn = _key_arn(kms_key_id or "alias/aws/s3", account, bucket.region_name)
    return Encryption(algorithm, arn, str(bucket_key).lower() == "true")


def _key_arn(key_id: str, account: str, region: str) -> str:
    if key_id.startswith("arn:"):
        if ":key/" in key_id:
            return key_id
        region, account = key_id.split(":")[3:5]
    try:
        arn: str = kms_backends[account][region].describe_key(key_id).arn
    except (KeyError, AttributeError) as error:  # moto raises them for an unknown key and an unknown alias
        raise S3ClientError("KMS.NotFoundException", f"Key '{key_id}' does not exist") from error
    return arn


patches.replace(FakeKey, "completed_parts", (), "moto forgets the parts of a completed upload.", adds=True)
patches.replace(
    S3Backend,
    "tagger",
    property(lambda backend: _tagger, lambda backend, value: None),
    "moto stores an object's tags in the account that wrote it, and another account that reads the object gets none.",
    adds=True,
)


def _set_value(key: Any, value: bytes | str | Content) -> None:
    if isinstance(value, str):
        value = value.encode()
    key.content = value if isinstance(value, Content) else Content.of(value)
    key.contentsize = key.content.size


patches.replace(
    FakeKey,
    "value",
    property(lambda key: bytes(key.content), _set_value),
    "moto copies the bytes of every object. The replacement shares them, so that a test can have terabytes.",
)


@patches.replaces(FakeKey, "etag", "moto always uses the MD5 of the content, which AWS does not.")
def _etag(key: Any) -> str:
    if key._etag is None:
        # "Objects encrypted by SSE-KMS have ETags that are not an MD5 digest of their object data."
        encrypted = str(key.encryption).startswith("aws:kms")
        key._etag = uuid.uuid4().hex if encrypted else key.content.etag
    return f'"{key._etag}"'


@patches.replaces(
    S3Backend,
    "put_object",
    "moto's objects have neither the bucket's default encryption nor a checksum.",
)
def _put_object(backend: Any, bucket_name: str, key_name: str, value: bytes | Content, **arguments: Any) -> Any:
    """Create an object with encryption, a checksum and none of the previous object's tags. All writes end here."""
    encryption = encryption_of(
        backend.get_bucket(bucket_name),
        backend.account_id,
        arguments.get("encryption"),
        arguments.get("kms_key_id"),
        arguments.get("bucket_key_enabled"),
    )
    key = _put_in_moto(backend, bucket_name, key_name, value, **arguments)
    key.encryption = encryption.algorithm
    key.kms_key_id = encryption.kms_key_id
    key.bucket_key_enabled = True if encryption.bucket_key else None
    backend.tagger.delete_all_tags_for_resource(key.arn)
    if key.checksum_value is None:
        set_full_object_checksum(key, DEFAULT_ALGORITHM)
    key.checksum_type = key.checksum_type or FULL_OBJECT
    return key
