"""Copy the planned images into this stage's repository."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from promotion.aws.clients import client
from promotion.copying.image_copier import ImageCopier
from promotion.source.images import Copy
from promotion.step import logger, step

# What is kept of the function's time to end in good order: a part that is on its way may take as long as a request.
_MARGIN_SECONDS = 70


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    ends = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    copier = ImageCopier(client("ecr"))
    for planned in event["images"]:
        summary = copier.copy(Copy(**planned), ends - time.monotonic())
        logger.info("Image copied", **planned, **dataclasses.asdict(summary))
    return {"images": [planned["target"] for planned in event["images"]]}
