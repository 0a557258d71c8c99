"""The manifest: every pinned object to copy, split into batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Splice:
    """Code that is added to a model while it is copied (promotion.copying.splice).

    `source_size` is the size of the model's archive without it, `sha256` is the digest of the added content, and
    `objects` are the pinned objects that contain the code. With `file`, the copy is this file of the code alone.
    """

    source_size: int
    sha256: str
    objects: list[PinnedObject]
    file: str = ""


@dataclasses.dataclass(frozen=True)
class PinnedObject:
    """An object in its planned state, which a copy must have exactly.

    `checksum` is a full-object checksum in base64, computed with `checksum_algorithm` (CRC64NVME, CRC32, CRC32C), or
    None if the source has none. `name` is the key relative to the reference. `attributes` are the headers that a
    multipart copy must set itself, such as content-type, x-amz-meta-… and x-amz-tagging. With a `splice`, `size` and
    `checksum` are those of the copy. `incoming` is the key of the reader role's copy in this stage's bucket, if this
    stage cannot decrypt the object (`promotion.copying.incoming`). `owner` is the account that must own the bucket.
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
    splice: Splice | None = None
    incoming: str = ""
    owner: str = ""

    @property
    def content(self) -> list[Any]:
        """Return values that identify the content, independent of its location."""
        if self.checksum is None:
            code = [self.splice.sha256] if self.splice else []
            return [self.name, self.size, "ETag", self.etag, *code]
        return [self.name, self.size, self.checksum_algorithm, self.checksum]

    def to_line(self) -> str:
        """Return the object's line in the manifest."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> PinnedObject:
        """Build an object from its line in the manifest."""
        return cls._from_json(json.loads(line))

    @classmethod
    def _from_json(cls, value: dict[str, Any]) -> PinnedObject:
        if splice := value.get("splice"):
            objects = [cls._from_json(each) for each in splice["objects"]]
            value = value | {"splice": Splice(**splice | {"objects": objects})}
        return cls(**value)


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
