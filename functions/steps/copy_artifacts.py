"""Copy one batch of the planned objects into this stage's bucket."""

from __future__ import annotations

import dataclasses
from typing import Any

import boto3

from promotion.artifacts import PinnedObject
from promotion.clients import CONFIG
from promotion.copying import REQUESTS_IN_FLIGHT, Copier
from promotion.step import logger, step

# S3 answers the completion of a large upload only when it is done, which may take minutes.
s3 = boto3.client("s3", config=CONFIG.merge(type(CONFIG)(max_pool_connections=REQUESTS_IN_FLIGHT, read_timeout=300)))

# What is kept of the function's time to end in good order.
_MARGIN_SECONDS = 20


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    batch = event["batch"]
    lines = s3.get_object(
        Bucket=event["bucket"],
        Key=event["manifest"],
        Range=f"bytes={batch['start']}-{batch['end'] - 1}",
        ExpectedBucketOwner=event["account"],
    )["Body"]
    objects = [PinnedObject.from_line(line) for line in lines.read().decode().splitlines()]
    copier = Copier(s3, event["bucket"], event["account"], event["upstream_account"])
    summary = copier.copy(objects, context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS)
    logger.info("Batch copied", **dataclasses.asdict(summary))
    return dataclasses.asdict(summary)
