"""The manifest: every pinned object to copy, split into batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class PinnedObject:
    """One object as it was when it was planned; a copy is made of exactly this one or not at all.

    `checksum` is a full-object checksum in base64 of the kind `checksum_algorithm` (CRC64NVME, CRC32, CRC32C), or None
    where the source has none. `name` is its key relative to the reference; `attributes` are the headers that a copy by
    parts has to be given anew, such as content-type, x-amz-meta-… and x-amz-tagging.
    """

    bucket: str
    key: str
    name: str
    size: int
    etag: str
    version_id: str | None
    checksum_algorithm: str | None
    checksum: str | None
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    target: str = ""

    @property
    def content(self) -> list[Any]:
        """What tells its content from another's, wherever it lies."""
        if self.checksum is None:
            return [self.name, self.size, "ETag", self.etag]
        return [self.name, self.size, self.checksum_algorithm, self.checksum]

    def to_line(self) -> str:
        """Its line in the manifest of a copy."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> PinnedObject:
        return cls(**json.loads(line))


# One batch has to be copied well within the fifteen minutes of a function.
_BATCH_OBJECTS = 1_000


_BATCH_BYTES = 200 * 1024**3


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
