"""Copying: server-side, conditional on the pinned source, never over an existing object, resumable, verified.

One pool of requests serves all objects of a batch and all parts of each, so that many small objects and a single large
one are equally many requests in flight. Nothing streams through the function.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from promotion.artifacts import PinnedObject
from promotion.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TryAgainError
from promotion.pinning import explained

MULTIPART_THRESHOLD = 128 * 1024**2
"""From here on parts in parallel are faster than one request; S3 itself demands parts above 5 GiB."""

PART_SIZE = 64 * 1024**2
MAXIMUM_PARTS = 10_000
REQUESTS_IN_FLIGHT = 128

_MIB = 1024**2


@dataclasses.dataclass
class Summary:
    """What a batch came to; `verified_by` counts its objects by what proved the copy: a kind of checksum, or "size"."""

    copied: int = 0
    already_there: int = 0
    bytes: int = 0
    verified_by: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Upload:
    pinned: PinnedObject
    upload_id: str
    part_size: int
    parts: dict[int, str]
    is_void: bool = False
    """Whether it can never become the copy: its source is refused, a part is damaged, or the target is there."""

    @property
    def missing(self) -> list[int]:
        return [number for number in range(1, self.count + 1) if number not in self.parts]

    @property
    def count(self) -> int:
        return -(-self.pinned.size // self.part_size)


class Copier:
    """Copies pinned objects into one bucket. `s3` needs as many pooled connections as REQUESTS_IN_FLIGHT."""

    def __init__(self, s3: Any, bucket: str, owner: str, source_owner: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._target = {"Bucket": bucket, "ExpectedBucketOwner": owner}
        self._source_owner = {"ExpectedSourceBucketOwner": source_owner}

    def copy(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """Copy `objects` within `seconds`.

        Raises TryAgainError when time runs out (another call takes up where this one stopped), and
        PromotionRefusedError when a source is not what was pinned any more or a target holds something else.
        """
        deadline = time.monotonic() + seconds
        summary = Summary()
        finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        steps: dict[Future[Any], Callable[[Any], None]] = {}
        uploads: list[_Upload] = []
        pool = ThreadPoolExecutor(REQUESTS_IN_FLIGHT)

        def submit(then: Callable[[Any], None], function: Callable[..., Any], *arguments: Any) -> None:
            future = pool.submit(function, *arguments)
            steps[future] = then
            future.add_done_callback(finished.put)

        def count(pinned: PinnedObject, new: bool) -> None:
            summary.copied += new
            summary.already_there += not new
            summary.bytes += pinned.size if new else 0
            proof = pinned.checksum_algorithm or "size"
            summary.verified_by[proof] = summary.verified_by.get(proof, 0) + 1

        def begun(pinned: PinnedObject) -> Callable[[Any], None]:
            def then(upload: _Upload | bool) -> None:
                if isinstance(upload, bool):
                    count(pinned, new=upload)
                    return
                uploads.append(upload)
                for number in upload.missing:
                    submit(part_done(upload, number), self._copy_part, upload, number)
                complete_if_whole(upload)

            return then

        def part_done(upload: _Upload, number: int) -> Callable[[Any], None]:
            def then(etag: str) -> None:
                upload.parts[number] = etag
                complete_if_whole(upload)

            return then

        def complete_if_whole(upload: _Upload) -> None:
            if len(upload.parts) == upload.count:
                submit(lambda new: count(upload.pinned, new), self._complete, upload)

        try:
            for pinned in objects:
                submit(begun(pinned), self._begin, pinned)
            while steps:
                try:
                    future = finished.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    raise TryAgainError(
                        f"{summary.copied + summary.already_there} of {len(objects)} objects are copied; the next try "
                        "takes up where this one stopped."
                    ) from None
                steps.pop(future)(future.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            # Only now, since an upload that is ended while a part is being copied may keep that part.
            for upload in uploads:
                if upload.is_void:
                    self._abort(upload)
        return summary

    def _begin(self, pinned: PinnedObject) -> _Upload | bool:
        """Copy a small object at once (True: it is new), or find or open the upload of a large one."""
        if pinned.size < MULTIPART_THRESHOLD:
            return self._copy_whole(pinned)
        if self._is_there(pinned):
            return False
        return self._opened(pinned) or self._new_upload(pinned)

    def _copy_whole(self, pinned: PinnedObject) -> bool:
        try:
            result = self._s3.copy_object(
                **self._target,
                **self._source_owner,
                Key=pinned.target,
                CopySource=_copy_source(pinned),
                CopySourceIfMatch=pinned.etag,
                IfNoneMatch="*",
                ChecksumAlgorithm=pinned.checksum_algorithm or "CRC64NVME",
                TaggingDirective="REPLACE",
            )
        except ClientError as error:
            return self._judge(pinned, error)
        if not self._is_whole(pinned, result):
            # It is ours, made a moment ago under IfNoneMatch, so that nobody can be using it.
            version = {"VersionId": result["VersionId"]} if result.get("VersionId") else {}
            self._s3.delete_object(**self._target, Key=pinned.target, **version)
            raise _damaged(pinned, self._bucket)
        return True

    def _is_whole(self, pinned: PinnedObject, result: dict[str, Any]) -> bool:
        if pinned.checksum_algorithm:
            copied = result["CopyObjectResult"].get(f"Checksum{pinned.checksum_algorithm}")
            return bool(copied == pinned.checksum)
        head = self._s3.head_object(**self._target, Key=pinned.target)
        return bool(head["ContentLength"] == pinned.size)

    def _opened(self, pinned: PinnedObject) -> _Upload | None:
        """The upload that an earlier try left open, with the parts it has; any further one is ended."""
        try:
            found = self._s3.list_multipart_uploads(**self._target, Prefix=pinned.target).get("Uploads", [])
            ours = sorted((u for u in found if u["Key"] == pinned.target), key=lambda u: u["Initiated"])
            opened = [_Upload(pinned, upload["UploadId"], _part_size(pinned), {}) for upload in ours]
            for surplus in opened[1:]:
                self._abort(surplus)
            if not opened:
                return None
            pages = self._s3.get_paginator("list_parts").paginate(
                **self._target, Key=pinned.target, UploadId=opened[0].upload_id
            )
            for page in pages:
                for part in page.get("Parts", []):
                    if part["Size"] == _length(opened[0], part["PartNumber"]):
                        opened[0].parts[part["PartNumber"]] = part["ETag"]
        except ClientError as error:
            raise self._explained(error, pinned) from error
        return opened[0]

    def _abort(self, upload: _Upload) -> None:
        # One that somebody else has ended is as good; the bucket's lifecycle ends any other.
        with contextlib.suppress(ClientError):
            self._s3.abort_multipart_upload(**self._target, Key=upload.pinned.target, UploadId=upload.upload_id)

    def _new_upload(self, pinned: PinnedObject) -> _Upload:
        try:
            answer = self._s3.create_multipart_upload(
                **self._target,
                Key=pinned.target,
                ChecksumAlgorithm=pinned.checksum_algorithm or "CRC64NVME",
                ChecksumType="FULL_OBJECT",
                **pinned.attributes,
            )
        except ClientError as error:
            raise self._explained(error, pinned) from error
        return _Upload(pinned, answer["UploadId"], _part_size(pinned), {})

    def _copy_part(self, upload: _Upload, number: int) -> str:
        pinned = upload.pinned
        start = (number - 1) * upload.part_size
        try:
            answer = self._s3.upload_part_copy(
                **self._target,
                **self._source_owner,
                Key=pinned.target,
                UploadId=upload.upload_id,
                PartNumber=number,
                CopySource=_copy_source(pinned),
                CopySourceIfMatch=pinned.etag,
                CopySourceRange=f"bytes={start}-{start + _length(upload, number) - 1}",
            )
        except ClientError as error:
            known = _changed(pinned) if meaning(error) is Meaning.CHANGED else self._explained(error, pinned)
            if isinstance(known, PromotionRefusedError):
                upload.is_void = True
            raise known from error
        return str(answer["CopyPartResult"]["ETag"])

    def _complete(self, upload: _Upload) -> bool:
        pinned = upload.pinned
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(upload.parts.items())]
        proof = {f"Checksum{pinned.checksum_algorithm}": pinned.checksum} if pinned.checksum_algorithm else {}
        try:
            self._s3.complete_multipart_upload(
                **self._target,
                Key=pinned.target,
                UploadId=upload.upload_id,
                MultipartUpload={"Parts": parts},
                MpuObjectSize=pinned.size,
                ChecksumType="FULL_OBJECT",
                IfNoneMatch="*",
                **proof,
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("BadDigest", "PreconditionFailed"):
                upload.is_void = True
            if code == "BadDigest":
                raise _damaged(pinned, self._bucket) from error
            if meaning(error) is Meaning.NOT_FOUND and self._is_there(pinned):
                # The answer to an earlier request was lost after S3 had carried it out.
                return True
            return self._judge(pinned, error)
        return True

    def _judge(self, pinned: PinnedObject, error: ClientError) -> bool:
        """After a failed condition: the target is there already (False: not new), or the source is another one now."""
        if error.response["Error"]["Code"] == "ConditionalRequestConflict":
            raise TryAgainError(f"s3://{self._bucket}/{pinned.target} is being written by someone else.") from error
        if meaning(error) is not Meaning.CHANGED:
            raise self._explained(error, pinned) from error
        if self._is_there(pinned):
            return False
        raise _changed(pinned) from error

    def _is_there(self, pinned: PinnedObject) -> bool:
        """Whether the target holds the pinned content; raises PromotionRefusedError when it holds anything else."""
        try:
            head = self._s3.head_object(**self._target, Key=pinned.target, ChecksumMode="ENABLED")
        except ClientError as error:
            if meaning(error) is Meaning.NOT_FOUND:
                return False
            raise self._explained(error, pinned) from error
        same = head["ContentLength"] == pinned.size
        if pinned.checksum_algorithm:
            same = same and head.get(f"Checksum{pinned.checksum_algorithm}") == pinned.checksum
        if not same:
            raise PromotionRefusedError(
                f"s3://{self._bucket}/{pinned.target} is there already with other content than "
                f"s3://{pinned.bucket}/{pinned.key}. It is never overwritten; find out who wrote it, and delete it."
            )
        return True

    def _explained(self, error: ClientError, pinned: PinnedObject) -> Exception:
        target, text = f"s3://{self._bucket}/{pinned.target}", message(error)
        if error.response["Error"]["Code"] == "NoSuchUpload":
            return TryAgainError(f"The upload of {target} was ended by someone else.")
        is_of_source = error.operation_name in ("CopyObject", "UploadPartCopy") and "kms:GenerateDataKey" not in text
        if is_of_source:
            return explained(error, "s3:GetObject", f"arn:aws:s3:::{pinned.bucket}/{pinned.key}", _uri(pinned))
        if meaning(error) is Meaning.DENIED:
            return PromotionRefusedError(
                f"{target} may not be written: {text}. This is of this stage's own account: see the role of the "
                "function, the policy of the bucket and that of its key."
            )
        unknown: Exception = error
        return unknown


def _part_size(pinned: PinnedObject) -> int:
    """PART_SIZE, or whole MiB as large as it takes to stay within S3's number of parts."""
    needed = -(-pinned.size // MAXIMUM_PARTS)
    return max(PART_SIZE, -(-needed // _MIB) * _MIB)


def _length(upload: _Upload, number: int) -> int:
    return min(upload.part_size, upload.pinned.size - (number - 1) * upload.part_size)


def _copy_source(pinned: PinnedObject) -> dict[str, str]:
    source = {"Bucket": pinned.bucket, "Key": pinned.key}
    return source | ({"VersionId": pinned.version_id} if pinned.version_id else {})


def _uri(pinned: PinnedObject) -> str:
    return f"s3://{pinned.bucket}/{pinned.key}"


def _changed(pinned: PinnedObject) -> PromotionRefusedError:
    return PromotionRefusedError(
        f"{_uri(pinned)} has been overwritten or deleted since the promotion was planned. Promote again to take what "
        "is there now."
    )


def _damaged(pinned: PinnedObject, bucket: str) -> TryAgainError:
    return TryAgainError(f"The copy of {_uri(pinned)} to s3://{bucket}/{pinned.target} has not the source's checksum.")
