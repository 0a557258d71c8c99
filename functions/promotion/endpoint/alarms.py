"""CloudWatch alarms: those that every endpoint gets, and the states of those that roll a deployment back.

An endpoint's metrics have its name as a dimension, so its alarms can be made only when it is known. A DeploymentConfig
names them, `<endpoint>-5xx-rate` and `<endpoint>-latency`, or any other alarm of the account.
https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from typing import Any

from promotion.errors import PromotionRefusedError

_PERIOD_SECONDS = 60
_PERIODS = 2
"""Two bad minutes in a row: a single bad answer of an endpoint that is asked little is no alarm yet."""


def names_of(endpoint: str) -> dict[str, str]:
    """The names of an endpoint's own alarms, by what they watch."""
    return {"errors": f"{endpoint}-5xx-rate", "latency": f"{endpoint}-latency"}


def requests_of(
    endpoint: str,
    endpoint_config: dict[str, Any],
    *,
    error_rate_percent: float,
    latency_milliseconds: float,
    topic_arn: str,
) -> list[dict[str, Any]]:
    """PutMetricAlarm's members for each of an endpoint's own alarms.

    `endpoint_config` is CreateEndpointConfig's request. An asynchronous endpoint, whose answers may take an hour, has
    none for its latency.
    """
    names, variants = names_of(endpoint), [variant["VariantName"] for variant in endpoint_config["ProductionVariants"]]

    def alarm(name: str, metric: str, statistic: str, threshold: float, says: str) -> dict[str, Any]:
        return {
            "AlarmName": name,
            "AlarmDescription": f"{says} It is made by Model Promotion with each promotion; a DeploymentConfig may "
            "name it.",
            "Metrics": _worst_of(variants, endpoint, metric, statistic),
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": threshold,
            "EvaluationPeriods": _PERIODS,
            "DatapointsToAlarm": _PERIODS,
            # Nobody asks the endpoint: nothing is wrong with it.
            "TreatMissingData": "notBreaching",
            "AlarmActions": [topic_arn],
        }

    made = [
        alarm(
            names["errors"],
            # It is 1 for each answer with a 5xx and 0 for any other, so that its average is their share.
            "Invocation5XXErrors",
            "Average",
            error_rate_percent / 100,
            f"More than {error_rate_percent:g} % of the answers of {endpoint} were errors of the model (5xx).",
        )
    ]
    if "AsyncInferenceConfig" not in endpoint_config:
        made.append(
            alarm(
                names["latency"],
                "ModelLatency",
                "p95",
                latency_milliseconds * 1000,  # the metric is in microseconds
                f"5 % of the answers of {endpoint} took longer than {latency_milliseconds:g} ms.",
            )
        )
    return made


def _worst_of(variants: list[str], endpoint: str, metric: str, statistic: str) -> list[dict[str, Any]]:
    """The metric of the one variant, or the highest among several."""
    queries = [
        {
            "Id": f"variant{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": metric,
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint},
                        {"Name": "VariantName", "Value": variant},
                    ],
                },
                "Period": _PERIOD_SECONDS,
                "Stat": statistic,
            },
            "ReturnData": len(variants) == 1,
        }
        for number, variant in enumerate(variants)
    ]
    if len(variants) > 1:
        queries.append({"Id": "worst", "Expression": "MAX(METRICS())", "ReturnData": True})
    return queries


def states(cloudwatch: Any, names: list[str]) -> dict[str, str]:
    """The state (OK, ALARM or INSUFFICIENT_DATA) of each of these alarms that exists."""
    if not names:
        return {}
    found = cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
    }


def in_alarm(cloudwatch: Any, names: list[str]) -> list[str]:
    """Return those of these alarms that are in ALARM."""
    return sorted(name for name, state in states(cloudwatch, names).items() if state == "ALARM")


def assert_none_in_alarm(cloudwatch: Any, endpoint: str, names: list[str]) -> None:
    """Raise PromotionRefusedError if SageMaker would roll a deployment back at once, or would not monitor it."""
    found = states(cloudwatch, names)
    if missing := [name for name in names if name not in found]:
        raise PromotionRefusedError(
            f"The endpoint {endpoint} was not touched, since there is no alarm {', '.join(missing)} any more that "
            "would roll the deployment back. Create it, or take it out of the DeploymentConfig, then start the "
            "promotion again."
        )
    if alarming := [name for name in names if found[name] == "ALARM"]:
        raise PromotionRefusedError(
            f"The endpoint {endpoint} was not touched, since {', '.join(alarming)} is in ALARM already and "
            "SageMaker would roll the deployment back at once. Start the promotion again when it is over; if this "
            "model is the remedy, take the alarm out of the DeploymentConfig first."
        )
