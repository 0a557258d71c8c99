import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from promotion.endpoint import alarms
from promotion.errors import PromotionRefusedError

ONE = {"ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "reviews"}]}
TWO = {"ProductionVariants": [{"VariantName": name, "ModelName": "reviews"} for name in ("Cpu", "Gpu")]}
HOST = {"ProductionVariants": [{"VariantName": "AllTraffic"}]}


def requests(config: dict[str, Any]) -> list[dict[str, Any]]:
    return alarms.requests_of(
        "reviews-qa", config, error_rate_percent=5, latency_milliseconds=800, topic_arn="arn:aws:sns:eu-west-1:1:topic"
    )


@pytest.mark.parametrize("config", [ONE, TWO, HOST, ONE | {"AsyncInferenceConfig": {"OutputConfig": {}}}])
def test_a_request_is_valid_for_put_metric_alarm(config: dict[str, Any]) -> None:
    shape = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape

    for request in requests(config):
        assert not ParamValidator().validate(request, shape).has_errors()
        assert request["TreatMissingData"] == "notBreaching"
        assert request["AlarmName"] in alarms.names_of("reviews-qa").values()
        assert request["AlarmActions"] == ["arn:aws:sns:eu-west-1:1:topic"]
        assert [query["ReturnData"] for query in request["Metrics"]].count(True) == 1


def test_an_endpoint_has_an_alarm_for_its_errors_and_one_for_its_latency() -> None:
    errors, latency = requests(ONE)

    assert (errors["AlarmName"], errors["Threshold"]) == ("reviews-qa-5xx-rate", 0.05)
    assert (latency["AlarmName"], latency["Threshold"]) == ("reviews-qa-latency", 800_000)
    assert errors["Metrics"][0]["MetricStat"] == {
        "Metric": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Dimensions": [
                {"Name": "EndpointName", "Value": "reviews-qa"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
        },
        "Period": 60,
        "Stat": "Average",
    }


def test_an_alarm_monitors_the_worst_of_several_variants() -> None:
    for request in requests(TWO):
        assert [query["Id"] for query in request["Metrics"]] == ["variant0", "variant1", "worst"]
        assert request["Metrics"][-1]["Expression"] == "MAX(METRICS())"


def test_an_alarm_of_an_inference_component_monitors_its_metrics() -> None:
    for request in requests(HOST):
        [query] = request["Metrics"]
        assert query["MetricStat"]["Metric"]["Dimensions"] == [
            {"Name": "InferenceComponentName", "Value": "reviews-qa"}
        ]


def test_the_alarm_that_wakes_a_component_is_valid_and_written_once() -> None:
    shape = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    request = alarms.wake_request("reviews-qa", "arn:aws:autoscaling:policy")

    assert not ParamValidator().validate(request, shape).has_errors()
    assert request["Dimensions"] == [{"Name": "InferenceComponentName", "Value": "reviews-qa"}]
    assert alarms._is_as_requested(request | {"ActionsEnabled": True}, request)
    assert not alarms._is_as_requested(request | {"AlarmActions": ["arn:of-the-former-policy"]}, request)


def test_an_asynchronous_endpoint_has_no_latency_alarm() -> None:
    alarms_of_endpoint = requests(ONE | {"AsyncInferenceConfig": {"OutputConfig": {}}})

    assert [request["AlarmName"] for request in alarms_of_endpoint] == ["reviews-qa-5xx-rate"]


class CloudWatch:
    """Metric alarms and composite alarms, as DescribeAlarms lists them."""

    def __init__(self, metric: dict[str, str], composite: dict[str, str]) -> None:
        self._alarms = {"MetricAlarms": metric, "CompositeAlarms": composite}

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:  # noqa: N803
        assert AlarmNames, "Without names, DescribeAlarms returns every alarm."
        return {
            kind: [{"AlarmName": n, "StateValue": state} for n, state in of.items() if n in AlarmNames]
            for kind, of in self._alarms.items()
            if f"{kind[:-1]}" in AlarmTypes
        }


def test_only_alarms_in_alarm_are_returned() -> None:
    cloudwatch = CloudWatch({"a": "OK", "b": "ALARM", "x": "ALARM"}, {"c": "ALARM", "d": "INSUFFICIENT_DATA"})

    assert alarms.in_alarm(cloudwatch, ["d", "c", "b", "a", "missing"]) == ["b", "c"]
    assert set(alarms.states(cloudwatch, ["a", "d", "missing"])) == {"a", "d"}


def test_without_alarms_cloudwatch_is_not_called() -> None:
    assert alarms.in_alarm(json, []) == []


def test_an_alarm_that_is_missing_or_in_alarm_prevents_the_update() -> None:
    cloudwatch = CloudWatch({"a": "OK", "b": "ALARM"}, {"c": "INSUFFICIENT_DATA"})

    # The promotion creates the endpoint's own alarms before the update.
    alarms.assert_none_in_alarm(cloudwatch, "reviews-qa", ["a", "c", "reviews-qa-latency"])
    with pytest.raises(PromotionRefusedError, match=r"The endpoint reviews-qa was not updated.* in ALARM: b\."):
        alarms.assert_none_in_alarm(cloudwatch, "reviews-qa", ["a", "b", "c"])
    with pytest.raises(PromotionRefusedError, match=r"no longer exists: d, e\."):
        alarms.assert_none_in_alarm(cloudwatch, "reviews-qa", ["b", "d", "e"])


@pytest.mark.parametrize("config", [ONE, TWO])
def test_an_alarm_of_the_deployment_sees_only_the_new_endpoint_config(config: dict[str, Any]) -> None:
    shape = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    usual = requests(config)

    for request, original in zip(alarms.deployment_requests_of("reviews-qa", usual, "c2"), usual, strict=True):
        assert not ParamValidator().validate(request, shape).has_errors()
        assert request["AlarmName"] == original["AlarmName"].replace("reviews-qa-", "reviews-qa-deployment-")
        assert "AlarmActions" not in request
        metrics = [query["MetricStat"]["Metric"] for query in request["Metrics"] if "MetricStat" in query]
        assert metrics
        for metric in metrics:
            assert metric["Dimensions"][2:] == [{"Name": "EndpointConfigName", "Value": "c2"}]
        same = ("ComparisonOperator", "Threshold", "TreatMissingData")
        assert [request[member] for member in same] == [original[member] for member in same]
    assert usual == requests(config)


@pytest.mark.parametrize(
    ("named", "added"),
    [
        ([], []),
        (["mine"], []),
        (["reviews-qa-5xx-rate"], ["reviews-qa-deployment-5xx-rate"]),
        (["mine", "reviews-qa-latency"], ["reviews-qa-deployment-latency"]),
        (["reviews-qa-latency", "reviews-qa-deployment-latency"], []),
        (["books-qa-latency"], []),
    ],
)
def test_a_deployment_is_also_judged_by_the_new_instances_alone(named: list[str], added: list[str]) -> None:
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in named]}}
    given: dict[str, Any] = {"RollingUpdatePolicy": {}} | (rollback if named else {})

    with_own = alarms.with_deployment_alarms("reviews-qa", given)

    assert with_own["RollingUpdatePolicy"] == {}
    found = [alarm["AlarmName"] for alarm in with_own.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    assert found == [*named, *added]
