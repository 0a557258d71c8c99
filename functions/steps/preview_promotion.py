"""Preview what a promotion or a rollback would copy, create, change and remove, with a read-only role."""

from __future__ import annotations

import json
from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import state
from promotion.endpoint.config import served_before
from promotion.endpoint.sagemaker import describe_endpoint_config, describe_model
from promotion.endpoint.target import describe_target
from promotion.history import cleanup, records, rollback_target
from promotion.history.cleanup import Scope
from promotion.history.references import References
from promotion.history.rollback import duplicate_delivery
from promotion.history.table import PromotionTable
from promotion.messages import preview_text
from promotion.plan import preview
from promotion.record import PromotionRecord
from promotion.step import logger, step

_NO_COPY = {"sentence": "Nothing would be copied.", "objects": 0}


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the preview for the operator."""
    plan, promotion, sagemaker = event["plan"], event["promotion"], client("sagemaker")
    model, config = (plan["model"], plan["endpoint_config"]) if plan else _recorded(sagemaker, promotion)
    model_name, config_name = model["ModelName"], config["EndpointConfigName"]
    record: PromotionRecord = promotion | {"model_name": model_name, "endpoint_config_name": config_name}
    table, name, is_rollback = PromotionTable(client("dynamodb"), event["table"]), record["endpoint"], plan is None

    live = None if is_rollback else records.live(table, name)
    description = describe_target(sagemaker, record)
    inspection = state.inspect(description, config_name, record["created_at"], live)
    inspection = state.with_new_settings(inspection, record, live)
    existing_model = describe_model(sagemaker, model_name)
    existing_config = describe_endpoint_config(sagemaker, config_name)
    s3, settings = client("s3"), json.loads(event["settings"])
    missing = rollback_target.missing(sagemaker, s3, event["bucket"], event["account"], inspection.previous)
    would, why = preview.verdict(
        record,
        inspection,
        no_rollback=None if is_rollback else rollback_target.refusal(name, inspection.previous, missing, settings),
        duplicate=duplicate_delivery(records.history(table, name), record),
        requests_approval=event["require_approval"] and not is_rollback and not record["approval"],
        conflicts=[
            *preview.conflicts("model", model_name, model, existing_model),
            *preview.conflicts("endpoint config", config_name, config, existing_config),
        ],
    )
    live_config = describe_endpoint_config(sagemaker, inspection.previous) if inspection.previous else None
    served = served_before(live_config, config, model_name) if live_config else None
    live_model = describe_model(sagemaker, served) if served else None
    executions = event["execution"].rpartition(":")[0] + ":"
    scope = Scope(record["application"], event["stage"], event["bucket"], event["account"], executions)
    retention, next_live = settings["Retention"], record | {"status": "Succeeded"}
    keep = cleanup.resources_to_keep(table, client("stepfunctions"), name, retention["Keep"], next_live=next_live)
    references = References(table, sagemaker, remember=False)
    superseded = cleanup.find_superseded(cleanup.survey(references, s3, scope, keep), scope, keep)
    logger.info("Previewed", would_be=would)
    found = {
        "outcome": "preview",
        "would_be": would,
        "why": why,
        "candidate": preview.candidate(record, model),
        "quality_gate": [] if is_rollback else record["quality_gate"],
        "copy": plan["preview"] if plan else _NO_COPY,
        "create": [
            preview.created("model", model_name, existing_model is not None),
            preview.created("endpoint config", config_name, existing_config is not None),
        ],
        "change": {
            "endpoint": name,
            "endpoint_status": description["EndpointStatus"] if description else "The endpoint does not exist yet.",
            "inference_component": record.get("component") or None,
            "endpoint_config": {"from": inspection.previous, "to": config_name},
            "rollback": preview.rollback(inspection.previous, missing),
            "notes": plan.get("deployment_notes", []) if plan else [],
            "in_the_model": preview.changes(model, live_model),
            "in_the_endpoint_config": preview.changes(config, live_config),
        },
        "remove": preview.removed(superseded, f"s3://{scope.bucket}/{scope.folder}"),
    }
    return found | {"text": preview_text.markdown(found)}


def _recorded(sagemaker: Any, record: PromotionRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the requests that created the model and the endpoint config of an earlier promotion, empty if deleted."""
    model_name, config_name = record["model_name"], record["endpoint_config_name"]
    model = describe_model(sagemaker, model_name) or {}
    config = describe_endpoint_config(sagemaker, config_name) or {"ProductionVariants": []}
    return (
        {"ModelName": model_name, **preview.request_of(model)},
        {"EndpointConfigName": config_name, **preview.request_of(config)},
    )
