"""Look how far the deployment is."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion import endpoint
from promotion.clients import client
from promotion.sagemaker import describe_endpoint
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    promotion, last = event["promotion"], event["last"]
    progress = endpoint.progress(
        describe_endpoint(client("sagemaker"), promotion["endpoint"]),
        promotion["endpoint_config_name"],
        promotion["previous_endpoint_config_name"] or None,
        last["changing"],
        last["looks"],
    )
    logger.info("Deployment checked", verdict=progress.verdict, reason=progress.reason)
    return dataclasses.asdict(progress)
