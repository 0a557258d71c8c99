"""Pinning: what lies at an address in S3 right now, so that a copy is made of exactly that or not at all."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from promotion.artifacts import PinnedObject, Reference
from promotion.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TryAgainError

logger = Logger(child=True)

# S3 has full-object checksums of these kinds for objects of any size (S3 user guide, "Checking object integrity").
FULL_OBJECT_CHECKSUMS = ("CRC64NVME", "CRC32", "CRC32C")

# What a copy does not take from its source by itself; one by parts takes nothing.
_ATTRIBUTES = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata")

# Those that are read at once. What is restored from an archive would be archived again, and STANDARD is the default.
_CARRIED_CLASSES = {"STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}
# botocore's s3 model: StorageClass, and ArchiveStatus of Intelligent-Tiering.
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"}

REQUESTS_IN_FLIGHT = 32
"""A client that pins needs as many pooled connections, or each request opens one of its own."""

# One batch has to be copied well within the fifteen minutes of a function.
_BATCH_OBJECTS = 1_000
_BATCH_BYTES = 200 * 1024**3


def pin(s3: Any, reference: Reference, owner: str) -> list[PinnedObject]:
    """What lies at `reference`, in a bucket that has to belong to the account `owner`, sorted by key.

    Raises PromotionRefusedError when there is nothing, when it cannot be read (with the statement that is missing), or
    when it cannot be copied.
    """
    bucket, key = reference.location
    if not reference.is_prefix:
        try:
            return [_pinned(s3, bucket, key, key.rsplit("/", 1)[-1], owner)]
        except PromotionRefusedError as refused:
            cause = refused.__cause__
            is_missing = isinstance(cause, ClientError) and meaning(cause) is Meaning.NOT_FOUND
            if not (reference.may_be_prefix and is_missing):
                raise
    prefix = key.rstrip("/") + "/"
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=owner)
        # A key that ends in "/" is a folder of the console's, not an artifact.
        keys = [found["Key"] for page in pages for found in page.get("Contents", []) if not found["Key"].endswith("/")]
    except ClientError as error:
        raise explained(error, "s3:ListBucket", f"arn:aws:s3:::{bucket}", reference.uri) from error
    if not keys:
        raise PromotionRefusedError(f"There is nothing below {reference.uri}, so there is nothing to promote.")
    with ThreadPoolExecutor(REQUESTS_IN_FLIGHT) as pool:
        return list(pool.map(lambda key: _pinned(s3, bucket, key, key.removeprefix(prefix), owner), sorted(keys)))


def _pinned(s3: Any, bucket: str, key: str, name: str, owner: str) -> PinnedObject:
    uri = f"s3://{bucket}/{key}"
    try:
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", ExpectedBucketOwner=owner)
    except ClientError as error:
        raise explained(error, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", uri) from error
    archive = head.get("ArchiveStatus") or head.get("StorageClass")
    if archive in _ARCHIVES and 'ongoing-request="false"' not in head.get("Restore", ""):
        raise PromotionRefusedError(f"{uri} is archived in {archive}. Restore it, then promote again.")
    if head["ContentLength"] == 0 and name.endswith((".tar.gz", ".tgz")):
        raise PromotionRefusedError(f"{uri} is an empty file, which no container can unpack.")
    algorithm, checksum = _full_object_checksum(head)
    version = head.get("VersionId")
    return PinnedObject(
        bucket=bucket,
        key=key,
        name=name,
        size=head["ContentLength"],
        etag=head["ETag"],
        version_id=version if version != "null" else None,
        checksum_algorithm=algorithm,
        checksum=checksum,
        attributes=_attributes(head) | _tagging(s3, bucket, key, owner, head),
    )


def _attributes(head: dict[str, Any]) -> dict[str, Any]:
    found = {field: head[field] for field in _ATTRIBUTES if head.get(field)}
    if expires := head.get("ExpiresString"):
        found["Expires"] = expires
    if head.get("StorageClass") in _CARRIED_CLASSES:
        found["StorageClass"] = head["StorageClass"]
    return found


def _tagging(s3: Any, bucket: str, key: str, owner: str, head: dict[str, Any]) -> dict[str, str]:
    """The object's tags as the parameters of a query. S3 counts them in a HEAD only for those who may read them."""
    if not head.get("TagCount"):
        return {}
    version = {"VersionId": head["VersionId"]} if head.get("VersionId") else {}
    try:
        tags = s3.get_object_tagging(Bucket=bucket, Key=key, ExpectedBucketOwner=owner, **version)["TagSet"]
    except ClientError as error:
        if meaning(error) is Meaning.DENIED:
            logger.warning("Tags left out", source=f"s3://{bucket}/{key}", reason=message(error))
            return {}
        raise explained(error, "s3:GetObjectTagging", f"arn:aws:s3:::{bucket}/{key}", f"s3://{bucket}/{key}") from error
    pairs = [(tag["Key"], tag["Value"]) for tag in tags]
    return {"Tagging": urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)}


def _full_object_checksum(head: dict[str, Any]) -> tuple[str | None, str | None]:
    if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        for algorithm in FULL_OBJECT_CHECKSUMS:
            if checksum := head.get(f"Checksum{algorithm}"):
                return algorithm, checksum
    return None, None


def manifest(objects: Iterable[PinnedObject]) -> tuple[str, list[dict[str, int]]]:
    """The manifest of a copy, a line for each object, and its batches: {"start", "end"} in bytes, the end excluded."""
    text, batches = "", []
    start = count = size = 0
    for pinned in objects:
        if count and (count == _BATCH_OBJECTS or size + pinned.size > _BATCH_BYTES):
            batches.append({"start": start, "end": len(text)})
            start, count, size = len(text), 0, 0
        # JSON escapes everything but ASCII, so that characters are bytes.
        text += pinned.to_line()
        count, size = count + 1, size + pinned.size
    if count:
        batches.append({"start": start, "end": len(text)})
    return text, batches


def explained(error: ClientError, action: str, resource: str, what: str) -> Exception:
    """`error` as the exception it calls for: with the statement that is missing when AWS denies us something."""
    known = meaning(error)
    if known is Meaning.DENIED:
        caller = "the functions of this stage (roles below /model-promotion/)"
        if "kms" in message(error).lower():
            action, resource = "kms:Decrypt", "the key that encrypts it (an AWS managed key cannot be shared)"
        statement = json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
        # The answer to a HEAD has no words.
        is_mute = error.response["Error"]["Code"] == "403"
        more = " It may also be kms:Decrypt on its key, or a bucket of another account." if is_mute else ""
        return PromotionRefusedError(
            f"{what} may not be read: {message(error)}. Either it is not there and s3:ListBucket is not granted, or "
            f"the upstream account does not let {caller} read it. The statement that is missing there: {statement}"
            f"{more}"
        )
    if known is Meaning.NOT_FOUND:
        return PromotionRefusedError(f"{what} does not exist (any more).")
    if known is Meaning.TRY_AGAIN:
        return TryAgainError(f"{what}: {message(error)}")
    unknown: Exception = error
    return unknown
