"""Copies of objects that only their own account can decrypt, through incoming/ of this stage's bucket.

The artifacts of a training job without a key of its own are encrypted with the AWS managed key aws/s3, which no other
account can use. The reader role of the upstream account copies them to keys under incoming/ that this stage has chosen,
and this stage copies them on. The upstream account can write there whatever it wants. So the second copy is of exactly
the object that S3 confirmed to this process, or of one with the planned size and checksum; nothing else is used.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import os.path
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import denials
from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.copying.copier import PART_SIZE, Copier, is_same
from promotion.copying.copy_errors import CopyErrors
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_client import S3Requests
from promotion.copying.s3_copy_api import CopyRequests, Found
from promotion.copying.splicer import Splicer
from promotion.copying.summary import Summary
from promotion.errors import PromotionRefusedError, TransientError

PREFIX = "incoming/"

_HEADS_IN_FLIGHT = 256


@dataclasses.dataclass
class Reader:
    """The reader role of the upstream account, which copies to incoming/`folder`; `connect` returns its S3 client."""

    connect: Callable[[], Any]
    folder: str

    @functools.cached_property
    def s3(self) -> Any:
        """The client for S3 with the credentials of the role."""
        return self.connect()

    def new_key(self) -> str:
        """Return a key for one object. Nobody can write it before this stage does, since nobody can guess it."""
        return f"{PREFIX}{self.folder}/{secrets.token_hex(16)}"

    def taken(self, pinned: PinnedObject) -> PinnedObject:
        """Return an object that goes through incoming/, too."""
        return pinned if pinned.incoming else dataclasses.replace(pinned, incoming=self.new_key())


@dataclasses.dataclass(frozen=True)
class IncomingErrors(CopyErrors):
    """The errors of copies that the reader role makes."""

    def of_copying(self, error: ClientError, pinned: PinnedObject) -> Exception:
        """Return the exception for the `error` of a request that reads the source and writes the target."""
        return self.of_target(error, pinned.target) if _is_denied(error) else super().of_copying(error, pinned)

    def of_target(self, error: ClientError, target: str) -> Exception:
        """Return the exception for the `error` of a request that uses only the target."""
        if not _is_denied(error):
            return super().of_target(error, target)
        denial = denials.read(error)
        advice = denial and denial.advice("the reader role", "the upstream account", "this stage's account")
        advice = advice or (
            "Deploy upstream.yaml again in the upstream account, with a CopiedBuckets that contains the bucket of the "
            "object, and then this stage. Each copy requires the permissions of both stacks."
        )
        return PromotionRefusedError(
            f"The reader role of the upstream account cannot copy an object to s3://{self.bucket}/{target}: "
            f"{message(error)}. {advice}"
        )


def _is_denied(error: ClientError) -> bool:
    return meaning(error) is Meaning.DENIED or str(error.response["Error"]["Code"]).startswith("KMS.")


class IncomingCopier:
    """A copier of pinned objects, with or without a splice; those with a key under incoming/ by way of it.

    `s3` is a client of this stage, and `reader` returns one with the credentials of the upstream account's reader role.
    """

    def __init__(self, s3: Any, reader: Callable[[], Any], bucket: str, owner: str, **options: Any) -> None:
        self._s3, self._reader, self._bucket = s3, reader, bucket
        self._owner, self._options = owner, options

    def copy(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """Copy `objects` as `Copier.copy` does; another call resumes an unfinished copy."""
        return asyncio.run(self.copy_on_loop(objects, seconds))

    async def copy_on_loop(self, objects: Sequence[PinnedObject], seconds: float) -> Summary:
        """Copy `objects` as `copy` does, on the running event loop."""
        now = asyncio.get_running_loop().time
        ends = now() + seconds
        through = [pinned for pinned in objects if _keys(pinned)]
        direct = [pinned for pinned in objects if not _keys(pinned)]
        summary = Summary()
        if through:
            present = await self._present(through)
            arrived = await self._arrived([pinned for pinned in through if pinned not in present], ends - now())
            summary = _of_present(present) + await self._copied(arrived, lambda: ends - now())
        return summary + await self._copied(direct, lambda: ends - now())

    async def _copied(self, objects: list[PinnedObject], left: Callable[[], float]) -> Summary:
        """Copy objects with the permissions of this stage."""
        summary = Summary()
        for kind, those in (
            (Copier, [pinned for pinned in objects if not pinned.splice]),
            (Splicer, [pinned for pinned in objects if pinned.splice]),
        ):
            if those:
                copier = kind(self._s3, self._bucket, self._owner, **self._options)
                summary += await copier.copy_on_loop(those, left())
        return summary

    async def _present(self, objects: list[PinnedObject]) -> list[PinnedObject]:
        """Return the objects that an earlier call or promotion has already copied to their targets."""
        errors = CopyErrors(self._bucket, self._owner)
        requests = CopyRequests(S3Requests(self._s3, self._bucket), self._owner, PART_SIZE)
        prefix = os.path.commonprefix([pinned.target for pinned in objects])  # noqa: RUF071 - of keys, no paths
        slots = asyncio.Semaphore(_HEADS_IN_FLIGHT)

        async def assert_same(pinned: PinnedObject) -> None:
            async with slots:
                if not is_same(pinned, await requests.head(pinned)):
                    raise errors.occupied(pinned)

        try:
            keys = await requests.keys(prefix)
            found = [pinned for pinned in objects if pinned.target in keys]
            await asyncio.gather(*map(assert_same, found))
        except ClientError as error:
            raise errors.of_target(error, prefix) from error
        finally:
            requests.close()
        return found

    async def _arrived(self, objects: list[PinnedObject], seconds: float) -> list[PinnedObject]:
        """Return the objects as they are after the reader role has copied them, each pinned again."""
        if not objects:
            return []
        copier = Copier(
            self._reader(),
            self._bucket,
            self._owner,
            own=self._s3,
            errors=IncomingErrors(self._bucket, self._owner),
            **self._options,
        )
        # By their keys, since several objects can contain the same code.
        sources = {source.incoming: source for pinned in objects for source in _sources(pinned)}
        # Only a multipart upload is worth resuming, and only a checksum can verify what this process did not see.
        targets = {
            key: key if source.checksum and source.size >= copier.threshold else f"{key}-{secrets.token_hex(8)}"
            for key, source in sources.items()
        }
        # The reader role sets no tags; the second copy gets the attributes that were planned.
        sent = [dataclasses.replace(source, target=targets[key], attributes={}) for key, source in sources.items()]
        await copier.copy_on_loop(sent, seconds)
        places = {key: self._place(source, targets[key], copier) for key, source in sources.items()}
        return [_placed(pinned, places) for pinned in objects]

    def _place(self, source: PinnedObject, key: str, copier: Copier) -> dict[str, Any]:
        """Return the fields of a pinned object that say where it is and which version it is."""
        found: Found | None = copier.made.get(key) or (copier.present.get(key) if source.checksum else None)
        if not found:
            raise TransientError(
                f"S3 did not confirm the copy of s3://{source.bucket}/{source.key} to s3://{self._bucket}/{key}, and "
                "the object has no checksum that would prove its content. It is copied again."
            )
        where = {"bucket": self._bucket, "owner": self._owner, "key": key, "incoming": ""}
        return where | {"etag": found.etag, "version_id": found.version_id}


def _keys(pinned: PinnedObject) -> list[str]:
    """Return the keys under incoming/ of an object and of the code that is added to it."""
    return [each.incoming for each in (pinned, *(pinned.splice.objects if pinned.splice else ())) if each.incoming]


def _sources(pinned: PinnedObject) -> list[PinnedObject]:
    """Return the objects that a copy reads; the size and checksum of a splice are those of the copy."""
    if not pinned.splice:
        return [pinned]
    unknown: dict[str, Any] = {"size": pinned.splice.source_size, "checksum_algorithm": None, "checksum": None}
    archive = [] if pinned.splice.file else [dataclasses.replace(pinned, splice=None, **unknown)]
    return [*archive, *pinned.splice.objects]


def _placed(pinned: PinnedObject, places: dict[str, dict[str, Any]]) -> PinnedObject:
    """Return an object that is read from where its copies arrived, as is the code that is added to it."""
    if not pinned.splice:
        return dataclasses.replace(pinned, **places[pinned.incoming])
    first, *_ = _sources(pinned)
    code = [dataclasses.replace(each, **places[each.incoming]) for each in pinned.splice.objects]
    return dataclasses.replace(
        pinned, splice=dataclasses.replace(pinned.splice, objects=code), **places[first.incoming]
    )


def _of_present(present: list[PinnedObject]) -> Summary:
    proofs = collections.Counter(pinned.checksum_algorithm or "size" for pinned in present)
    return Summary(already_present=len(present), verified_by=dict(proofs))
