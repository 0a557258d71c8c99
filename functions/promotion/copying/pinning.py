"""Pin the current objects at an S3 URI, so that a copy has exactly this content or fails."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.copying.incoming import Reader
from promotion.copying.manifest import PinnedObject
from promotion.copying.references import Reference, check_listed
from promotion.copying.s3_client import Reply, S3Requests
from promotion.copying.s3_errors import explained, key_denied, other_owner, reader_denied
from promotion.errors import PromotionRefusedError, TransientError

logger = Logger(child=True)

# S3 has full-object checksums of these kinds for objects of any size (S3 user guide, "Checking object integrity").
FULL_OBJECT_CHECKSUMS = ("CRC64NVME", "CRC32", "CRC32C")

# All checksums of S3 (botocore's s3 model: ChecksumAlgorithm).
_CHECKSUMS = (*FULL_OBJECT_CHECKSUMS, "SHA1", "SHA256")
_ONE_BYTE = {"range": "bytes=0-0"}
_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"

# The headers that a multipart copy must set itself. S3 stores "Expires" as a string, exactly as the user sent it.
_ATTRIBUTES = {
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
}

# The storage classes that can be read immediately. A restored object would be archived again; STANDARD is the default.
_COPIED_CLASSES = {"STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}
# botocore's s3 model: StorageClass, and ArchiveStatus of Intelligent-Tiering.
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"}

_KEEP = (
    " If it is not an artifact but, for example, a place for output, add the variable to KeptVariables in the settings."
)

REQUESTS_IN_FLIGHT = 256

MAXIMUM_OBJECTS = 100_000
MAXIMUM_BYTES = 100 * 1024**4
"""The maximum total of a promotion: the list of its batches must fit into the 256 KiB of a state's payload."""


def pin(s3: Any, reference: Reference, owner: str, reader: Reader | None = None) -> list[PinnedObject]:
    """Return the objects at `reference`, in a bucket of the account `owner`, sorted by key.

    `s3` is a boto3 client; the bucket can be in another region. `reader` can copy objects whose key `s3` cannot use.
    Raise PromotionRefusedError if there are no objects, if they cannot be read (with the missing policy statement), or
    if they cannot be copied.
    """
    return asyncio.run(pin_on_loop(s3, reference, owner, reader))


async def pin_on_loop(s3: Any, reference: Reference, owner: str, reader: Reader | None = None) -> list[PinnedObject]:
    """Return the objects as `pin` does, on the running event loop."""
    requests = S3Requests(s3, reference.location[0])
    pinning = _Pinning(requests, reference, owner, reader)
    try:
        return await pinning.objects()
    finally:
        requests.close()
        pinning.close()


class _Pinning:
    """The requests to S3 for one reference."""

    def __init__(self, s3: S3Requests, reference: Reference, owner: str, reader: Reader | None) -> None:
        self._s3, self._reference, self._reader = s3, reference, reader
        self._of_reader: S3Requests | None = None
        self._bucket, self._key = reference.location
        self._owner, self._owned = owner, {"x-amz-expected-bucket-owner": owner}

    def close(self) -> None:
        """Close the connections of the reader role."""
        if self._of_reader:
            self._of_reader.close()

    async def objects(self) -> list[PinnedObject]:
        found = await self._found()
        if not any("x-amz-tagging" in pinned.attributes for pinned in found):
            # A HEAD has the number of tags only with the permission to read them, so this request checks it.
            await self._tags(found[0].key, found[0].version_id)
        return found

    async def _found(self) -> list[PinnedObject]:
        reference = self._reference
        if not reference.is_prefix:
            try:
                return [await self._pinned(self._key, self._key.rsplit("/", 1)[-1])]
            except PromotionRefusedError as refused:
                if not (reference.may_be_prefix and await self._is_missing(refused.__cause__)):
                    raise
        prefix = self._key if self._key.endswith("/") else f"{self._key}/"
        keys = await self._keys(prefix)
        if not keys:
            raise PromotionRefusedError(
                f"{reference.place} is {reference.uri}, which contains no objects. Check the URI."
                f"{_KEEP if 'Environment' in reference.path else ''}"
            )
        check_listed(keys, reference.uri)
        remaining, found = iter(keys), []

        async def pin_remaining() -> None:
            for key in remaining:
                found.append(await self._pinned(key, key.removeprefix(prefix)))

        workers = [asyncio.create_task(pin_remaining()) for _ in range(min(REQUESTS_IN_FLIGHT, len(keys)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return sorted(found, key=lambda pinned: pinned.key)

    async def _is_missing(self, cause: BaseException | None) -> bool:
        """Return whether a HEAD failed because the object does not exist.

        S3 denies it to a role that can list only a part of the bucket, such as the models of an upstream stage.
        """
        known = meaning(cause) if isinstance(cause, ClientError) else Meaning.UNKNOWN
        if known is not Meaning.DENIED:
            return known is Meaning.NOT_FOUND
        try:
            return self._key not in await self._keys(self._key)
        except PromotionRefusedError:
            return False

    async def _keys(self, prefix: str) -> list[str]:
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        markers = {"NextContinuationToken": "continuation-token"}
        keys: list[str] = []
        try:
            async for page in self._s3.pages("ListObjectsV2", "", query, self._owned, markers):
                keys += [page.decoded(found.findtext("{*}Key", "")) for found in page.root.iterfind("{*}Contents")]
                if len(keys) > MAXIMUM_OBJECTS:
                    raise PromotionRefusedError(f"{self._reference.uri} contains {_too_much(len(keys))}")
        except ClientError as error:
            raise await self._explained(error, "s3:ListBucket", "", self._reference.uri) from error
        # A key that ends in "/" is a folder of the S3 console, not an artifact.
        return [key for key in keys if not key.endswith("/")]

    async def _pinned(self, key: str, name: str) -> PinnedObject:
        uri, incoming = f"s3://{self._bucket}/{key}", ""
        try:
            reply = await self._head(self._s3, key)
            await self._assert_decrypted(reply, key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "400":
                raise PromotionRefusedError(
                    f"{uri} cannot be read: S3 rejected HeadObject with status 400, as for an object with "
                    "customer-provided keys (SSE-C). Copy the object with another type of encryption, and promote the "
                    "copy."
                ) from error
            reply, incoming = await self._head_of_reader(error, key), self._reader.new_key() if self._reader else ""
        head = reply.headers
        _check_readable(uri, name, head)
        algorithm, checksum = _full_object_checksum(head)
        version = head.get("x-amz-version-id")
        attributes = _attributes(head)
        if int(head.get("x-amz-tagging-count", "0")) and (tags := await self._tags(key, version)):
            attributes["x-amz-tagging"] = tags
        return PinnedObject(
            bucket=self._bucket,
            key=key,
            name=name,
            size=int(head["content-length"]),
            etag=head["etag"],
            version_id=version if version != "null" else None,
            checksum_algorithm=algorithm,
            checksum=checksum,
            attributes=attributes,
            incoming=incoming,
            owner=self._owner,
        )

    async def _explained(self, error: ClientError, action: str, path: str, what: str) -> Exception:
        """Return the exception for `error`, which S3 also returns for a bucket of another owner than expected."""
        if meaning(error) is Meaning.DENIED and await self._s3.is_denied_by(self._owned):
            return other_owner(what, self._bucket, self._owner)
        return explained(error, action, f"arn:aws:s3:::{self._bucket}{path}", what, self._owner)

    async def _head(self, s3: S3Requests, key: str) -> Reply:
        return await s3.send("HeadObject", "HEAD", key, headers=self._owned | {"x-amz-checksum-mode": "ENABLED"})

    async def _assert_decrypted(self, reply: Reply, key: str) -> None:
        """Raise the ClientError of a GET if the KMS key of an object denies this stage.

        S3 does not document whether it denies a HEAD with checksum without kms:Decrypt, or omits the checksum.
        """
        has_checksum = any(f"x-amz-checksum-{each.lower()}" in reply.headers for each in _CHECKSUMS)
        if _KMS_KEY not in reply.headers or has_checksum:
            return
        try:
            await self._s3.send("GetObject", "GET", key, headers=self._owned | _ONE_BYTE, has_document=False)
        except ClientError as error:
            if meaning(error) is Meaning.DENIED:
                raise

    async def _head_of_reader(self, error: ClientError, key: str) -> Reply:
        """Return the response to the reader role, if only the object's KMS key denies this stage; raise otherwise."""
        uri = f"s3://{self._bucket}/{key}"
        kms_key = await self._denying_key(error, key)
        if not kms_key:
            detailed = await self._with_message(self._s3, error, key)
            raise await self._explained(detailed, "s3:GetObject", f"/{key}", uri) from error
        if not self._reader:
            raise key_denied(uri, kms_key, await self._with_message(self._s3, error, key)) from error
        self._of_reader = self._of_reader or S3Requests(self._reader.s3, self._bucket)
        try:
            return await self._head(self._of_reader, key)
        except ClientError as denied:
            if meaning(denied) is not Meaning.DENIED:
                raise await self._explained(denied, "s3:GetObject", f"/{key}", uri) from denied
            raise reader_denied(uri, kms_key, await self._with_message(self._of_reader, denied, key)) from denied

    async def _denying_key(self, error: ClientError, key: str) -> str | None:
        """Return the KMS key that causes a denied HEAD, or None.

        It encrypts the checksum, but none of the other metadata (S3 API reference, HeadObject, "ChecksumMode").
        """
        if meaning(error) is not Meaning.DENIED:
            return None
        try:
            reply = await self._s3.send("HeadObject", "HEAD", key, headers=self._owned)
        except ClientError:
            return None
        return reply.headers.get(_KMS_KEY)

    async def _with_message(self, s3: S3Requests, error: ClientError, key: str) -> ClientError:
        """Return a denied HEAD's error with the message of a GET, which names the missing permission or key."""
        if meaning(error) is not Meaning.DENIED:
            return error
        try:
            await s3.send("GetObject", "GET", key, headers=self._owned | _ONE_BYTE, has_document=False)
        except ClientError as detailed:
            return detailed if meaning(detailed) is Meaning.DENIED else error
        except TransientError:
            return error
        return error

    async def _tags(self, key: str, version: str | None) -> str:
        """Return the object's tags as query parameters, or none, with a log entry, if the permission is missing."""
        uri, query = f"s3://{self._bucket}/{key}", {"tagging": ""} | ({"versionId": version} if version else {})
        try:
            reply = await self._s3.send("GetObjectTagging", "GET", key, query, self._owned)
        except ClientError as error:
            if meaning(error) is Meaning.DENIED:
                logger.warning("Tags are not copied", source=uri, reason=message(error))
                return ""
            raise await self._explained(error, "s3:GetObjectTagging", f"/{key}", uri) from error
        tags = reply.root.iterfind("{*}TagSet/{*}Tag")
        pairs = [(tag.findtext("{*}Key", ""), tag.findtext("{*}Value", "")) for tag in tags]
        return urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)


def _check_readable(uri: str, name: str, head: dict[str, str]) -> None:
    archive = head.get("x-amz-archive-status") or head.get("x-amz-storage-class")
    if archive in _ARCHIVES and 'ongoing-request="false"' not in head.get("x-amz-restore", ""):
        raise PromotionRefusedError(
            f"{uri} is archived in {archive}. Restore the object, and start the promotion again."
        )
    if head["content-length"] == "0" and name.endswith((".tar.gz", ".tgz")):
        raise PromotionRefusedError(f"{uri} is empty, so no container can unpack it. Upload the archive again.")


def _attributes(head: dict[str, str]) -> dict[str, str]:
    found = {name: value for name, value in head.items() if name in _ATTRIBUTES or name.startswith("x-amz-meta-")}
    if head.get("x-amz-storage-class") in _COPIED_CLASSES:
        found["x-amz-storage-class"] = head["x-amz-storage-class"]
    return found


def _full_object_checksum(head: dict[str, str]) -> tuple[str | None, str | None]:
    if head.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
        for algorithm in FULL_OBJECT_CHECKSUMS:
            if checksum := head.get(f"x-amz-checksum-{algorithm.lower()}"):
                return algorithm, checksum
    return None, None


def assert_within_limits(objects: list[PinnedObject], maximum_bytes: int) -> None:
    """Raise PromotionRefusedError if there are more objects or bytes than a promotion can copy, or the stage allows."""
    size = sum(pinned.size for pinned in objects)
    if maximum_bytes < size <= MAXIMUM_BYTES:
        raise PromotionRefusedError(
            f"The model has {len(objects):,} objects of {size:,} bytes. This stage copies at most {maximum_bytes:,} "
            "bytes. Remove what the model does not need, or deploy the stack with a higher MaximumCopyBytes."
        )
    if len(objects) > MAXIMUM_OBJECTS or size > MAXIMUM_BYTES:
        raise PromotionRefusedError(f"The model has {_too_much(len(objects), size)}")


def _too_much(count: int, size: int | None = None) -> str:
    found = f"{count:,} objects of {size:,} bytes" if size is not None else f"at least {count:,} objects"
    limit = f"{MAXIMUM_OBJECTS:,} objects of {MAXIMUM_BYTES:,} bytes"
    return f"{found}. A promotion can copy at most {limit}. Pack the objects into archives, or remove some."
