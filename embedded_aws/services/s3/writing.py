"""S3's PutObject and CopyObject: the conditions, limits and checksums in the API reference that moto lacks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import urllib.parse
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import str_to_rfc_1123_datetime
from moto.s3.exceptions import (
    InvalidArgumentError,
    MissingKey,
    MissingVersion,
    ObjectNotInActiveTierError,
    PreconditionFailed,
    S3AccessDeniedError,
    S3ClientError,
)
from moto.s3.models import FakeDeleteMarker
from moto.s3.responses import S3Response
from moto.s3.utils import metadata_from_headers

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.s3 import objects
from embedded_aws.services.s3.content import Content

Response = tuple[int, dict[str, Any], str]

MOST_COPIED_BYTES = 5 * 1024**3
# Held while a condition is checked and the object is written: "If multiple conditional writes occur for the same object
# name, the first write operation to finish succeeds."
writing = threading.RLock()

patches = Patches("5.2.5")
_put_in_moto = S3Response.put_object


def refuse_other_owner(response: Any, bucket_name: str, header: str = "x-amz-expected-bucket-owner") -> None:
    """Raise AccessDenied if the account in `header` does not own the bucket.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
    """
    expected = response.headers.get(header)
    if expected and response.backend.get_bucket(bucket_name).account_id != expected:
        raise S3AccessDeniedError


def refuse_unless_destination_matches(response: Any) -> None:
    """Raise PreconditionFailed or NoSuchKey if the existing object does not meet the conditions of a write.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    existing = response.backend.get_object(response.bucket_name, response.parse_key_name())
    if response.headers.get("If-None-Match") == "*" and existing is not None:
        raise PreconditionFailed("If-None-Match")
    if expected := response.headers.get("If-Match"):
        if existing is None:
            raise MissingKey(key=response.parse_key_name())
        if not matches(expected, existing.etag):
            raise PreconditionFailed("If-Match")


def matches(condition: str, etag: str) -> bool:
    """Return whether an ETag meets a condition, each with or without quotes."""
    return condition.strip('"') in ("*", etag.strip('"'))


def find_copy_source(response: Any) -> Any:
    """Return the object in `x-amz-copy-source`. Raise an error if it does not meet the request's conditions."""
    path, _, version_id = response.headers["x-amz-copy-source"].partition("?versionId=")
    # The value must be URL-encoded. As in a query, a plus sign is a space.
    bucket_name, _, name = urllib.parse.unquote_plus(path).removeprefix("/").partition("/")
    if not name:
        message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise InvalidArgumentError(message, "x-amz-copy-source", path)
    refuse_other_owner(response, bucket_name, "x-amz-source-expected-bucket-owner")
    source = response.backend.get_object(
        bucket_name, name, version_id=urllib.parse.unquote(version_id) or None, return_delete_marker=True
    )
    if isinstance(source, FakeDeleteMarker):
        if not version_id:
            raise MissingKey(key=name)
        message = "The source of a copy request may not specifically refer to a delete marker by version id."
        raise S3ClientError("InvalidRequest", message)
    if source is None:
        raise MissingVersion(key=name, version_id=version_id) if version_id else MissingKey(key=name)
    _refuse_unless_source_matches(response, source)
    return source


def _refuse_unless_source_matches(response: Any, source: Any) -> None:
    def condition(name: str) -> Any:
        return response.headers.get(f"x-amz-copy-source-{name.lower()}")

    def changed_since(date: str) -> bool:
        return bool(source.last_modified.replace(microsecond=0) > str_to_rfc_1123_datetime(date))

    # "If both x-amz-copy-source-if-match and x-amz-copy-source-if-unmodified-since are present", the first one
    # decides. In the same way, if-none-match takes precedence over if-modified-since.
    if etag := condition("If-Match"):
        if not matches(etag, source.etag):
            raise PreconditionFailed("x-amz-copy-source-If-Match")
    elif (date := condition("If-Unmodified-Since")) and changed_since(date):
        raise PreconditionFailed("x-amz-copy-source-If-Unmodified-Since")
    if etag := condition("If-None-Match"):
        if matches(etag, source.etag):
            raise PreconditionFailed("x-amz-copy-source-If-None-Match")
    elif (date := condition("If-Modified-Since")) and not changed_since(date):
        raise PreconditionFailed("x-amz-copy-source-If-Modified-Since")


def refuse_large_copy(size: int) -> None:
    """Raise InvalidRequest if the source of a copy has more than 5 GiB (API reference, CopyObject)."""
    if size > MOST_COPIED_BYTES:
        raise S3ClientError(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: "
            f"{MOST_COPIED_BYTES}",
        )


@patches.replaces(S3Response, "_get_checksum", "moto accepts a checksum that is not the content's.")
def given_checksum(response: Any, response_headers: dict[str, Any]) -> tuple[str, str | None]:
    """Return the algorithm and the checksum in a header or a trailer. Raise BadDigest if the checksum is wrong."""
    headers = response.headers
    body = response.body or b""
    content = Content.of(body)
    if md5 := headers.get("Content-MD5"):
        _refuse_wrong_md5(md5, body)
    checksums = {
        algorithm: headers[name]
        for algorithm in objects.ALGORITHMS
        if (name := f"x-amz-checksum-{algorithm.lower()}") in headers
    }
    trailer = re.search(rb"x-amz-checksum-(\w+):([A-Za-z0-9+/=]+)\s*$", response.raw_body or b"")
    if trailer and "TRAILER" in headers.get("x-amz-content-sha256", ""):
        checksums[trailer[1].decode().upper()] = trailer[2].decode()
    only_named = headers.get("x-amz-sdk-checksum-algorithm") or headers.get("x-amz-checksum-algorithm")
    if only_named and not checksums:
        checksums[only_named] = objects.encode(content.checksum(only_named))
    if len(checksums) > 1:
        raise S3ClientError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    for algorithm, value in checksums.items():
        refuse_wrong_checksum(algorithm, value, objects.encode(content.checksum(algorithm)))
        response_headers[f"x-amz-checksum-{algorithm.lower()}"] = value
        return algorithm, value
    return "", None


def refuse_wrong_checksum(algorithm: str, given: str, computed: str) -> None:
    """Raise BadDigest if the checksum in a request is not the computed one."""
    if given != computed:
        raise S3ClientError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def _refuse_wrong_md5(given: str, body: bytes) -> None:
    try:
        digest = base64.b64decode(given, validate=True)
    except binascii.Error as error:
        raise S3ClientError("InvalidDigest", "The Content-MD5 you specified was invalid.") from error
    if digest != hashlib.md5(body, usedforsecurity=False).digest():
        raise S3ClientError("BadDigest", "The Content-MD5 you specified did not match what we received.")


@patches.replaces(S3Response, "put_object", "moto has no lock: two concurrent conditional writes may both succeed.")
def _put_object(response: Any) -> Response:
    with writing:
        refuse_unless_destination_matches(response)
        status, headers, body = _put_in_moto(response)
        key = response.backend.get_object(response.bucket_name, response.parse_key_name())
    return status, headers | objects.checksum_headers(key), body


@patches.replaces(S3Response, "copy_object", "moto ignores most conditions, the size limit and the checksum of a copy.")
def _copy_object(response: Any) -> Response:
    source = find_copy_source(response)
    if objects.is_archived(source):
        raise ObjectNotInActiveTierError(source.name)
    refuse_large_copy(source.size)
    with writing:
        refuse_unless_destination_matches(response)
        key = _write_copy(response, source)
    result = {
        "ETag": key.etag,
        "LastModified": key.last_modified_ISO8601,
        f"Checksum{key.checksum_algorithm}": objects.checksum_value(key),
        "ChecksumType": key.checksum_type,
    }
    response.data["Action"] = "CopyObject"
    status, answer, body = response.serialized(ActionResult({"CopyObjectResult": result}))
    answer |= response._get_cors_headers_other() | key.response_dict
    if source.version_id != "null":
        answer["x-amz-copy-source-version-id"] = source.version_id
    answer["content-length"] = str(len(body))
    return status, answer, body


def _write_copy(response: Any, source: Any) -> Any:
    headers, backend = response.headers, response.backend
    name = response.parse_key_name()
    bucket = backend.get_bucket(response.bucket_name)
    tags = backend.tagger.get_tag_dict_for_resource(source.arn)  # first, because the copy may replace its source
    legal_hold, lock_mode, lock_until = response._get_lock_details(bucket, bucket.object_lock_enabled)
    backend.copy_object(
        objects.ByReference(source),
        bucket.name,
        name,
        storage=headers.get("x-amz-storage-class"),
        encryption=headers.get("x-amz-server-side-encryption"),
        kms_key_id=headers.get("x-amz-server-side-encryption-aws-kms-key-id"),
        bucket_key_enabled=headers.get("x-amz-server-side-encryption-bucket-key-enabled"),
        mdirective=headers.get("x-amz-metadata-directive"),
        metadata=metadata_from_headers(headers),
        website_redirect_location=headers.get("x-amz-website-redirect-location"),
        lock_mode=lock_mode,
        lock_legal_status=legal_hold,
        lock_until=lock_until,
        provided_version_id="?versionId=" in headers["x-amz-copy-source"] or None,
    )
    key = backend.get_object(bucket.name, name)
    key.set_acl(response._acl_from_headers(headers) or bucket.acl)
    if headers.get("x-amz-tagging-directive") == "REPLACE":
        backend.put_object_tagging(key, response._tagging_from_headers(headers))
    else:
        backend.tagger.tag_resource(key.arn, backend.tagger.convert_dict_to_tags_input(tags))
    algorithm = headers.get("x-amz-checksum-algorithm") or source.checksum_algorithm or objects.DEFAULT_ALGORITHM
    objects.set_full_object_checksum(key, algorithm)
    return key
