"""S3's behavior in its API reference, where moto differs (https://docs.aws.amazon.com/AmazonS3/latest/API/).

The other modules: `content` (the bytes), `objects` (checksums, encryption, tags), `writing` (PutObject, CopyObject),
`multipart` (uploads) and `reading` (GetObject, HeadObject, GetObjectAttributes).
"""

from __future__ import annotations

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response

from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.s3 import multipart, objects, reading, writing

patches = Patches("5.2.5")
_bucket_in_moto = S3Response._bucket_response
_key_in_moto = S3Response._key_response


def install(host: Host) -> None:
    """Apply the patches."""
    for module in (objects, writing, multipart, reading):
        module.patches.apply()
    patches.apply()


@patches.replaces(
    FakeBucket,
    "get_permission",
    "moto ignores the principals and conditions of a bucket policy: a Deny for plain HTTP denies everything.",
)
def _get_permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    return PermissionResult.NEUTRAL


@patches.replaces(S3Response, "_bucket_response", "moto ignores x-amz-expected-bucket-owner.")
def _bucket_response(response: Any, request: Any, full_url: str) -> Any:
    if response.bucket_name:
        writing.refuse_other_owner(response, response.bucket_name)
    return _bucket_in_moto(response, request, full_url)


@patches.replaces(S3Response, "_key_response", "moto ignores x-amz-expected-bucket-owner.")
def _key_response(response: Any, request: Any, full_url: str) -> Any:
    writing.refuse_other_owner(response, response.bucket_name)
    return _key_in_moto(response, request, full_url)
