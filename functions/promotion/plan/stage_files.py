"""The files that a promotion writes into the stage's bucket."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.copying.manifest import PinnedObject
from promotion.stage import Stage

_CONTENT_TYPES = {"json": "application/json", "jsonl": "application/jsonl"}


@dataclasses.dataclass(frozen=True)
class Placed:
    """A placed file: its URI in the stage, the files to write by key, and the objects to copy for it."""

    uri: str
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    objects: list[PinnedObject] = dataclasses.field(default_factory=list)


def write(s3: Any, stage: Stage, files: dict[str, bytes]) -> None:
    """Write `files` (contents by key) into the stage's bucket."""
    for key, body in files.items():
        kind = _CONTENT_TYPES[key.rsplit(".", 1)[-1]]
        s3.put_object(Bucket=stage.bucket, Key=key, Body=body, ContentType=kind, ExpectedBucketOwner=stage.account)
