"""Endpoint updates shift traffic in steps, and are rolled back when an alarm goes into ALARM."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.sagemaker_account import VARIANT, Account
from tests.support.waiting import wait_for


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    monkeypatch.setattr(aws.pace, "guardrail_wait", 1.0)
    return Account("qa", name)


def blue_green(kind: str = "ALL_AT_ONCE", wait: int = 0, **routing: Any) -> dict[str, Any]:
    traffic = {"Type": kind, "WaitIntervalInSeconds": wait, **routing}
    return {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 300}


def rolling(percent: int = 50) -> dict[str, Any]:
    return {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": percent}, "WaitIntervalInSeconds": 300}


def alarm(account: Account) -> dict[str, Any]:
    """Create an alarm in state OK, which keeps a state that is set, and return an AutoRollbackConfiguration with it."""
    account.client("cloudwatch").put_metric_alarm(
        AlarmName=account.name,
        Namespace="Tests",
        MetricName=account.name,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        TreatMissingData="ignore",
    )
    set_alarm_state(account, "OK")
    return {"Alarms": [{"AlarmName": account.name}]}


def set_alarm_state(account: Account, state: str = "ALARM") -> None:
    account.client("cloudwatch").set_alarm_state(AlarmName=account.name, StateValue=state, StateReason="a test")


def is_baking(account: Account) -> bool:
    pending = account.describe().get("PendingDeploymentSummary", {"ProductionVariants": []})
    return any(variant["VariantStatus"][0]["Status"] == "Baking" for variant in pending["ProductionVariants"])


def test_an_update_bakes_before_it_completes(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    config = {"BlueGreenUpdatePolicy": blue_green(), "AutoRollbackConfiguration": alarm(qa)}

    qa.update(qa.greeter_config("b", "Goodbye"), DeploymentConfig=config)

    wait_for(lambda: is_baking(qa))
    assert qa.greet() == "Goodbye Ada"
    endpoint = qa.settled()
    assert endpoint["EndpointConfigName"].endswith("-b")
    assert endpoint["LastDeploymentConfig"] == config


def test_a_canary_receives_its_share_of_the_traffic(
    qa: Account, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.pace, "guardrail_wait", 30.0)
    qa.endpoint(qa.greeter_config("a", "Hello", count=4))
    canary = blue_green("CANARY", 300, CanarySize={"Type": "INSTANCE_COUNT", "Value": 1})
    config = {"BlueGreenUpdatePolicy": canary, "AutoRollbackConfiguration": alarm(qa)}

    qa.update(qa.greeter_config("b", "Goodbye", count=4), DeploymentConfig=config)

    wait_for(lambda: is_baking(qa))
    (pending,) = qa.describe()["PendingDeploymentSummary"]["ProductionVariants"]
    assert (pending["CurrentInstanceCount"], pending["DesiredInstanceCount"]) == (1, 4)
    wait_for(lambda: qa.greet() == "Goodbye Ada")
    wait_for(lambda: qa.greet() == "Hello Ada")
    set_alarm_state(qa)
    assert qa.settled()["EndpointConfigName"].endswith("-a")


@pytest.mark.parametrize(
    "policy",
    [
        {"BlueGreenUpdatePolicy": blue_green()},
        {"BlueGreenUpdatePolicy": blue_green("LINEAR", 300, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 50})},
        {"RollingUpdatePolicy": rolling()},
    ],
)
def test_an_alarm_in_the_baking_period_rolls_the_update_back(qa: Account, policy: dict[str, Any]) -> None:
    config = qa.greeter_config("a", "Hello", count=2)
    qa.endpoint(config)
    deployment_config = {**policy, "AutoRollbackConfiguration": alarm(qa)}
    qa.update(qa.greeter_config("b", "Goodbye", count=2), DeploymentConfig=deployment_config)
    wait_for(lambda: is_baking(qa))

    set_alarm_state(qa)

    seen, endpoint = qa.statuses()
    assert seen[-2:] == ["RollingBack", "InService"]
    assert endpoint["EndpointConfigName"] == config
    assert qa.name in endpoint["FailureReason"]
    assert {qa.greet() for _ in range(5)} == {"Hello Ada"}


def test_a_rolling_update_whose_rollback_fails_keeps_both_configs(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello", count=2)
    qa.endpoint(config)
    deployment_config = {"RollingUpdatePolicy": rolling(), "AutoRollbackConfiguration": alarm(qa)}
    qa.update(qa.greeter_config("b", "Goodbye", count=2), DeploymentConfig=deployment_config)
    wait_for(lambda: qa.describe()["PendingDeploymentSummary"]["ProductionVariants"][0]["CurrentInstanceCount"] == 2)
    qa.s3.delete_object(Bucket=qa.bucket, Key=f"{config}/model.tar.gz")

    set_alarm_state(qa)

    seen, endpoint = qa.statuses()
    assert seen[-2:] == ["RollingBack", "UpdateRollbackFailed"]
    assert "Failed to download model data" in endpoint["FailureReason"]
    assert qa.greet() in ("Hello Ada", "Goodbye Ada")
    qa.update(qa.greeter_config("c", "Hi"))
    assert qa.settled()["EndpointStatus"] == "InService"
    assert {qa.greet() for _ in range(5)} == {"Hi Ada"}


def test_the_last_deployment_config_is_retained_only_on_request(qa: Account) -> None:
    one, other = qa.greeter_config("a", "Hello"), qa.greeter_config("b", "Goodbye")
    qa.endpoint(one)
    config = {"BlueGreenUpdatePolicy": blue_green(), "AutoRollbackConfiguration": alarm(qa)}
    qa.update(other, DeploymentConfig=config)
    qa.settled()
    set_alarm_state(qa)

    qa.update(one)
    assert qa.settled()["EndpointConfigName"] == one

    qa.update(other, RetainDeploymentConfig=True)
    assert qa.settled()["EndpointConfigName"] == one


def test_the_alarms_must_exist(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    config = {
        "BlueGreenUpdatePolicy": blue_green(),
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": f"{qa.name}-missing"}]},
    }

    with pytest.raises(ClientError, match=f"Could not find the alarms .*{qa.name}-missing"):
        qa.update(qa.greeter_config("b", "Goodbye"), DeploymentConfig=config)

    assert qa.describe()["EndpointStatus"] == "InService"


@pytest.mark.parametrize(
    ("policies", "part_of_message"),
    [
        ({"BlueGreenUpdatePolicy": blue_green("CANARY", 10)}, "CanarySize is required"),
        (
            {"BlueGreenUpdatePolicy": blue_green("CANARY", 10, CanarySize={"Type": "CAPACITY_PERCENT", "Value": 60})},
            "CanarySize must be between",
        ),
        (
            {
                "BlueGreenUpdatePolicy": blue_green(
                    "LINEAR", 10, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 5}
                )
            },
            "LinearStepSize must be between",
        ),
        ({"RollingUpdatePolicy": rolling(80)}, "MaximumBatchSize must be between"),
        ({"RollingUpdatePolicy": rolling(), "BlueGreenUpdatePolicy": blue_green()}, "Only one of"),
        ({"BlueGreenUpdatePolicy": blue_green(wait=3601)}, "less than or equal to 3600"),
        ({"RollingUpdatePolicy": rolling() | {"MaximumExecutionTimeoutInSeconds": 600}}, "greater than the total"),
    ],
)
def test_a_deployment_config_outside_its_limits_is_rejected(
    qa: Account, policies: dict[str, Any], part_of_message: str
) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello", count=2))

    with pytest.raises(ClientError, match=part_of_message):
        qa.update(qa.greeter_config("b", "Goodbye", count=2), DeploymentConfig=policies)


def test_guardrails_require_the_same_variant_names(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    variant = {"ModelName": f"{qa.name}-a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    other = qa.config(f"{qa.name}-other", ProductionVariants=[{**variant, "VariantName": f"{VARIANT}-2"}])

    with pytest.raises(ClientError, match="same variant names"):
        qa.update(other, DeploymentConfig={"BlueGreenUpdatePolicy": blue_green()})

    qa.update(other)
    assert qa.settled()["ProductionVariants"][0]["VariantName"] == f"{VARIANT}-2"


def test_the_role_requires_permission_to_describe_the_alarms(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)
    alarms = alarm(qa)
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    qa.iam.update_assume_role_policy(RoleName=f"execution-{qa.name}", PolicyDocument=json.dumps(trust))

    with pytest.raises(ClientError, match="could not be described"):
        qa.update(config, DeploymentConfig={"BlueGreenUpdatePolicy": blue_green(), "AutoRollbackConfiguration": alarms})
