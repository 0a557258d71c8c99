"""CloudWatch metrics of AWS services and of PutMetricData, indexed for alarms.

The services report only the metrics in `REPORTED`. Sources: "Monitoring Step Functions metrics using CloudWatch"
(procedure-cw-metrics), "Monitoring Amazon EventBridge" (eb-monitoring), "Types of metrics for Lambda functions"
(monitoring-metrics-types), "Available CloudWatch metrics for Amazon SQS" (sqs-available-cloudwatch-metrics). moto
stores the metrics, too, and implements the API that reads them.
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend, MetricDatumBase, Statistics, cloudwatch_backends
from moto.sqs.models import sqs_backends

from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches

REPORTED = {
    "AWS/Events": {"TriggeredRules"},
    "AWS/Lambda": {"Invocations", "Errors"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "AWS/States": {
        "ExecutionsStarted",
        "ExecutionsSucceeded",
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "ExecutionsAborted",
    },
}
STATISTICS = ("Average", "Maximum", "Minimum", "SampleCount", "Sum")
_KEPT = 10_000
# "A queue stays active for up to six hours from the last activity."
_ACTIVE_MINUTES = 6 * 60

patches = Patches("5.2.5")
_put_in_moto = CloudWatchBackend.put_metric_data
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
            dimensions = frozenset((dimension.name, dimension.value) for dimension in datum.dimensions)
            metric = Metric(backend.account_id, backend.region_name, namespace, datum.name, dimensions)
            kept = _data.setdefault(metric, [])
            kept.append((_seconds(datum.timestamp), datum))
            del kept[:-_KEPT]
        _newest = time.time()


def report(account: str, region: str, namespace: str, name: str, value: float, **dimensions: str) -> None:
    """Put a data point of a metric of an AWS service."""
    datum = {
        "MetricName": name,
        "Value": value,
        "Dimensions": [{"Name": key, "Value": dimension} for key, dimension in dimensions.items()],
    }
    cloudwatch_backends[account][region].put_metric_data(namespace, [datum])


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


def statistic(metric: Metric, name: str, after: float, until: float) -> float | None:
    """Return a statistic of the data of a period, or None if there are none."""
    with _lock:
        data = [datum for timestamp, datum in _data.get(metric, []) if after < timestamp <= until]
    if not data:
        return None
    statistics = Statistics([name], datetime.datetime.now(datetime.UTC))
    statistics.metric_data = data
    value = statistics.get_statistics_for_type(name)
    return None if value is None else float(value)


def _seconds(timestamp: datetime.datetime) -> float:
    # moto's own times are in UTC, but have no time zone.
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=datetime.UTC)).timestamp()
