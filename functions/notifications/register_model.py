"""Register a promoted model in a model package group of this account, so that SageMaker Studio shows it."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.endpoint import registry
from promotion.record import PromotionRecord
from promotion.source.candidate import containers_of
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the ARN of the `model_package`, which exists already if the event is delivered twice.

    `event` is that of a successful promotion. If this fails, the promotion stays as it is, and the event goes to the
    dead-letter queue.
    """
    record: PromotionRecord = event["detail"]
    sagemaker = client("sagemaker")
    registered = registry.version_of(sagemaker, record)
    if registered is None:
        containers = containers_of(sagemaker.describe_model(ModelName=record["model_name"]))
        registered = sagemaker.create_model_package(**registry.request(record, containers))["ModelPackageArn"]
    logger.info("Model registered", model_package=registered)
    return {"model_package": registered}
