from typing import Any

import boto3
import pytest

from promotion.aws.clients import client
from promotion.endpoint import alarms as alarm_requests
from promotion.errors import TransientError
from steps import create_alarms
from tests.support.lambda_context import CONTEXT

TOPIC = "arn:aws:sns:eu-west-1:123456789012:notifications"

pytestmark = pytest.mark.usefixtures("moto")


def create(
    monkeypatch: pytest.MonkeyPatch, name: str = "new", promotion: dict[str, Any] | None = None, **settings: Any
) -> dict[str, Any]:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "reviews",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    config = {"ProductionVariants": [variant], **settings}
    monkeypatch.setattr(create_alarms, "describe_endpoint_config", lambda _, name: config if name == "new" else None)
    return create_alarms.handler(
        {
            "promotion": {
                "endpoint": "reviews-qa",
                "endpoint_config_name": name,
                "previous_endpoint_config_name": "old",
            }
            | (promotion or {}),
            "error_rate_percent": 5,
            "latency_milliseconds": 800,
            "topic_arn": TOPIC,
        },
        CONTEXT,
    )


def requests(variant: str) -> list[dict[str, Any]]:
    config = {"ProductionVariants": [{"VariantName": variant, "ModelName": "reviews"}]}
    return alarm_requests.requests_of(
        "reviews-qa", config, error_rate_percent=5, latency_milliseconds=800, topic_arn=TOPIC
    )


def alarms() -> dict[str, dict[str, Any]]:
    found = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in found}


def test_an_endpoint_gets_an_error_alarm_and_a_latency_alarm_that_notify_the_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert create(monkeypatch) == {"alarms": ["reviews-qa-5xx-rate", "reviews-qa-latency"]}

    found = alarms()
    assert {name: alarm["Threshold"] for name, alarm in found.items()} == {
        "reviews-qa-5xx-rate": 0.05,
        "reviews-qa-latency": 800_000,
    }
    assert all(alarm["AlarmActions"] == [TOPIC] for alarm in found.values())


def test_an_asynchronous_endpoint_gets_no_latency_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch, AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://stage/answers"}})

    assert list(alarms()) == ["reviews-qa-5xx-rate"]


def test_existing_alarms_are_updated_to_the_thresholds_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch)
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName="reviews-qa-latency",
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )

    create(monkeypatch)

    assert alarms()["reviews-qa-latency"]["Threshold"] == 800_000


def test_alarms_that_are_as_they_should_be_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch)
    before = alarms()
    written: list[str] = []
    monkeypatch.setattr(
        client("cloudwatch"), "put_metric_alarm", lambda **request: written.append(request["AlarmName"])
    )

    create(monkeypatch)

    assert (written, alarms()) == ([], before)


@pytest.mark.parametrize(
    "change",
    [
        {"Threshold": 2},
        {"AlarmActions": []},
        {"ActionsEnabled": False},
        {"OKActions": [TOPIC]},
        {"EvaluationPeriods": 3},
    ],
)
def test_an_alarm_that_someone_changed_is_restored(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    create(monkeypatch)
    (request,) = (each for each in requests("AllTraffic") if each["AlarmName"] == "reviews-qa-latency")
    boto3.client("cloudwatch").put_metric_alarm(**request | change)

    create(monkeypatch)

    found = alarms()["reviews-qa-latency"]
    assert (found["Threshold"], found["AlarmActions"], found["EvaluationPeriods"]) == (800_000, [TOPIC], 2)
    assert (found["ActionsEnabled"], found["OKActions"]) == (True, [])


def test_alarms_for_other_variants_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch)
    different = alarm_requests.put_where_different(boto3.client("cloudwatch"), requests("Cpu"))

    assert different == ["reviews-qa-5xx-rate", "reviews-qa-latency"]


def test_alarms_of_a_config_that_is_not_visible_yet_are_created_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError, match="The endpoint config newer is not visible"):
        create(monkeypatch, "newer")


GUARDED = {
    "AutoRollbackConfiguration": {
        "Alarms": [{"AlarmName": "reviews-qa-5xx-rate"}, {"AlarmName": "reviews-qa-deployment-5xx-rate"}]
    }
}


def test_each_deployment_creates_the_alarms_of_its_endpoint_config_again(monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch, promotion={"deployment_config": GUARDED})
    boto3.client("cloudwatch").set_alarm_state(
        AlarmName="reviews-qa-deployment-5xx-rate", StateValue="ALARM", StateReason="the last deployment"
    )

    create(monkeypatch, promotion={"deployment_config": GUARDED})

    alarm = alarms()["reviews-qa-deployment-5xx-rate"]
    assert alarm["StateValue"] != "ALARM"
    dimensions = alarm["Metrics"][0]["MetricStat"]["Metric"]["Dimensions"]
    assert {each["Name"]: each["Value"] for each in dimensions}["EndpointConfigName"] == "new"
    assert "reviews-qa-deployment-latency" not in alarms()


@pytest.mark.parametrize("promotion", [{"deployment_config": {}}, {"previous_endpoint_config_name": ""}])
def test_a_deployment_without_guardrails_has_no_alarms_of_its_own(
    monkeypatch: pytest.MonkeyPatch, promotion: dict[str, Any]
) -> None:
    create(monkeypatch, promotion={"deployment_config": GUARDED} | promotion)

    assert set(alarms()) == {"reviews-qa-5xx-rate", "reviews-qa-latency"}
