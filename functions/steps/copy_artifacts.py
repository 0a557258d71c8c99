"""Copy one batch of the planned objects into this stage's bucket."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.clients import client
from promotion.copying.copier import Copier, Summary
from promotion.copying.manifest import PinnedObject
from promotion.copying.splicer import Splicer
from promotion.step import logger, step

# The time reserved for the function to return.
_MARGIN_SECONDS = 20


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Copy the objects of a `batch` of the `manifest`, and return a summary."""
    batch, s3 = event["batch"], client("s3")
    lines = s3.get_object(
        Bucket=event["bucket"],
        Key=event["manifest"],
        Range=f"bytes={batch['start']}-{batch['end'] - 1}",
        ExpectedBucketOwner=event["account"],
    )["Body"]
    objects = [PinnedObject.from_line(line) for line in lines.read().decode().splitlines()]
    summary = Summary()
    for kind, those in (
        (Copier, [pinned for pinned in objects if not pinned.splice]),
        (Splicer, [pinned for pinned in objects if pinned.splice]),
    ):
        copier = kind(s3, event["bucket"], event["account"], event["upstream_account"])
        summary += copier.copy(those, context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS)
    if summary.without_tags:
        logger.warning("Tags not copied: the permission s3:PutObjectTagging is missing", objects=summary.without_tags)
    logger.info("Batch copied", **dataclasses.asdict(summary))
    return dataclasses.asdict(summary)
