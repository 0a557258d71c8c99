"""Copying: server-side, conditional on the pinned source, never over an existing object, resumable, verified.

One pool of requests serves all objects of a batch and all parts of each, so that many small objects and a single large
one are equally many requests in flight. Nothing streams through the function.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os.path
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.copying.copy_errors import WRONG_PARTS, CopyErrors, code, was_repeated
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_client import S3Requests
from promotion.copying.s3_copy_api import CopyRequests, Found, Upload
from promotion.errors import TransientError, UnfinishedError

MULTIPART_THRESHOLD = 128 * 1024**2
"""From here on parts in parallel are faster than one request; S3 itself demands parts above 5 GiB."""

PART_SIZE = 32 * 1024**2
REQUESTS_IN_FLIGHT = 512

# A copy of a few megabytes takes about a tenth of a second, and S3 takes some 3,500 a second below one prefix
# before it asks to slow down (S3 user guide, "Best practices design patterns").
_WHOLE_COPIES_IN_FLIGHT = 384

# How often an object is begun anew, or taken up where it is, before that is left to the next call.
_TRIES = 3
_LONGEST_PAUSE_SECONDS = 1.0
_ABORT_SECONDS = 15.0


@dataclasses.dataclass
class Summary:
    """What a batch came to; `verified_by` counts its objects by what proved the copy: a kind of checksum, or "size"."""

    copied: int = 0
    already_there: int = 0
    bytes: int = 0
    without_tags: int = 0
    verified_by: dict[str, int] = dataclasses.field(default_factory=dict)


class Copier:
    """Copies pinned objects into one bucket, by the rights and at the endpoint of the boto3 client `s3`."""

    def __init__(
        self,
        s3: Any,
        bucket: str,
        owner: str,
        source_owner: str,
        *,
        threshold: int = MULTIPART_THRESHOLD,
        part_size: int = PART_SIZE,
        in_flight: int = REQUESTS_IN_FLIGHT,
    ) -> None:
        self._s3, self._bucket = s3, bucket
        self._owners = owner, source_owner
        self._threshold, self._part_size, self._in_flight = threshold, part_size, in_flight

    def copy(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """Copy `objects` within `seconds`.

        Raises UnfinishedError when time runs out, TransientError when S3 asks for another try (another call takes up
        where this one stopped), and PromotionRefusedError when a source is not what was pinned any more, a target holds
        something else, or something is denied; then no upload of its own is left behind.
        """
        return asyncio.run(self.copy_on_loop(objects, seconds))

    async def copy_on_loop(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """What `copy` does, on the event loop that is running."""
        s3 = CopyRequests(S3Requests(self._s3, self._bucket), *self._owners, self._part_size)
        batch = _Batch(s3, CopyErrors(self._bucket, *self._owners), objects, self._threshold, self._in_flight)
        try:
            return await batch.copy(seconds)
        finally:
            s3.close()


class _StoppedError(Exception):
    """Nothing more is asked of S3, since something else has failed for good."""


class _Batch:
    """One call's work."""

    def __init__(
        self, s3: CopyRequests, errors: CopyErrors, objects: Sequence[PinnedObject], threshold: int, in_flight: int
    ) -> None:
        self._s3, self._errors, self._objects = s3, errors, objects
        self._large = {pinned.target: pinned for pinned in objects if pinned.size >= threshold}
        self._slots = asyncio.Semaphore(in_flight if self._large else min(in_flight, _WHOLE_COPIES_IN_FLIGHT))
        self._uploads: dict[str, Upload] = {}
        self._failure: Exception | None = None
        self._summary = Summary()

    async def copy(self, seconds: float) -> Summary:
        results: Sequence[object] = []
        try:
            async with asyncio.timeout(seconds):
                survey = asyncio.create_task(self._in_slot(self._survey))
                copies = [self._copy_object(pinned, survey) for pinned in self._objects]
                results = await asyncio.gather(survey, *copies, return_exceptions=True)
        except TimeoutError:
            done = self._summary.copied + self._summary.already_there
            words = f"{done} of {len(self._objects)} objects are copied; the next try takes up where this one stopped."
            results = [UnfinishedError(words)]
        if self._failure:
            # Only now, since an upload that is ended while a part is being copied may keep that part.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ABORT_SECONDS):
                    await asyncio.gather(
                        *[self._s3.abort(upload) for upload in self._uploads.values() if not upload.is_ended]
                    )
            raise self._failure
        for result in results:
            if isinstance(result, BaseException):
                raise result
        self._summary.without_tags = self._s3.without_tags
        return self._summary

    async def _in_slot[**P, R](self, work: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Let `work`, which asks one thing of S3 after the other, be one of the requests in flight."""
        async with self._slots:
            if self._failure:
                raise _StoppedError
            try:
                return await work(*args, **kwargs)
            except TransientError:
                raise
            except Exception as error:
                self._failure = self._failure or error
                raise

    async def _survey(self) -> set[str]:
        """The large objects that have something at their target. Finds what earlier tries left under way, too."""
        if not self._large:
            return set()
        prefix = os.path.commonprefix(list(self._large))  # noqa: RUF071 - of keys, which are no paths
        try:
            keys = await self._s3.keys(prefix)
            upload_ids = await self._s3.upload_ids(prefix)
        except ClientError as error:
            raise self._errors.of_target(error, prefix) from error
        for target in upload_ids.keys() & self._large.keys():
            uploads = [self._s3.upload(self._large[target], upload_id) for upload_id in upload_ids[target]]
            self._uploads[target] = uploads[0]
            for surplus in uploads[1:]:
                await self._s3.abort(surplus)
        return keys & self._large.keys()

    async def _copy_object(self, pinned: PinnedObject, survey: Awaitable[set[str]]) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                if pinned.target in self._large:
                    may_be_there = tries_left < _TRIES - 1 or pinned.target in await survey
                    is_new = await self._copy_by_parts(pinned, may_be_there)
                else:
                    is_new = await self._in_slot(self._copy_whole, pinned)
            except TransientError:
                if not tries_left:
                    raise
                await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - jitter
            else:
                self._count(pinned, is_new)
                return

    def _count(self, pinned: PinnedObject, is_new: bool) -> None:
        summary, proof = self._summary, pinned.checksum_algorithm or "size"
        summary.copied += is_new
        summary.already_there += not is_new
        summary.bytes += pinned.size if is_new else 0
        summary.verified_by[proof] = summary.verified_by.get(proof, 0) + 1

    async def _copy_whole(self, pinned: PinnedObject) -> bool:
        """Whether the copy is a new one."""
        # Where one object is there already the next may be too, and to look costs less than to copy in vain.
        if self._summary.already_there and await self._is_there(pinned):
            return False
        try:
            copy = await self._s3.copy_object(pinned)
        except ClientError as error:
            if code(error) == "ConditionalRequestConflict":
                raise self._errors.busy(pinned) from error
            if meaning(error) is not Meaning.CHANGED:
                raise self._errors.of_copying(error, pinned) from error
            # Either the target is there, or the source is another one.
            if await self._is_there(pinned):
                return was_repeated(error)
            raise self._errors.changed(pinned) from error
        # S3 answers with the checksum, but never with the size.
        await self._keep_if_whole(pinned, copy, copy if copy.checksum else await self._found(pinned) or copy)
        return True

    async def _copy_by_parts(self, pinned: PinnedObject, may_be_there: bool) -> bool:
        upload = await self._in_slot(self._open, pinned, may_be_there)
        if not upload:
            return False
        parts = [self._in_slot(self._copy_part, upload, number) for number in upload.missing]
        for result in await asyncio.gather(*parts, return_exceptions=True):
            if result:
                raise result
        return await self._in_slot(self._complete, upload)

    async def _open(self, pinned: PinnedObject, may_be_there: bool) -> Upload | None:
        """The upload that an earlier try left, with the parts it has, or a new one; None if the target is there."""
        upload = self._uploads.get(pinned.target)
        if may_be_there and await self._is_there(pinned):
            if upload:
                await self._s3.abort(upload)
            return None
        try:
            if upload and not upload.is_ended:
                upload.parts = await self._s3.parts(upload)
                return upload
            self._uploads[pinned.target] = upload = await self._s3.create_upload(pinned)
        except ClientError as error:
            failure = self._errors.of_target(error, pinned.target)
            raise (self._errors.of_upload(error, upload, failure) if upload else failure) from error
        return upload

    async def _copy_part(self, upload: Upload, number: int) -> None:
        if upload.is_ended:
            return
        try:
            upload.parts[number] = await self._s3.copy_part(upload, number)
        except ClientError as error:
            if meaning(error) is Meaning.CHANGED:
                raise self._errors.changed(upload.pinned) from error
            failure = self._errors.of_copying(error, upload.pinned)
            raise self._errors.of_upload(error, upload, failure) from error

    async def _complete(self, upload: Upload) -> bool:
        """Whether the copy is a new one."""
        pinned = upload.pinned
        try:
            copy = await self._s3.complete(upload)
        except ClientError as error:
            return await self._judge_completion(upload, error)
        await self._keep_if_whole(pinned, copy, dataclasses.replace(copy, checksum=copy.checksum or pinned.checksum))
        return True

    async def _judge_completion(self, upload: Upload, error: ClientError) -> bool:
        pinned = upload.pinned
        if code(error) in WRONG_PARTS:
            # The next try looks through them, and copies again those that are missing or of a wrong length.
            raise self._errors.damaged(pinned, message(error)) from error
        if code(error) == "NoSuchUpload" and await self._is_there(pinned):
            # The answer to an earlier request was lost after S3 had carried it out.
            return True
        if code(error) == "BadDigest":
            await self._s3.abort(upload)
            raise self._errors.damaged(pinned, message(error)) from error
        if meaning(error) is Meaning.CHANGED:
            await self._s3.abort(upload)
            if code(error) == "PreconditionFailed" and await self._is_there(pinned):
                return was_repeated(error)
            raise self._errors.busy(pinned) from error
        raise self._errors.of_upload(error, upload, self._errors.of_target(error, pinned.target)) from error

    async def _keep_if_whole(self, pinned: PinnedObject, copy: Found, found: Found) -> None:
        """Delete `copy`, which was made a moment ago where there was nothing, if `found` shows that it is damaged."""
        if _is_same(pinned, found):
            return
        try:
            await self._s3.delete(pinned, copy)
        except ClientError as error:
            raise self._errors.of_target(error, pinned.target) from error
        raise self._errors.damaged(pinned, "it had another size or checksum than the source")

    async def _is_there(self, pinned: PinnedObject) -> bool:
        """Whether the target holds the pinned content; raises PromotionRefusedError when it holds anything else."""
        found = await self._found(pinned)
        if found and not _is_same(pinned, found):
            raise self._errors.occupied(pinned)
        return found is not None

    async def _found(self, pinned: PinnedObject) -> Found | None:
        try:
            return await self._s3.head(pinned)
        except ClientError as error:
            if meaning(error) is Meaning.NOT_FOUND:
                return None
            raise self._errors.of_target(error, pinned.target) from error


def _is_same(pinned: PinnedObject, found: Found) -> bool:
    same_size = found.size in (None, pinned.size)
    return same_size and (not pinned.checksum or found.checksum == pinned.checksum)
