"""Copy the planned images into this stage's repository."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from promotion.aws.clients import client
from promotion.copying.image_copier import ImageCopier
from promotion.source.images import Copy
from promotion.step import logger, step

# The time reserved for the function to return: the upload of a part can take as long as one request.
_MARGIN_SECONDS = 70


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Copy the planned `images`, and return their URIs in this stage."""
    ends = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    copier = ImageCopier(client("ecr"))
    for planned in event["images"]:
        summary = copier.copy(Copy(**planned), ends - time.monotonic())
        logger.info("Image copied", **planned, **dataclasses.asdict(summary))
    return {"images": [planned["target"] for planned in event["images"]]}
