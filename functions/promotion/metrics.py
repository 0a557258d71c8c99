"""Metrics in lines of the log, in CloudWatch's embedded metric format.

CloudWatch user guide, "Specification: Embedded metric format". CloudWatch extracts the metrics from the log, so that a
function needs neither a permission nor a call for them. Powertools' own metrics always have the dimension `service`.
"""

from __future__ import annotations

import time

from promotion.step import logger

NAMESPACE = "ModelPromotion"


def put(name: str, value: float, unit: str, **dimensions: str) -> None:
    """Write a metric with one set of dimensions, for example `Stage` and `Application`."""
    metric = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": [{"Name": name, "Unit": unit}]}
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}
    logger.info("Metric", extra={"_aws": metadata, **dimensions, name: value})
