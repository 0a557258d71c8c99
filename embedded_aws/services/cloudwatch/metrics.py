"""CloudWatch metrics of AWS services and of PutMetricData, indexed for alarms.

The services report only the metrics in `REPORTED`. Sources: "Monitoring Step Functions metrics using CloudWatch"
(procedure-cw-metrics), "Monitoring Amazon EventBridge" (eb-monitoring), "Types of metrics for Lambda functions"
(monitoring-metrics-types), "Available CloudWatch metrics for Amazon SQS" (sqs-available-cloudwatch-metrics), "Amazon
SageMaker AI metrics in Amazon CloudWatch" (monitoring-cloudwatch). moto stores the metrics, too, and implements the API
that reads them.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import math
import re
import threading
import time
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend, MetricDatum, MetricDatumBase, Statistics, cloudwatch_backends
from moto.sqs.models import sqs_backends

from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches

REPORTED = {
    "AWS/Events": {"TriggeredRules"},
    "AWS/Lambda": {"Invocations", "Errors"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "AWS/SageMaker": {
        "Invocations",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "InvocationModelErrors",
        "ModelLatency",
        "NoCapacityInvocationFailures",
        "OverheadLatency",
    },
    "AWS/States": {
        "ExecutionsStarted",
        "ExecutionsSucceeded",
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "ExecutionsAborted",
    },
}
_STATISTICS = ("Average", "Maximum", "Minimum", "SampleCount", "Sum")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_KEPT = 10_000
# "A queue stays active for up to six hours from the last activity."
_ACTIVE_MINUTES = 6 * 60

patches = Patches("5.2.5")
_put_in_moto = CloudWatchBackend.put_metric_data
_statistics_in_moto = CloudWatchBackend.get_metric_statistics
_lock = threading.Lock()
_data: dict[Metric, list[tuple[float, MetricDatumBase]]] = {}
_newest = 0.0
_active_seconds = 60.0 * _ACTIVE_MINUTES
# The time at which each queue last contained messages.
_last_used: dict[tuple[str, str, str], float] = {}


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of an account, identified by its namespace, name and dimensions."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def install(host: Host) -> None:
    """Discard all metrics and set the length of a minute."""
    global _active_seconds
    _active_seconds = _ACTIVE_MINUTES * host.pace.minute
    _data.clear()
    _last_used.clear()
    patches.apply()


@patches.replaces(
    CloudWatchBackend, "put_metric_data", "moto does not evaluate alarms; here, they read their data from an index."
)
def _put_metric_data(backend: CloudWatchBackend, namespace: str, metric_data: list[dict[str, Any]]) -> None:
    global _newest
    with _lock:
        before = len(backend.metric_data)
        _put_in_moto(backend, namespace, metric_data)
        for datum in backend.metric_data[before:]:
            metric = Metric(backend.account_id, backend.region_name, namespace, datum.name, _dimensions(datum))
            kept = _data.setdefault(metric, [])
            kept.append((_seconds(datum.timestamp), datum))
            del kept[:-_KEPT]
        _newest = time.time()


@patches.replaces(CloudWatchBackend, "get_metric_statistics", "moto includes data that have further dimensions.")
def _get_metric_statistics(
    backend: CloudWatchBackend, *arguments: Any, dimensions: list[dict[str, str]], unit: str | None = None
) -> list[Statistics]:
    """Return the statistics of the data with exactly these dimensions.

    "CloudWatch treats each unique combination of dimensions as a separate metric" (API_GetMetricStatistics).
    """
    wanted = {(dimension["Name"], dimension["Value"]) for dimension in dimensions}
    exact = copy.copy(backend)
    exact.metric_data = [datum for datum in backend.metric_data if _dimensions(datum) == wanted]
    return list(_statistics_in_moto(exact, *arguments, dimensions=dimensions, unit=unit))


def _dimensions(datum: MetricDatumBase) -> frozenset[tuple[str, str]]:
    return frozenset((dimension.name, dimension.value) for dimension in datum.dimensions)


def report(account: str, region: str, namespace: str, name: str, value: float, **dimensions: str) -> None:
    """Put a data point of a metric of an AWS service."""
    datum = {
        "MetricName": name,
        "Value": value,
        "Dimensions": [{"Name": key, "Value": dimension} for key, dimension in dimensions.items()],
    }
    put(account, region, namespace, [datum])


def put(account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
    """Put data of an AWS service, in the form of PutMetricData's MetricData."""
    cloudwatch_backends[account][region].put_metric_data(namespace, data)


def report_queues() -> None:
    """Report the number of messages in each active queue.

    Here, a queue is active if it has contained messages within the last six hours.
    """
    now = time.time()
    for account, regions in list(sqs_backends.items()):
        for region, backend in list(regions.items()):
            for queue in list(backend.queues.values()):
                key, count = (account, region, queue.name), len(queue.messages)
                if count:
                    _last_used[key] = now
                if now - _last_used.get(key, 0) < _active_seconds:
                    name = "ApproximateNumberOfMessagesVisible"
                    report(account, region, "AWS/SQS", name, count, QueueName=queue.name)


def newest() -> float:
    """Return the time of the latest PutMetricData, in seconds since 1970."""
    return _newest


def is_statistic(name: str) -> bool:
    """Return whether `statistic` can compute a statistic."""
    return name in _STATISTICS or _PERCENTILE.fullmatch(name) is not None


def statistic(metric: Metric, name: str, after: float, until: float) -> float | None:
    """Return a statistic of the data of a period, or None if there are none.

    Of the 95th percentile, "95 percent of the data is lower than this value" (Statistics-definitions): here, of the 95
    percent of the values that are lowest, it is the highest. Statistic sets have none.
    """
    with _lock:
        data = [datum for timestamp, datum in _data.get(metric, []) if after < timestamp <= until]
    if not data:
        return None
    if percentile := _PERCENTILE.fullmatch(name):
        values = sorted(datum.value for datum in data if isinstance(datum, MetricDatum))
        return values[max(math.ceil(len(values) * float(percentile[1]) / 100) - 1, 0)] if values else None
    statistics = Statistics([name], datetime.datetime.now(datetime.UTC))
    statistics.metric_data = data
    value = statistics.get_statistics_for_type(name)
    return None if value is None else float(value)


def _seconds(timestamp: datetime.datetime) -> float:
    # moto's own times are in UTC, but have no time zone.
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=datetime.UTC)).timestamp()
