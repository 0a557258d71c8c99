"""Update the endpoint to the new endpoint config, or create the endpoint."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import component, target
from promotion.endpoint.update import create_endpoint, update_endpoint
from promotion.history import lock
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from promotion.source.tags import APPLICATION_TAG, EXECUTION_TAG
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Start the deployment of the new endpoint config, or of the new specification of the inference component."""
    record: PromotionRecord = event["promotion"]
    sagemaker = client("sagemaker")
    endpoint, config = record["endpoint"], record["endpoint_config_name"]
    lock.assert_held(PromotionTable(client("dynamodb"), event["table"]), event["execution"], endpoint)
    own = {APPLICATION_TAG: record["application"], EXECUTION_TAG: event["execution"]}
    tags = record.get("tags", {}) | own
    if record.get("component"):
        component.deploy(sagemaker, target.describe(sagemaker, record), record, tags)
    elif record["previous_endpoint_config_name"]:
        update_endpoint(
            sagemaker,
            client("application-autoscaling"),
            endpoint,
            previous=record["previous_endpoint_config_name"],
            endpoint_config=config,
            # A rollback has no DeploymentConfig: it replaces the live variant without guardrails.
            deployment_config=record.get("deployment_config"),
        )
    else:
        create_endpoint(sagemaker, endpoint, config, tags)
    logger.info("Deployment started", endpoint=endpoint, endpoint_config=config)
    return {}
