import itertools
from typing import Any

import pytest

from promotion.endpoint.guardrails import alarm_names, baking_seconds, refusals

KINDS = ("ALL_AT_ONCE", "CANARY", "LINEAR", "ROLLING")
SIZE_NAMES = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def instances(value: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": value}


def deployment(kind: str, size: dict[str, Any] | None = None, wait: int = 300, **policy: Any) -> dict[str, Any]:
    size = size or percent(50)
    if kind == "ROLLING":
        return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait, **policy}}
    routing = {"Type": kind, "WaitIntervalInSeconds": wait}
    if kind in SIZE_NAMES:
        routing[SIZE_NAMES[kind]] = size
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def variants(*counts: int, instance_type: str = "ml.m5.large") -> list[dict[str, Any]]:
    return [{"InstanceType": instance_type, "InitialInstanceCount": count} for count in counts]


SERVERLESS = [{"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}]
ON = {
    "one instance": variants(1),
    "two instances": variants(2),
    "ten instances": variants(10),
    "several variants": variants(2, 4),
    "inf1": variants(4, instance_type="ml.inf1.xlarge"),
    "a pool with inf1": [
        {"InstancePools": [{"InstanceType": "ml.inf1.xlarge", "Priority": 1}], "InitialInstanceCount": 2}
    ],
    "serverless": SERVERLESS,
}


@pytest.mark.parametrize(("kind", "on"), list(itertools.product(KINDS, ON)))
def test_each_kind_of_deployment_is_accepted_or_refused_for_each_kind_of_endpoint(kind: str, on: str) -> None:
    found = " ".join(refusals(deployment(kind), ON[on]))

    match kind, on:
        case _, "serverless":
            assert "cannot be combined with ServerlessConfig" in found
        case _, "inf1" | "a pool with inf1":
            assert "cannot be combined with ml.inf1 instances" in found
        case "ROLLING", "several variants":
            assert "cannot be combined with several variants" in found
        case "CANARY" | "LINEAR" | "ROLLING", "one instance":
            assert "cannot be combined with 1 instance" in found
            assert "Set InitialInstanceCount to 2 or more" in found
        case _:
            assert found == ""


@pytest.mark.parametrize(
    ("kind", "size", "count", "accepted"),
    [
        ("CANARY", percent(50), 2, True),
        ("CANARY", percent(51), 2, False),
        ("CANARY", instances(1), 2, True),
        ("CANARY", instances(2), 3, False),
        ("CANARY", percent(1), 2, True),
        ("LINEAR", percent(10), 2, True),
        ("LINEAR", percent(9), 2, False),
        ("LINEAR", instances(1), 10, True),
        ("LINEAR", instances(1), 11, False),
        ("ROLLING", percent(5), 2, True),
        ("ROLLING", percent(4), 2, False),
        ("ROLLING", instances(1), 20, True),
        ("ROLLING", instances(1), 21, False),
        ("ROLLING", instances(11), 20, False),
    ],
)
def test_a_step_must_have_a_size_that_sagemaker_accepts(
    kind: str, size: dict[str, Any], count: int, accepted: bool
) -> None:
    found = list(refusals(deployment(kind, size), variants(count)))

    assert (found == []) is accepted
    assert all("SageMaker accepts" in refusal for refusal in found)


def test_two_policies_are_refused() -> None:
    (found,) = refusals(deployment("CANARY") | deployment("ROLLING"), variants(2))

    assert found.startswith("DeploymentConfig has both BlueGreenUpdatePolicy and RollingUpdatePolicy")


@pytest.mark.parametrize(("kind", "required"), SIZE_NAMES.items())
def test_a_missing_size_is_refused(kind: str, required: str) -> None:
    without = deployment(kind)
    del without["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"][required]

    (found,) = refusals(without, variants(2))

    assert f"of Type {kind}, which requires {required}. Add {required}." in found


@pytest.mark.parametrize(("kind", "other"), [("ALL_AT_ONCE", "CanarySize"), ("CANARY", "LinearStepSize")])
def test_a_size_that_would_be_ignored_is_refused(kind: str, other: str) -> None:
    with_other = deployment(kind)
    with_other["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"][other] = percent(20)

    (found,) = refusals(with_other, variants(2))

    assert f"has {other}, but" in found


@pytest.mark.parametrize(
    ("config", "count", "seconds"),
    [
        ({}, 2, 0),
        (deployment("ALL_AT_ONCE"), 2, 0),
        (deployment("ALL_AT_ONCE", TerminationWaitInSeconds=600), 2, 600),
        (deployment("CANARY", TerminationWaitInSeconds=600), 2, 900),
        (deployment("LINEAR", percent(50)), 2, 300),
        (deployment("LINEAR", percent(30)), 2, 900),
        (deployment("LINEAR", instances(1), TerminationWaitInSeconds=10), 4, 910),
        (deployment("ROLLING", percent(50)), 2, 600),
        (deployment("ROLLING", instances(3)), 10, 1200),
    ],
)
def test_the_wait_times_of_a_deployment_are_added_up(config: dict[str, Any], count: int, seconds: int) -> None:
    assert baking_seconds(config, count) == seconds
    assert baking_seconds(config) >= seconds


@pytest.mark.parametrize(("seconds", "refused"), [(900, True), (901, False)])
@pytest.mark.parametrize("kind", ["CANARY", "ROLLING"])
def test_a_timeout_shorter_than_the_wait_times_is_refused(kind: str, seconds: int, refused: bool) -> None:
    more: dict[str, Any] = {"TerminationWaitInSeconds": 600} if kind == "CANARY" else {}
    config = deployment(kind, wait=300 if kind == "CANARY" else 450, MaximumExecutionTimeoutInSeconds=seconds, **more)

    found = list(refusals(config, variants(2)))

    assert bool(found) is refused
    assert all("its wait times add up to 900 seconds" in refusal for refusal in found)


def test_alarm_names_are_unique() -> None:
    alarms = [{"AlarmName": "b"}, {"AlarmName": "a"}, {"AlarmName": "b"}]

    assert alarm_names({"AutoRollbackConfiguration": {"Alarms": alarms}}) == ["a", "b"]
    assert alarm_names({}) == []
