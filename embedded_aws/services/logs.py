"""CloudWatch Logs: saved queries, keys of log groups, and metrics in the embedded metric format.

API reference, PutQueryDefinition, DescribeQueryDefinitions, DeleteQueryDefinition, AssociateKmsKey and
DisassociateKmsKey; CloudWatch user guide, "Specification: Embedded metric format". moto runs queries of some commands.
"""

from __future__ import annotations

import datetime
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.responses import ActionResult
from moto.kms.models import kms_backends
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogsBackend, logs_backends
from moto.logs.responses import LogsResponse

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, tags
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches

_MISSING = "moto does not have the operation."
_MOST_METRICS = 100
_MOST_DIMENSIONS = 30
_MOST_VALUES = 100


class FormatError(Exception):
    """A log event does not follow the specification of the embedded metric format."""


patches = Patches("5.2.5")
_put_log_events_in_moto = LogsBackend.put_log_events
_queries: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}


def install(host: Host) -> None:
    """Forget the saved queries, and apply the patches."""
    _queries.clear()
    patches.apply()


@patches.replaces(LogsResponse, "put_query_definition", _MISSING, adds=True)
def _put_query_definition(handler: LogsResponse) -> ActionResult:
    saved = _saved(handler)
    identifier = handler._get_param("queryDefinitionId") or str(uuid.uuid4())
    if handler._get_param("queryDefinitionId") and identifier not in saved:
        raise ResourceNotFoundException("The specified query definition does not exist.")
    saved[identifier] = {
        "queryDefinitionId": identifier,
        "name": handler._get_param("name"),
        "queryString": handler._get_param("queryString"),
        # "No current values are retained from the current query definition."
        "logGroupNames": handler._get_param("logGroupNames") or [],
        "lastModified": int(time.time() * 1000),
    }
    return ActionResult({"queryDefinitionId": identifier})


@patches.replaces(LogsResponse, "describe_query_definitions", _MISSING, adds=True)
def _describe_query_definitions(handler: LogsResponse) -> ActionResult:
    prefix = handler._get_param("queryDefinitionNamePrefix") or ""
    found = [query for query in _saved(handler).values() if query["name"].startswith(prefix)]
    return ActionResult({"queryDefinitions": found})


@patches.replaces(LogsResponse, "delete_query_definition", _MISSING, adds=True)
def _delete_query_definition(handler: LogsResponse) -> ActionResult:
    if _saved(handler).pop(handler._get_param("queryDefinitionId"), None) is None:
        raise ResourceNotFoundException("The specified query definition does not exist.")
    return ActionResult({"success": True})


def _saved(handler: LogsResponse) -> dict[str, dict[str, Any]]:
    return _queries.setdefault((handler.current_account, handler.region), {})


@patches.replaces(LogsResponse, "associate_kms_key", _MISSING, adds=True)
def _associate_kms_key(handler: LogsResponse) -> ActionResult:
    """Set the key of a log group; it must exist. The policy of the key is not evaluated."""
    arn = handler._get_param("kmsKeyId")
    account, region = arn.split(":")[4], arn.split(":")[3]
    if arn.rpartition("/")[2] not in kms_backends[account][region].keys:
        raise InvalidParameterException("The specified KMS key does not exist or is not allowed to be used.")
    _group(handler).kms_key_id = arn
    return ActionResult({})


@patches.replaces(LogsResponse, "disassociate_kms_key", _MISSING, adds=True)
def _disassociate_kms_key(handler: LogsResponse) -> ActionResult:
    _group(handler).kms_key_id = None
    return ActionResult({})


def _group(handler: LogsResponse) -> Any:
    group = handler.logs_backend.groups.get(handler._get_param("logGroupName"))
    if group is None:
        raise ResourceNotFoundException
    return group


@patches.replaces(LogsBackend, "put_log_events", "moto does not extract metrics from log events.")
def _put_log_events(backend: LogsBackend, group: str, stream: str, events: list[dict[str, Any]]) -> Any:
    answer = _put_log_events_in_moto(backend, group, stream, events)
    for event in events:
        for namespace, datum in embedded_metrics(event["message"]):
            cloudwatch_backends[backend.account_id][backend.region_name].put_metric_data(namespace, [datum])
    return answer


def embedded_metrics(message: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the namespace and the datum, as in PutMetricData, of each metric in a log event.

    A message that is not in the format has none. CloudWatch counts a wrong one in the metric EMFParsingErrors; here, it
    raises FormatError.
    """
    if '"_aws"' not in message or not message.startswith("{"):
        return
    document = json.loads(message)
    metadata = document.get("_aws")
    if not isinstance(metadata, dict) or "CloudWatchMetrics" not in metadata:
        return
    # moto's times are in UTC, but have no time zone.
    at = datetime.datetime.fromtimestamp(metadata["Timestamp"] / 1000, datetime.UTC).replace(tzinfo=None)
    for directive in metadata["CloudWatchMetrics"]:
        _require(len(directive["Metrics"]) <= _MOST_METRICS, "a directive has up to 100 metrics")
        for names in directive["Dimensions"]:
            _require(len(names) <= _MOST_DIMENSIONS, "a dimension set has up to 30 dimensions")
            values = {name: document[name] for name in names}
            _require(all(isinstance(value, str) and value for value in values.values()), "a dimension is a string")
            for metric in directive["Metrics"]:
                yield (
                    directive["Namespace"],
                    {
                        "MetricName": metric["Name"],
                        "Dimensions": [{"Name": name, "Value": value} for name, value in values.items()],
                        "Unit": metric.get("Unit", "None"),
                        "Timestamp": at,
                        **_values(document[metric["Name"]]),
                    },
                )


def _require(is_met: bool, rule: str) -> None:
    if not is_met:
        raise FormatError(f"Embedded metric format: {rule}.")


def _values(value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        return {"Value": value}
    _require(len(value) <= _MOST_VALUES, "a metric has up to 100 values")
    return {"Values": value, "Counts": [1] * len(value)}


def _required(call: Call) -> Needs:
    group, stream = call.parameters.get("logGroupName", "*"), call.parameters.get("logStreamName", "")
    of_group, of_stream = (
        call.arn("logs", f"log-group:{group}"),
        call.arn("logs", f"log-group:{group}:log-stream:{stream}"),
    )
    match call.operation:
        # The reference has a log group's ARN with and without a final asterisk; AWS's denials name the stream.
        case "CreateLogGroup" | "DescribeLogStreams" | "FilterLogEvents" | "DescribeLogGroups":
            yield Need(f"logs:{call.operation}", (of_group, of_stream), tags({}))
        case "CreateLogStream" | "PutLogEvents" | "GetLogEvents":
            yield Need(f"logs:{call.operation}", (of_stream, of_group))
        # The reference has no resource for saved queries.
        case "DescribeQueryDefinitions" | "PutQueryDefinition" | "DeleteQueryDefinition":
            yield Need(f"logs:{call.operation}", ("*",))
        case "StartQuery" | "GetQueryResults":
            for name in _queried(call):
                arn = call.arn("logs", f"log-group:{name}")
                yield Need(f"logs:{call.operation}", (arn, f"{arn}:*"))


def _queried(call: Call) -> list[str]:
    """Return the log groups of a query."""
    if call.operation == "GetQueryResults":
        query = logs_backends[call.account][call.region].queries.get(call.parameters["queryId"])
        return list(query.log_group_names) if query else ["*"]
    return call.parameters.get("logGroupNames") or [call.parameters["logGroupName"]]


PERMISSIONS = {"logs": Permissions(_required)}
