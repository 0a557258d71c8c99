"""Remove the superseded endpoint configs, models and artifacts of earlier promotions."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from promotion.aws.clients import client
from promotion.history import claims, cleanup
from promotion.history.claims import Removal
from promotion.history.cleanup import Scope
from promotion.history.references import References
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.step import logger, step

# More than the difference between the clocks of two functions.
_MARGIN_SECONDS = 5


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Remove the superseded resources of the endpoint, and return their numbers."""
    record: PromotionRecord = event["promotion"]
    execution = event["execution"]
    endpoint, application = record["endpoint"], record["application"]
    table, stepfunctions = PromotionTable(client("dynamodb"), event["table"]), client("stepfunctions")
    retention = json.loads(event["settings"])["Retention"]
    scope = Scope(application, event["stage"], event["bucket"], event["account"], execution.rsplit(":", 1)[0] + ":")

    ends_at = time.time() + context.get_remaining_time_in_millis() / 1000 + _MARGIN_SECONDS
    removal = Removal(endpoint, execution, context.aws_request_id)
    claims.begin_removal(table, removal, ends_at)
    try:
        keep = cleanup.resources_to_keep(table, stepfunctions, endpoint, retention["Keep"])
        references = References(table, client("sagemaker"), remember=True)
        survey = cleanup.survey(references, client("s3"), scope, keep)
        superseded, objects = cleanup.remove(references, client("s3"), scope, survey, keep)
    finally:
        claims.end_removal(table, removal)
    claims.clear(table, stepfunctions, endpoint, time.time())
    logger.info("Superseded resources removed", **dataclasses.asdict(superseded), objects=objects)
    return {
        "endpoint_configs": len(superseded.endpoint_configs),
        "models": len(superseded.models),
        "artifacts": len(superseded.digests),
        "objects": objects,
    }
