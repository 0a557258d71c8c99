"""The copier of S3 objects: server-side, conditional on the pinned source, without overwriting, resumable, verified.

One pool of requests serves all objects of a batch and all their parts, so that many small objects and one large object
use the same number of concurrent requests. No data streams through the function.
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
from promotion.copying.summary import Summary
from promotion.errors import TransientError, UnfinishedError

MULTIPART_THRESHOLD = 128 * 1024**2
"""The size, in bytes, from which parallel parts are faster than one request; S3 requires parts above 5 GiB."""

PART_SIZE = 32 * 1024**2
REQUESTS_IN_FLIGHT = 512

# A copy of a few megabytes takes about a tenth of a second, and S3 accepts about 3,500 copies a second under one prefix
# before it throttles them (S3 user guide, "Best practices design patterns").
_WHOLE_COPIES_IN_FLIGHT = 384

# How many times an object's copy is started or resumed in one call.
_ATTEMPTS = 3
_LONGEST_PAUSE_SECONDS = 1.0
_ABORT_SECONDS = 15.0


class Copier:
    """A copier of pinned objects to `bucket` of the account `owner`, with the credentials of the boto3 client `s3`.

    `own` is a client of the bucket's account if `s3` is not. `made` and `present` are the objects by their targets.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        owner: str,
        *,
        own: Any = None,
        errors: CopyErrors | None = None,
        threshold: int = MULTIPART_THRESHOLD,
        part_size: int = PART_SIZE,
        in_flight: int = REQUESTS_IN_FLIGHT,
    ) -> None:
        self._s3, self._bucket = s3, bucket
        self._owner = owner
        self._own, self._errors = own, errors or CopyErrors(bucket, owner)
        self.made: dict[str, Found] = {}
        self.present: dict[str, Found] = {}
        self.threshold, self._part_size, self._in_flight = threshold, part_size, in_flight

    def copy(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """Copy `objects` within `seconds`; another call resumes an unfinished copy.

        Raise UnfinishedError if time runs out, and TransientError for a transient error of S3. Raise
        PromotionRefusedError, without leaving an upload behind, if a source has changed since it was pinned, a target
        has other content, or a permission is missing.
        """
        return asyncio.run(self.copy_on_loop(objects, seconds))

    async def copy_on_loop(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """Copy `objects` as `copy` does, on the running event loop."""
        s3 = await self._requests(objects)
        batch = _Batch(s3, self._errors, objects, self.threshold, self._in_flight)
        batch.made, batch.present = self.made, self.present
        try:
            return await batch.copy(seconds)
        finally:
            s3.close()

    async def _requests(self, objects: Sequence[PinnedObject]) -> CopyRequests:
        """Return the requests that copy `objects`."""
        own = S3Requests(self._own, self._bucket) if self._own else None
        return CopyRequests(S3Requests(self._s3, self._bucket), self._owner, self._part_size, own)


class _StoppedError(Exception):
    """The request was not sent because another one of the batch has failed permanently."""


class _Batch:
    """The state of one call of `Copier.copy`."""

    def __init__(
        self, s3: CopyRequests, errors: CopyErrors, objects: Sequence[PinnedObject], threshold: int, in_flight: int
    ) -> None:
        self._s3, self._errors, self._objects = s3, errors, objects
        self._large = {pinned.target: pinned for pinned in objects if pinned.size >= threshold}
        self._slots = asyncio.Semaphore(in_flight if self._large else min(in_flight, _WHOLE_COPIES_IN_FLIGHT))
        self._uploads: dict[str, Upload] = {}
        self._failure: Exception | None = None
        self._summary = Summary()
        self.made: dict[str, Found] = {}
        self.present: dict[str, Found] = {}

    async def copy(self, seconds: float) -> Summary:
        results: Sequence[object] = []
        try:
            async with asyncio.timeout(seconds):
                survey = asyncio.create_task(self._in_slot(self._survey))
                copies = [self._copy_object(pinned, survey) for pinned in self._objects]
                results = await asyncio.gather(survey, *copies, return_exceptions=True)
        except TimeoutError:
            done = self._summary.copied + self._summary.already_present
            text = f"{done} of {len(self._objects)} objects are copied. The next invocation copies the rest."
            results = [UnfinishedError(text)]
        if self._failure:
            # Only after all requests ended, since an upload that is aborted during a part copy may keep that part.
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
        """Run `work`, which sends its requests one after the other, as one of the concurrent requests."""
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
        """Return the large objects whose target exists, and collect the uploads that earlier calls left unfinished."""
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
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                if pinned.target in self._large:
                    may_exist = attempts_left < _ATTEMPTS - 1 or pinned.target in await survey
                    is_new = await self._copy_by_parts(pinned, may_exist)
                else:
                    is_new = await self._in_slot(self._copy_whole, pinned)
            except TransientError:
                if not attempts_left:
                    raise
                await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - jitter
            else:
                self._count(pinned, is_new)
                return

    def _count(self, pinned: PinnedObject, is_new: bool) -> None:
        summary, proof = self._summary, pinned.checksum_algorithm or "size"
        summary.copied += is_new
        summary.already_present += not is_new
        summary.bytes += pinned.size if is_new else 0
        summary.verified_by[proof] = summary.verified_by.get(proof, 0) + 1

    async def _copy_whole(self, pinned: PinnedObject) -> bool:
        """Return whether a new copy was made."""
        # If one target already exists, the next one may too, and a HEAD costs less than a failed copy.
        if self._summary.already_present and await self._exists(pinned):
            return False
        try:
            copy = await self._s3.copy_object(pinned)
        except ClientError as error:
            if code(error) == "ConditionalRequestConflict":
                raise self._errors.busy(pinned) from error
            if meaning(error) is not Meaning.CHANGED:
                raise self._errors.of_copying(error, pinned) from error
            # Either the target exists, or the source has changed.
            if await self._exists(pinned):
                return was_repeated(error)
            raise self._errors.changed(pinned) from error
        self.made[pinned.target] = copy
        # The response has the checksum, but never the size.
        self._assert_undamaged(pinned, copy if copy.checksum else await self._found(pinned) or copy)
        return True

    async def _copy_by_parts(self, pinned: PinnedObject, may_exist: bool) -> bool:
        upload = await self._in_slot(self._open, pinned, may_exist)
        if not upload:
            return False
        parts = [self._in_slot(self._copy_part, upload, number) for number in upload.missing]
        for result in await asyncio.gather(*parts, return_exceptions=True):
            if result:
                raise result
        return await self._in_slot(self._complete, upload)

    async def _open(self, pinned: PinnedObject, may_exist: bool) -> Upload | None:
        """Return an earlier, unfinished upload with its parts, or a new one; None if the target exists."""
        upload = self._uploads.get(pinned.target)
        if may_exist and await self._exists(pinned):
            if upload:
                await self._s3.abort(upload)
            return None
        try:
            if upload and not upload.is_ended:
                upload.parts = self._kept(upload, await self._s3.parts(upload))
                return upload
            self._uploads[pinned.target] = upload = await self._s3.create_upload(pinned)
        except ClientError as error:
            failure = self._errors.of_target(error, pinned.target)
            raise (self._errors.of_upload(error, upload, failure) if upload else failure) from error
        return upload

    def _kept(self, upload: Upload, listed: dict[int, str]) -> dict[int, str]:
        """Return the parts to keep; without a checksum, none that another account may have written."""
        if upload.pinned.checksum or not self._s3.is_shared:
            return listed
        return {number: etag for number, etag in listed.items() if upload.parts.get(number) == etag}

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
        """Return whether a new copy was made."""
        pinned = upload.pinned
        try:
            copy = await self._s3.complete(upload)
        except ClientError as error:
            return await self._handle_completion_error(upload, error)
        self.made[pinned.target] = copy
        self._assert_undamaged(pinned, dataclasses.replace(copy, checksum=copy.checksum or pinned.checksum))
        return True

    async def _handle_completion_error(self, upload: Upload, error: ClientError) -> bool:
        pinned = upload.pinned
        if code(error) in WRONG_PARTS:
            # The next attempt lists the parts, and copies those again that are missing or have a wrong length.
            raise self._errors.damaged(pinned, message(error)) from error
        if code(error) == "NoSuchUpload" and await self._exists(pinned):
            # S3 completed an earlier request whose response was lost.
            return True
        if code(error) == "BadDigest":
            await self._s3.abort(upload)
            raise self._errors.damaged(pinned, message(error)) from error
        if meaning(error) is Meaning.CHANGED:
            await self._s3.abort(upload)
            if code(error) == "PreconditionFailed" and await self._exists(pinned):
                return was_repeated(error)
            raise self._errors.busy(pinned) from error
        raise self._errors.of_upload(error, upload, self._errors.of_target(error, pinned.target)) from error

    def _assert_undamaged(self, pinned: PinnedObject, copy: Found) -> None:
        """Raise PromotionRefusedError if `copy` is damaged. It stays, since this function has no permission to delete.

        No model refers to it, and the removal of superseded resources deletes it.
        """
        if not is_same(pinned, copy):
            raise self._errors.damaged_copy(pinned)

    async def _exists(self, pinned: PinnedObject) -> bool:
        """Return whether the target has the pinned content; raise PromotionRefusedError if it has other content."""
        found = await self._found(pinned)
        if found and not is_same(pinned, found):
            raise self._errors.occupied(pinned)
        if found:
            self.present[pinned.target] = found
        return found is not None

    async def _found(self, pinned: PinnedObject) -> Found | None:
        try:
            return await self._s3.head(pinned)
        except ClientError as error:
            if meaning(error) is Meaning.NOT_FOUND:
                return None
            raise self._errors.of_target(error, pinned.target) from error


def is_same(pinned: PinnedObject, found: Found) -> bool:
    """Return whether an object has the pinned size and, if there is one, the pinned checksum."""
    same_size = found.size in (None, pinned.size)
    return same_size and (not pinned.checksum or found.checksum == pinned.checksum)
