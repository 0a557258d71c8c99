"""The metrics of a candidate: numbers by their names, as SageMaker says them of a job or a file of a package does."""

from __future__ import annotations

import json
from typing import Any

from promotion.aws.strict_json import is_number

MAXIMUM_METRICS = 100
"""What is carried: a training job has 40 at most (botocore's sagemaker model), and all of them are in the record."""

MAXIMUM_FILE_BYTES = 1024**2

LONGEST_NAME = 255
"""Of a metric (botocore's sagemaker model: MetricName)."""

# SageMaker keeps the metrics of a job as 32-bit floats (botocore's sagemaker model: Float): that many digits are true.
_SINGLE_PRECISION_DIGITS = 7


class UnreadableMetricsError(ValueError):
    """A file of metrics is not what it should be; the message says why."""


def of_training_job(description: dict[str, Any]) -> dict[str, float]:
    """The last value of each metric, by DescribeTrainingJob's answer (FinalMetricDataList)."""
    found = {
        metric["MetricName"]: float(f"{metric['Value']:.{_SINGLE_PRECISION_DIGITS}g}")
        for metric in description.get("FinalMetricDataList", [])
        if "MetricName" in metric and "Value" in metric
    }
    return {name: value for name, value in sorted(found.items()) if is_name(name) and is_number(value)}


def is_name(value: Any) -> bool:
    """Whether it is a text that a metric can be called by; it shows up in what people read."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def uri_of_package(description: dict[str, Any]) -> str | None:
    """Where the model quality of a package lies, by DescribeModelPackage's answer."""
    uri = description.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
    return str(uri) if uri else None


def read(text: bytes) -> dict[str, float]:
    """The numbers of a JSON file, by their paths: {"regression_metrics": {"mse": {"value": 4.9}}} has "mse".

    The path's parts are joined by dots, without a first one like "regression_metrics" and a last one "value", which
    SageMaker's files of model quality have around every metric. Lists are left out. Raises UnreadableMetricsError.
    """
    try:
        document = json.loads(text)
        found = dict(_numbers(document, ()))
    except ValueError as error:
        raise UnreadableMetricsError(f"it is no JSON: {error}") from error
    except RecursionError as error:
        raise UnreadableMetricsError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise UnreadableMetricsError("it is no JSON object")
    if len(found) > MAXIMUM_METRICS:
        raise UnreadableMetricsError(f"it has {len(found)} numbers, and {MAXIMUM_METRICS} are carried")
    return found


def _numbers(value: Any, path: tuple[str, ...]) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [number for key, member in value.items() for number in _numbers(member, (*path, key))]
    if not is_number(value):
        return []
    if len(path) > 1 and path[0].endswith("_metrics"):
        path = path[1:]
    if len(path) > 1 and path[-1] == "value":
        path = path[:-1]
    name = ".".join(path)
    return [(name, float(value))] if is_name(name) else []
