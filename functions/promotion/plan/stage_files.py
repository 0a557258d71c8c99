"""The files that a promotion writes into the stage's bucket."""

from __future__ import annotations

import dataclasses
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying.manifest import PinnedObject
from promotion.errors import TransientError
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
        s3.put_object(**_request(stage, key, body))


def write_once(s3: Any, stage: Stage, files: dict[str, bytes]) -> None:
    """Write `files`, whose keys contain hashes of their contents, unless they exist.

    The bucket policy requires it under models/. Raise TransientError if another promotion is writing the same file.
    """
    for key, body in files.items():
        try:
            s3.put_object(**_request(stage, key, body), IfNoneMatch="*")
        except ClientError as error:
            if meaning(error) is not Meaning.CHANGED:
                raise
            if error.response["Error"]["Code"] == "ConditionalRequestConflict":
                raise TransientError(f"s3://{stage.bucket}/{key} is being written by another promotion.") from error


def _request(stage: Stage, key: str, body: bytes) -> dict[str, Any]:
    kind = _CONTENT_TYPES[key.rsplit(".", 1)[-1]]
    return {
        "Bucket": stage.bucket,
        "Key": key,
        "Body": body,
        "ContentType": kind,
        "ExpectedBucketOwner": stage.account,
    }
