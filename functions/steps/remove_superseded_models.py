"""Remove the superseded endpoint configs, models and artifacts of earlier promotions."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from promotion.aws.clients import client
from promotion.history import claims, cleanup
from promotion.history.cleanup import Place
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.step import logger, step

# More than the clocks of two functions differ.
_MARGIN_SECONDS = 5


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    record: PromotionRecord = event["promotion"]
    execution = event["execution"]
    endpoint, application = record["endpoint"], record["application"]
    table, stepfunctions = PromotionTable(client("dynamodb"), event["table"]), client("stepfunctions")
    retention = json.loads(event["settings"])["Retention"]
    place = Place(application, event["stage"], event["bucket"], event["account"], execution.rsplit(":", 1)[0] + ":")

    ends_at = time.time() + context.get_remaining_time_in_millis() / 1000 + _MARGIN_SECONDS
    claims.begin_removal(table, endpoint, execution, ends_at)
    try:
        keep = cleanup.needed(table, stepfunctions, endpoint, retention["Keep"])
        found = cleanup.find(client("sagemaker"), client("s3"), place, keep)
        objects = cleanup.remove(client("sagemaker"), client("s3"), place, found)
    finally:
        claims.end_removal(table, endpoint, execution)
    claims.clear(table, stepfunctions, endpoint, time.time())
    logger.info("Superseded models removed", **dataclasses.asdict(found), objects=objects)
    return {
        "endpoint_configs": len(found.endpoint_configs),
        "models": len(found.models),
        "artifacts": len(found.digests),
        "objects": objects,
    }
