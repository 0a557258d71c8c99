"""The metrics of an endpoint's invocations, and the alarms on them that roll a deployment back."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.sagemaker_account import SCRIPT, VARIANT, Account, greeter
from tests.support.waiting import wait_for

UNSUPPORTED = {"ContentType": "application/x-unknown"}
SLOW = SCRIPT.replace("    return f", "    import time; time.sleep(0.3)\n    return f")
BROKEN = SCRIPT.replace('name == "nobody"', "True")


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("qa", name)


def of(account: Account, config: str = "") -> dict[str, str]:
    """Return the dimensions of the metrics of an endpoint, or of those of one of its configs."""
    names = {"EndpointName": account.name, "VariantName": VARIANT}
    return names | ({"EndpointConfigName": config} if config else {})


def test_each_response_counts_as_an_error_of_the_client_or_of_the_model_or_as_none(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)

    qa.greet()
    qa.greet()
    with pytest.raises(ClientError, match=r"server error \(500\)"):
        qa.greet("nobody")
    with pytest.raises(ClientError, match=r"client error \(415\)"):
        qa.runtime.invoke_endpoint(EndpointName=qa.name, Body=b"x", **UNSUPPORTED)
    with pytest.raises(ClientError, match="Variant Other not found"):
        qa.greet(TargetVariant="Other")

    for of_config in ("", config):
        sums = {
            metric: (found["Sum"], found["SampleCount"])
            for metric in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
            if (found := qa.metric(metric, **of(qa, of_config)))
        }
        assert sums == {
            "Invocations": (4, 4),
            "Invocation4XXErrors": (1, 4),
            "Invocation5XXErrors": (1, 4),
            "InvocationModelErrors": (2, 4),
        }
    assert qa.metric("Invocations", **of(qa, f"{config}-other")) == {}


def test_latencies_are_in_microseconds(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello", SLOW))

    qa.greet()

    model, overhead = (qa.metric(metric, **of(qa)) for metric in ("ModelLatency", "OverheadLatency"))
    assert 300_000 <= model["Average"] < 60_000_000
    assert 0 < overhead["Average"] < 60_000_000
    assert (model["Unit"], overhead["Unit"]) == ("Microseconds", "Microseconds")


def test_an_asynchronous_endpoint_has_no_metrics_of_invocations_and_overhead(qa: Account) -> None:
    output = {"OutputConfig": {"S3OutputPath": f"s3://{qa.bucket}/out"}}
    qa.endpoint(qa.config(qa.model("a", greeter("Hello")), AsyncInferenceConfig=output))

    qa.runtime.invoke_endpoint_async(
        EndpointName=qa.name, InputLocation=qa.put("in.json", json.dumps("Ada")), ContentType="application/json"
    )

    wait_for(lambda: qa.metric("ModelLatency", **of(qa)), "the inference")
    assert qa.metric("Invocation5XXErrors", **of(qa))["Sum"] == 0
    assert [qa.metric(name, **of(qa)) for name in ("Invocations", "OverheadLatency")] == [{}, {}]


def test_an_alarm_on_the_errors_of_the_new_fleet_rolls_the_update_back(
    qa: Account, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.pace, "guardrail_wait", 60.0)
    old, new = qa.greeter_config("a", "Hello", count=2), qa.greeter_config("b", "Hi", BROKEN, 2)
    qa.endpoint(old)
    for config in (old, new):
        qa.client("cloudwatch").put_metric_alarm(
            AlarmName=config,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[{"Name": key, "Value": value} for key, value in of(qa, config).items()],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0.05,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
    canary = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 300,
        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
    }
    guarded = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": canary},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": new}]},
    }

    def is_rolling_back() -> bool:
        with contextlib.suppress(ClientError):
            qa.greet()
        time.sleep(0.1)
        return bool(qa.describe()["EndpointStatus"] == "RollingBack")

    qa.update(new, DeploymentConfig=guarded)
    wait_for(is_rolling_back, "the rollback")

    endpoint = qa.settled()
    assert endpoint["EndpointConfigName"] == old
    assert f"alarm {new} of AutoRollbackConfiguration" in endpoint["FailureReason"]
    (of_old,) = qa.client("cloudwatch").describe_alarms(AlarmNames=[old])["MetricAlarms"]
    assert of_old["StateValue"] == "OK"
