from typing import Any

import boto3
import pytest

from promotion.aws.clients import client
from promotion.errors import ThrottledError
from steps import check_endpoint
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, make_config, make_endpoint
from tests.support.s3_faults import client_error

ALARM = f"{ENDPOINT}-5xx-rate"
GUARDED = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": ALARM}]}}

pytestmark = pytest.mark.usefixtures("moto")


def check(previous: str = "old", **last: Any) -> dict[str, Any]:
    promotion = {
        "endpoint": ENDPOINT,
        "endpoint_config_name": "new",
        "previous_endpoint_config_name": previous,
        "deployment_config": GUARDED,
    }
    first = {"changing": False, "unchanged_checks": 0, "alarms": []}
    return check_endpoint.handler({"promotion": promotion, "last": first | last}, CONTEXT)


def set_alarm(state: str) -> None:
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=ALARM,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue=state, StateReason="a test")


def test_an_endpoint_in_service_with_the_new_config_is_deployed() -> None:
    make_endpoint("new")

    assert check()["verdict"] == "deployed"


def test_an_endpoint_with_its_previous_config_after_a_deployment_has_failed() -> None:
    make_endpoint("old")
    make_config("new")

    assert check(changing=True)["verdict"] == "failed"


def test_an_endpoint_deleted_during_the_deployment_has_failed() -> None:
    checked = check(changing=True)

    assert checked["verdict"] == "failed"
    assert "deleted" in checked["reason"]


@pytest.mark.parametrize(("state", "alarms"), [("ALARM", [ALARM]), ("OK", [])])
def test_an_alarm_during_the_deployment_is_recorded(state: str, alarms: list[str]) -> None:
    make_endpoint("old")
    set_alarm(state)

    assert list(check()["alarms"]) == alarms


def test_a_recorded_alarm_stays_recorded_after_it_is_ok() -> None:
    make_endpoint("old")
    set_alarm("OK")

    assert list(check(alarms=[ALARM])["alarms"]) == [ALARM]


def fail(monkeypatch: pytest.MonkeyPatch, service: str, operation: str, code: str) -> None:
    def raise_error(**_: Any) -> None:
        raise client_error(code, "Rate exceeded", operation)

    monkeypatch.setattr(client(service), operation, raise_error)


def test_alarms_that_cannot_be_read_keep_their_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    make_endpoint("new")
    fail(monkeypatch, "cloudwatch", "describe_alarms", "Throttling")

    checked = check(alarms=[ALARM])

    assert (checked["verdict"], list(checked["alarms"])) == ("deployed", [ALARM])


def test_a_throttled_check_of_the_endpoint_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "sagemaker", "describe_endpoint", "ThrottlingException")

    with pytest.raises(ThrottledError):
        check()
