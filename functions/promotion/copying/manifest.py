"""The manifest: every pinned object to copy, split into batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class PinnedObject:
    """An object in its planned state, which a copy must have exactly.

    `checksum` is a full-object checksum in base64, computed with `checksum_algorithm` (CRC64NVME, CRC32, CRC32C), or
    None if the source has none. `name` is the key relative to the reference. `attributes` are the headers that a
    multipart copy must set itself, such as content-type, x-amz-meta-… and x-amz-tagging. `incoming` is the key of the
    reader role's copy in this stage's bucket, if this stage cannot decrypt the object (`promotion.copying.incoming`).
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
    incoming: str = ""

    @property
    def content(self) -> list[Any]:
        """Return values that identify the content, independent of its location."""
        if self.checksum is None:
            return [self.name, self.size, "ETag", self.etag]
        return [self.name, self.size, self.checksum_algorithm, self.checksum]

    def to_line(self) -> str:
        """Return the object's line in the manifest."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> PinnedObject:
        """Build an object from its line in the manifest."""
        return cls(**json.loads(line))


# One batch must be copied well within a function's maximum of 15 minutes.
_BATCH_OBJECTS = 1_000
_BATCH_BYTES = 200 * 1024**3


def manifest(objects: Iterable[PinnedObject]) -> tuple[str, list[dict[str, int]]]:
    """Return the manifest, one line for each object, and its batches: {"start", "end"} in bytes, `end` exclusive."""
    text, batches = "", []
    start = count = size = 0
    for pinned in objects:
        if count and (count == _BATCH_OBJECTS or size + pinned.size > _BATCH_BYTES):
            batches.append({"start": start, "end": len(text)})
            start, count, size = len(text), 0, 0
        # JSON escapes all non-ASCII characters, so each character is one byte.
        text += pinned.to_line()
        count, size = count + 1, size + pinned.size
    if count:
        batches.append({"start": start, "end": len(text)})
    return text, batches
