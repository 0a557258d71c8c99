"""Plan, run and check copies in the tests of copying."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from promotion.copying.copier import Copier
from promotion.copying.manifest import PinnedObject
from promotion.copying.summary import Summary
from promotion.errors import PromotionRefusedError
from tests.support import idle_clock
from tests.support.s3_service import OWN, S3, UPSTREAM, Content, Request, Stored, client, served


def planned(s3: S3, name: str = "model.tar.gz", size: int = 1000, algorithm: str | None = "CRC64NVME") -> PinnedObject:
    """Create an object in the upstream bucket and pin it."""
    return pinned(s3.put("upstream", f"reviews/{name}", size, algorithm), name)


def pinned(stored: Stored, name: str) -> PinnedObject:
    return PinnedObject(
        bucket="upstream",
        key=f"reviews/{name}",
        name=name,
        size=stored.size,
        etag=stored.etag,
        version_id=None,
        checksum_algorithm=stored.algorithm,
        checksum=stored.checksum if stored.algorithm else None,
        target=f"models/{name}",
        owner=UPSTREAM,
    )


async def copy_on_loop(
    s3: S3, *objects: PinnedObject, seconds: float = 60, timeout: float = 5, **options: Any
) -> Summary:
    with copying(timeout):
        async with served(s3):
            return await Copier(client(), "stage", OWN, **options).copy_on_loop(objects, seconds)


@contextlib.contextmanager
def copying(timeout: float = 5) -> Iterator[None]:
    """Copy without pauses, and with the same time-out for each request."""
    with contextlib.ExitStack() as changes:
        changes.enter_context(patch("promotion.copying.copier._LONGEST_PAUSE_SECONDS", 0))
        changes.enter_context(patch("promotion.copying.s3_client._FIRST_PAUSE_SECONDS", 0))
        changes.enter_context(patch("promotion.copying.s3_client.TIMEOUT_SECONDS", timeout))
        changes.enter_context(patch("promotion.copying.s3_copy_api._SLOWEST_BYTES_PER_SECOND", float("inf")))
        changes.enter_context(patch("promotion.copying.s3_copy_api._COMPLETION_SECONDS", 0))
        yield


@dataclasses.dataclass
class Kill:
    """A fault that cancels the copy at a request, like the end of its process, before or after S3 executes it."""

    at: int
    after: bool
    copying: asyncio.Task[Summary] | None = None

    def __call__(self, request: Request, number: int) -> str:
        if number < self.at:
            return ""
        if self.copying:
            self.copying.cancel()
        return "drop after" if self.after and number == self.at else "drop before"


def copy(s3: S3, *objects: PinnedObject, **options: Any) -> Summary:
    return idle_clock.run(copy_on_loop(s3, *objects, **options))


def refusal(s3: S3, *objects: PinnedObject) -> str:
    """Return the message of a refused copy, after checking that it leaves no upload behind."""
    with pytest.raises(PromotionRefusedError) as error:
        copy(s3, *objects)
    assert not s3.uploads
    return str(error.value)


def content(s3: S3, name: str = "model.tar.gz") -> Content | None:
    """Return the content of `name` in the stage's bucket, or None."""
    found = s3.objects.get(("stage", f"models/{name}"))
    return found.content if found else None


def original(s3: S3, name: str = "model.tar.gz") -> Content:
    return s3.objects["upstream", f"reviews/{name}"].content
