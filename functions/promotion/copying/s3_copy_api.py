"""The S3 requests of a copy, each conditional on the pinned source."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from xml.sax.saxutils import escape

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_client import Reply, S3Requests
from promotion.copying.sigv4 import encoded
from promotion.errors import TransientError

MAXIMUM_PARTS = 10_000

# The time-out of a copy request allows for this many bytes per second; S3 is ten times as fast.
_SLOWEST_BYTES_PER_SECOND = 4 * 1024**2
# "Processing of a CompleteMultipartUpload request could take several minutes", during which S3 sends white space.
_COMPLETION_SECONDS = 100.0

_MIB = 1024**2

_TAGS = "x-amz-tagging"


@dataclasses.dataclass
class Upload:
    """A multipart upload in progress; `parts` are the ETags of the copied parts by number."""

    pinned: PinnedObject
    upload_id: str
    part_size: int
    parts: dict[int, str] = dataclasses.field(default_factory=dict)
    is_ended: bool = False

    @property
    def count(self) -> int:
        """Return the number of parts."""
        return -(-self.pinned.size // self.part_size)

    @property
    def missing(self) -> list[int]:
        """Return the numbers of the parts that are not copied."""
        return [number for number in range(1, self.count + 1) if number not in self.parts]

    def range_of(self, number: int) -> tuple[int, int]:
        """Return the first byte of a part, and the byte after its last one."""
        return (number - 1) * self.part_size, min(number * self.part_size, self.pinned.size)


@dataclasses.dataclass(frozen=True)
class Found:
    """An object in the target bucket, or a new copy, with the values that S3 returned."""

    size: int | None
    checksum: str | None
    etag: str = ""
    version_id: str | None = None


class CopyRequests:
    """The requests of copies to one bucket; the methods raise the errors of S3Requests.send.

    `own`, if it is given, sends the requests that only concern the target: they need no permission to read the source.
    """

    def __init__(self, requests: S3Requests, owner: str, part_size: int, own: S3Requests | None = None) -> None:
        self._s3, self._own = requests, own or requests
        self.is_shared = own is not None
        """Whether an account other than the bucket's makes the copies, and could write parts of its own."""
        self._owned = {"x-amz-expected-bucket-owner": owner}
        self._part_size = part_size
        self.without_tags = 0
        """The number of copies without tags, because S3 denied the copy with tags."""

    def close(self) -> None:
        """Close the connections."""
        for requests in {self._s3, self._own}:
            requests.close()

    def upload(self, pinned: PinnedObject, upload_id: str) -> Upload:
        """Return an upload with a part size in whole MiB, which is the same for each attempt."""
        needed = -(-pinned.size // MAXIMUM_PARTS)
        return Upload(pinned, upload_id, max(self._part_size, -(-needed // _MIB) * _MIB))

    async def copy_object(self, pinned: PinnedObject) -> Found:
        """Copy an object, unless the target exists or the source has changed; S3 copies the metadata."""

        async def send(attributes: dict[str, str]) -> Reply:
            chosen = {name: value for name, value in attributes.items() if name in ("x-amz-storage-class", _TAGS)}
            headers = _source(pinned) | chosen | self._owned
            headers |= {
                "if-none-match": "*",
                "x-amz-checksum-algorithm": pinned.checksum_algorithm or "CRC64NVME",
                # Otherwise S3 reads the source's tags itself, and denies the copy if the permission is missing.
                "x-amz-tagging-directive": "REPLACE",
            }
            extra = pinned.size / _SLOWEST_BYTES_PER_SECOND
            return await self._s3.send(
                "CopyObject", "PUT", pinned.target, headers=headers, required="ETag", extra_seconds=extra
            )

        return _made(pinned, await self._with_tags_if_possible(pinned, send))

    async def create_upload(self, pinned: PinnedObject) -> Upload:
        """Create a multipart upload."""

        async def send(attributes: dict[str, str]) -> Reply:
            headers = attributes | self._owned
            headers |= {
                "x-amz-checksum-algorithm": pinned.checksum_algorithm or "CRC64NVME",
                "x-amz-checksum-type": "FULL_OBJECT",
            }
            query = {"uploads": ""}
            return await self._s3.send(
                "CreateMultipartUpload", "POST", pinned.target, query, headers, required="UploadId"
            )

        reply = await self._with_tags_if_possible(pinned, send)
        upload = self.upload(pinned, reply.text("UploadId") or "")
        if reply.retries:
            # An earlier attempt whose response was lost may have created an upload, too.
            for other in (await self.upload_ids(pinned.target)).get(pinned.target, []):
                if other != upload.upload_id:
                    await self.abort(self.upload(pinned, other))
        return upload

    async def copy_part(self, upload: Upload, number: int) -> str:
        """Copy a part and return its ETag."""
        first, end = upload.range_of(number)
        headers = _source(upload.pinned) | self._owned
        headers["x-amz-copy-source-range"] = f"bytes={first}-{end - 1}"
        reply = await self._s3.send(
            "UploadPartCopy",
            "PUT",
            upload.pinned.target,
            {"partNumber": str(number), "uploadId": upload.upload_id},
            headers,
            required="ETag",
            extra_seconds=(end - first) / _SLOWEST_BYTES_PER_SECOND,
        )
        return reply.text("ETag") or ""

    async def complete(self, upload: Upload) -> Found:
        """Complete an upload; S3 rejects it if size or checksum differ from the source."""
        pinned = upload.pinned
        parts = "".join(
            f"<Part><ETag>{escape(etag)}</ETag><PartNumber>{number}</PartNumber></Part>"
            for number, etag in sorted(upload.parts.items())
        )
        document = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}'
        headers = self._owned | {
            "if-none-match": "*",
            "x-amz-checksum-type": "FULL_OBJECT",
            "x-amz-mp-object-size": str(pinned.size),
        }
        if pinned.checksum_algorithm and pinned.checksum:
            headers[f"x-amz-checksum-{pinned.checksum_algorithm.lower()}"] = pinned.checksum
        reply = await self._s3.send(
            "CompleteMultipartUpload",
            "POST",
            pinned.target,
            {"uploadId": upload.upload_id},
            headers,
            f"{document}</CompleteMultipartUpload>".encode(),
            required="ETag",
            extra_seconds=_COMPLETION_SECONDS,
        )
        return dataclasses.replace(_made(pinned, reply), size=pinned.size)

    async def parts(self, upload: Upload) -> dict[int, str]:
        """Return the ETags of the existing parts of `upload` that have the correct length, by number."""
        found = {}
        markers = {"NextPartNumberMarker": "part-number-marker"}
        query = {"uploadId": upload.upload_id}
        async for page in self._own.pages("ListParts", upload.pinned.target, query, self._owned, markers):
            for part in page.root.iterfind("{*}Part"):
                number = int(part.findtext("{*}PartNumber", "0"))
                first, end = upload.range_of(number)
                if int(part.findtext("{*}Size", "0")) == end - first:
                    found[number] = part.findtext("{*}ETag", "")
        return found

    async def keys(self, prefix: str) -> set[str]:
        """Return the keys in the target bucket that begin with `prefix`."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        markers = {"NextContinuationToken": "continuation-token"}
        return {
            page.decoded(found.findtext("{*}Key", ""))
            async for page in self._own.pages("ListObjectsV2", "", query, self._owned, markers)
            for found in page.root.iterfind("{*}Contents")
        }

    async def upload_ids(self, prefix: str) -> dict[str, list[str]]:
        """Return the IDs of unfinished uploads to keys that begin with `prefix`, by key, the oldest first."""
        query = {"uploads": "", "prefix": prefix, "encoding-type": "url"}
        markers = {"NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"}
        found = sorted(
            [
                (upload.findtext("{*}Initiated", ""), upload.findtext("{*}UploadId", ""), page.decoded(key))
                async for page in self._own.pages("ListMultipartUploads", "", query, self._owned, markers)
                for upload in page.root.iterfind("{*}Upload")
                if (key := upload.findtext("{*}Key"))
            ]
        )
        by_key: dict[str, list[str]] = {}
        for _, upload_id, key in found:
            by_key.setdefault(key, []).append(upload_id)
        return by_key

    async def abort(self, upload: Upload) -> None:
        """Abort `upload`; if S3 denies it, the bucket's lifecycle rule does."""
        upload.is_ended = True
        target, query = upload.pinned.target, {"uploadId": upload.upload_id}
        with contextlib.suppress(ClientError, TransientError):
            await self._own.send("AbortMultipartUpload", "DELETE", target, query, self._owned)

    async def head(self, pinned: PinnedObject) -> Found:
        """Return the object at the target of `pinned`."""
        headers = self._owned | {"x-amz-checksum-mode": "ENABLED"}
        reply = await self._own.send("HeadObject", "HEAD", pinned.target, headers=headers)
        checksum = reply.headers.get(f"x-amz-checksum-{(pinned.checksum_algorithm or '').lower()}")
        return Found(int(reply.headers["content-length"]), checksum, reply.headers["etag"], _version(reply))

    async def _with_tags_if_possible(
        self, pinned: PinnedObject, send: Callable[[dict[str, str]], Awaitable[Reply]]
    ) -> Reply:
        if _TAGS not in pinned.attributes:
            return await send(pinned.attributes)
        try:
            return await send(pinned.attributes)
        except ClientError as error:
            if meaning(error) is not Meaning.DENIED:
                raise
        reply = await send({name: value for name, value in pinned.attributes.items() if name != _TAGS})
        self.without_tags += 1
        return reply


def _source(pinned: PinnedObject) -> dict[str, str]:
    version = f"?versionId={encoded(pinned.version_id)}" if pinned.version_id else ""
    return {
        "x-amz-copy-source": encoded(f"{pinned.bucket}/{pinned.key}", safe="/") + version,
        "x-amz-copy-source-if-match": pinned.etag,
        "x-amz-source-expected-bucket-owner": pinned.owner,
    }


def _made(pinned: PinnedObject, reply: Reply) -> Found:
    checksum = reply.text(f"Checksum{pinned.checksum_algorithm}")
    return Found(None, checksum, reply.text("ETag") or "", _version(reply))


def _version(reply: Reply) -> str | None:
    version = reply.headers.get("x-amz-version-id")
    return version if version != "null" else None
