"""CloudWatch alarms: the alarms of every endpoint, and the states of the alarms that roll back a deployment.

The metrics of an endpoint have its name as a dimension, so a promotion creates its alarms. A DeploymentConfig can name
them (`<endpoint>-5xx-rate` and `<endpoint>-latency`) or any other alarm of the account.
https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html

They see the old instances as well: one canary in 20 whose responses are all errors is an error rate of 5 %. So the
deployment has an alarm for each of them that sees only the new endpoint config, by the dimension EndpointConfigName.
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
"""

from __future__ import annotations

import copy
from typing import Any

from promotion.endpoint import guardrails
from promotion.errors import PromotionRefusedError

_PERIOD_SECONDS = 60
_PERIODS = 2
"""Two periods in a row, because one error is a high error rate on an endpoint with little traffic."""


def names_of(endpoint: str) -> dict[str, str]:
    """Return the names of the alarms of an endpoint as {"errors": …, "latency": …}."""
    return {"errors": f"{endpoint}-5xx-rate", "latency": f"{endpoint}-latency"}


def deployment_names_of(endpoint: str) -> dict[str, str]:
    """Return the names of the alarms that see only the new endpoint config of an endpoint, by those of `names_of`."""
    return {name: f"{endpoint}-deployment-{name.removeprefix(f'{endpoint}-')}" for name in names_of(endpoint).values()}


def with_deployment_alarms(endpoint: str, deployment_config: dict[str, Any]) -> dict[str, Any]:
    """Return a DeploymentConfig that also names the deployment's alarm for each alarm of the endpoint that it names."""
    named = guardrails.alarm_names(deployment_config)
    added = [twin for name, twin in deployment_names_of(endpoint).items() if name in named and twin not in named]
    if not added:
        return deployment_config
    rollback = deployment_config["AutoRollbackConfiguration"]
    alarms = [*rollback["Alarms"], *({"AlarmName": name} for name in added)]
    return deployment_config | {"AutoRollbackConfiguration": rollback | {"Alarms": alarms}}


def wake_request(component: str, policy_arn: str) -> dict[str, Any]:
    """Return the PutMetricAlarm request of the alarm that wakes a component without copies with a step scaling policy.

    https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html
    """
    return {
        "AlarmName": f"{component}-wake",
        "AlarmDescription": f"The inference component {component} got a request that it has no copy to serve. Each "
        "promotion creates or updates this alarm, which starts a copy.",
        "Namespace": "AWS/SageMaker",
        "MetricName": "NoCapacityInvocationFailures",
        "Dimensions": [{"Name": "InferenceComponentName", "Value": component}],
        "Statistic": "Maximum",
        "Period": _PERIOD_SECONDS,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [policy_arn],
    }


def requests_of(
    endpoint: str,
    endpoint_config: dict[str, Any],
    *,
    error_rate_percent: float,
    latency_milliseconds: float,
    topic_arn: str,
) -> list[dict[str, Any]]:
    """Return a PutMetricAlarm request for each alarm of an endpoint.

    `endpoint_config` is a DescribeEndpointConfig response. An asynchronous endpoint has no latency alarm, because its
    responses can take an hour. The metrics of an inference component, which has the name of the endpoint, have it as
    their only dimension.
    """
    names, variants = names_of(endpoint), [variant["VariantName"] for variant in endpoint_config["ProductionVariants"]]

    dimensions = (
        [{"EndpointName": endpoint, "VariantName": variant} for variant in variants]
        if "ModelName" in endpoint_config["ProductionVariants"][0]
        else [{"InferenceComponentName": endpoint}]
    )

    def alarm(name: str, metric: str, statistic: str, threshold: float, description: str) -> dict[str, Any]:
        return {
            "AlarmName": name,
            "AlarmDescription": f"{description} Each promotion creates or updates this alarm. A DeploymentConfig can "
            "name it.",
            "Metrics": _worst(dimensions, metric, statistic),
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": threshold,
            "EvaluationPeriods": _PERIODS,
            "DatapointsToAlarm": _PERIODS,
            # An endpoint without traffic is healthy.
            "TreatMissingData": "notBreaching",
            "AlarmActions": [topic_arn],
        }

    requests = [
        alarm(
            names["errors"],
            # The metric is 1 for a response with a 5xx status and 0 for any other, so its average is the error rate.
            "Invocation5XXErrors",
            "Average",
            error_rate_percent / 100,
            f"More than {error_rate_percent:g}% of the responses of the endpoint {endpoint} were 5xx errors.",
        )
    ]
    if "AsyncInferenceConfig" not in endpoint_config:
        requests.append(
            alarm(
                names["latency"],
                "ModelLatency",
                "p95",
                latency_milliseconds * 1000,  # the metric is in microseconds
                f"5% of the responses of the endpoint {endpoint} took longer than {latency_milliseconds:g} ms.",
            )
        )
    return requests


def deployment_requests_of(endpoint: str, requests: list[dict[str, Any]], endpoint_config: str) -> list[dict[str, Any]]:
    """Return the PutMetricAlarm requests of alarms that see only `endpoint_config`, from those of `requests_of`.

    They notify nobody: the promotion reports the rollback that they cause.
    """
    names, dimension = deployment_names_of(endpoint), {"Name": "EndpointConfigName", "Value": endpoint_config}
    derived = copy.deepcopy(requests)
    for request in derived:
        request["AlarmDescription"] = (
            f"Sees only the endpoint config {endpoint_config}: {request['AlarmDescription']} Each deployment creates "
            "this alarm again."
        )
        request["AlarmName"] = names[request["AlarmName"]]
        del request["AlarmActions"]
        for query in request["Metrics"]:
            if "MetricStat" in query:
                query["MetricStat"]["Metric"]["Dimensions"].append(dimension)
    return derived


def create_again(cloudwatch: Any, requests: list[dict[str, Any]]) -> None:
    """Delete the alarms of PutMetricAlarm requests and create them again: an update would leave their states as is."""
    if requests:
        cloudwatch.delete_alarms(AlarmNames=[request["AlarmName"] for request in requests])
    for request in requests:
        cloudwatch.put_metric_alarm(**request)


def _worst(dimensions: list[dict[str, str]], metric: str, statistic: str) -> list[dict[str, Any]]:
    """Return metric queries for the only variant or component, or for the maximum over several variants."""
    queries = [
        {
            "Id": f"variant{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in each.items()],
                },
                "Period": _PERIOD_SECONDS,
                "Stat": statistic,
            },
            "ReturnData": len(dimensions) == 1,
        }
        for number, each in enumerate(dimensions)
    ]
    if len(dimensions) > 1:
        queries.append({"Id": "worst", "Expression": "MAX(METRICS())", "ReturnData": True})
    return queries


def put_where_different(cloudwatch: Any, requests: list[dict[str, Any]]) -> list[str]:
    """Send each PutMetricAlarm request whose alarm does not exist or differs from it, and return the alarms' names.

    CloudWatch accepts 9 DescribeAlarms a second in an account, but only 3 PutMetricAlarm (CloudWatch user guide,
    "CloudWatch service quotas").
    """
    names = [request["AlarmName"] for request in requests]
    found = cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"]).get("MetricAlarms", [])
    existing = {alarm["AlarmName"]: alarm for alarm in found}
    different = [request for request in requests if not _is_as_requested(existing.get(request["AlarmName"]), request)]
    for request in different:
        cloudwatch.put_metric_alarm(**request)
    return [request["AlarmName"] for request in different]


def _is_as_requested(alarm: dict[str, Any] | None, request: dict[str, Any]) -> bool:
    """Return whether an alarm has every member of a request, and none that PutMetricAlarm would remove.

    PutMetricAlarm replaces the whole alarm, and enables its actions.
    """
    if alarm is None or not alarm.get("ActionsEnabled", True):
        return False
    removed = ("OKActions", "InsufficientDataActions", "MetricName", "Dimensions", "EvaluateLowSampleCountPercentile")
    if any(alarm.get(member) for member in removed if member not in request):
        return False
    return all(_same(alarm.get(member), value) for member, value in request.items())


def _same(actual: Any, wanted: Any) -> bool:
    """Return whether a value is the one wanted; AWS adds members to objects, and may order dimensions as it likes."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(_same(actual.get(member), value) for member, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(actual, list) or len(actual) != len(wanted):
            return False
        return all(any(_same(each, value) for each in actual) for value in wanted)
    return bool(actual == wanted)


def states(cloudwatch: Any, names: list[str]) -> dict[str, str]:
    """Return the state (OK, ALARM or INSUFFICIENT_DATA) of each of the alarms `names` that exists."""
    if not names:
        return {}
    response = cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in [*response.get("MetricAlarms", []), *response.get("CompositeAlarms", [])]
    }


def in_alarm(cloudwatch: Any, names: list[str]) -> list[str]:
    """Return the alarms among `names` that are in ALARM, sorted."""
    return sorted(name for name, state in states(cloudwatch, names).items() if state == "ALARM")


def assert_none_in_alarm(cloudwatch: Any, endpoint: str, names: list[str]) -> None:
    """Raise PromotionRefusedError if an alarm among `names` is in ALARM, or is missing and not the endpoint's own.

    The promotion creates the endpoint's own alarms before the update, those of the deployment again. SageMaker does not
    monitor a missing alarm, and rolls back at once if an alarm is in ALARM.
    """
    names = [name for name in names if name not in deployment_names_of(endpoint).values()]
    existing, own = states(cloudwatch, names), names_of(endpoint).values()
    if missing := [name for name in names if name not in existing and name not in own]:
        raise PromotionRefusedError(
            f"The endpoint {endpoint} was not updated. An alarm of its DeploymentConfig no longer exists: "
            f"{', '.join(missing)}. Create the alarm or remove it from the DeploymentConfig, then start the promotion "
            "again."
        )
    if alarming := [name for name in names if existing.get(name) == "ALARM"]:
        raise PromotionRefusedError(
            f"The endpoint {endpoint} was not updated. SageMaker would roll back the deployment at once, because an "
            f"alarm of its DeploymentConfig is in ALARM: {', '.join(alarming)}. Start the promotion again when the "
            "alarm is OK. If this model is the fix, remove the alarm from the DeploymentConfig first."
        )
