"""The metrics of a candidate: numbers by name, from the training job or from a model package's metrics file."""

from __future__ import annotations

import json
from typing import Any

from promotion.aws.strict_json import is_number

MAXIMUM_METRICS = 100
"""The number of metrics in the record; a training job has at most 40 (botocore's sagemaker model)."""

MAXIMUM_FILE_BYTES = 1024**2

LONGEST_NAME = 255
"""The limit for a metric's name, in characters (botocore's sagemaker model: MetricName)."""

# SageMaker stores the metrics of a job as 32-bit floats (botocore's sagemaker model: Float): 7 significant digits.
_SINGLE_PRECISION_DIGITS = 7


class UnreadableMetricsError(ValueError):
    """A metrics file is invalid; the message is the reason."""


def of_training_job(description: dict[str, Any]) -> dict[str, float]:
    """Return the final value of each metric from the response of DescribeTrainingJob (FinalMetricDataList)."""
    found = {
        metric["MetricName"]: float(f"{metric['Value']:.{_SINGLE_PRECISION_DIGITS}g}")
        for metric in description.get("FinalMetricDataList", [])
        if "MetricName" in metric and "Value" in metric
    }
    return {name: value for name, value in sorted(found.items()) if is_name(name) and is_number(value)}


def of_auto_ml_candidate(best: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of an AutoML job's best candidate: its objective by name, and others as "validation:F1".

    `best` is BestCandidate in the response of DescribeAutoMLJobV2.
    """
    objective = best.get("FinalAutoMLJobObjectiveMetric", {})
    others = best.get("CandidateProperties", {}).get("CandidateMetrics", [])
    named = [(objective.get("MetricName"), objective.get("Value"))] + [
        (f"{str(metric['Set']).lower()}:{metric['MetricName']}", metric.get("Value"))
        for metric in others
        if "Set" in metric and "MetricName" in metric
    ]
    numbers = [(name, value) for name, value in named if is_name(name) and is_number(value)]
    found = {name: float(f"{value:.{_SINGLE_PRECISION_DIGITS}g}") for name, value in numbers}
    return dict(sorted(found.items())[:MAXIMUM_METRICS])


def is_name(value: Any) -> bool:
    """Return whether `value` is a printable string that can name a metric; it appears in messages."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def uri_of_package(description: dict[str, Any]) -> str | None:
    """Return the URI of a package's model quality from the response of DescribeModelPackage, or None."""
    uri = description.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
    return str(uri) if uri else None


def read(text: bytes) -> dict[str, float]:
    """Return the numbers of a JSON file by path: {"regression_metrics": {"mse": {"value": 4.9}}} contains "mse".

    The segments of a path are joined by dots. A first segment like "regression_metrics" and a last segment "value",
    which SageMaker's model quality files have around every metric, are omitted. Lists are ignored. Raise
    UnreadableMetricsError if the file is invalid or has too many numbers.
    """
    try:
        document = json.loads(text)
        found = dict(_numbers(document, ()))
    except ValueError as error:
        raise UnreadableMetricsError(f"it is not valid JSON: {error}") from error
    except RecursionError as error:
        raise UnreadableMetricsError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise UnreadableMetricsError("it is not a JSON object")
    if len(found) > MAXIMUM_METRICS:
        raise UnreadableMetricsError(f"it has {len(found)} numbers, above the maximum of {MAXIMUM_METRICS}")
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
