"""Copy one batch of the planned objects into this stage's bucket."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from promotion.aws.clients import client, upstream_client
from promotion.copying.incoming import IncomingCopier
from promotion.copying.manifest import PinnedObject
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
    session = event["execution"].rsplit(":", 1)[-1]
    reader = functools.partial(upstream_client, event["upstream_role_arn"], event["external_id"], session, "s3")
    copier = IncomingCopier(s3, reader, event["bucket"], event["account"])
    summary = copier.copy(objects, context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS)
    if summary.without_tags:
        logger.warning("Tags not copied: the permission s3:PutObjectTagging is missing", objects=summary.without_tags)
    logger.info("Batch copied", **dataclasses.asdict(summary))
    return dataclasses.asdict(summary)
