"""Application Auto Scaling follows its API reference for variants of SageMaker endpoints."""

import contextlib
import datetime
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel.background import Background
from embedded_aws.services.application_autoscaling import api as application_autoscaling
from tests.embedded_aws.support.customers import QA, as_role, make_role
from tests.embedded_aws.support.sagemaker_account import VARIANT, Account
from tests.support.waiting import wait_for

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
POLICY = {
    "PolicyName": "invocations",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
}
NIGHT = {"ScheduledActionName": "night", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MaxCapacity": 1}}


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.1)
    return Account("qa", name)


def variant(qa: Account) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{qa.name}/variant/{VARIANT}",
        "ScalableDimension": INSTANCES,
    }


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def test_deregistering_a_target_deletes_its_policies_and_scheduled_actions(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)
    scaling.put_scaling_policy(**name, **POLICY)
    scaling.put_scheduled_action(**name, **NIGHT)

    scaling.deregister_scalable_target(**name)

    request = {"ServiceNamespace": "sagemaker", "ResourceId": name["ResourceId"]}
    assert (
        scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[name["ResourceId"]])[
            "ScalableTargets"
        ]
        == []
    )
    assert scaling.describe_scaling_policies(**request)["ScalingPolicies"] == []
    assert scaling.describe_scheduled_actions(**request)["ScheduledActions"] == []


def test_a_policy_is_removed_with_the_permission_to_delete_its_alarms(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)
    scaling.put_scaling_policy(**name, **POLICY)
    actions = ["application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget"]
    without, with_alarms = (
        as_role("application-autoscaling", make_role(f"{qa.name}-{number}", QA, allowed, "lambda.amazonaws.com"))
        for number, allowed in enumerate((actions, [*actions, "cloudwatch:DeleteAlarms"]))
    )

    with pytest.raises(ClientError, match="cloudwatch:DeleteAlarms"):
        without.deregister_scalable_target(**name)
    with pytest.raises(ClientError, match="cloudwatch:DeleteAlarms"):
        without.delete_scaling_policy(**name, PolicyName=POLICY["PolicyName"])
    with_alarms.delete_scaling_policy(**name, PolicyName=POLICY["PolicyName"])
    # Without a policy, there are no alarms.
    without.deregister_scalable_target(**name)


def test_policies_and_actions_require_a_valid_target(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)

    assert code(scaling.put_scaling_policy, **name, **POLICY) == "ObjectNotFoundException"
    assert code(scaling.put_scheduled_action, **name, **NIGHT) == "ObjectNotFoundException"
    assert code(scaling.deregister_scalable_target, **name) == "ObjectNotFoundException"
    assert code(scaling.register_scalable_target, **name, MinCapacity=1) == "ValidationException"
    assert code(scaling.register_scalable_target, **name, MinCapacity=2, MaxCapacity=1) == "ValidationException"
    assert code(scaling.describe_scalable_targets, ServiceNamespace="nowhere") == "ValidationException"


def test_the_first_target_of_an_account_fails_until_its_role_can_be_assumed(
    aws: EmbeddedAws, qa: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaling, iam, name = qa.client("application-autoscaling"), qa.client("iam"), variant(qa)
    with contextlib.suppress(iam.exceptions.NoSuchEntityException):
        iam.delete_service_linked_role(RoleName="AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    monkeypatch.setattr(aws.pace, "service_role_lag", 0.5)

    with pytest.raises(ClientError, match=r"ValidationException.*Unable to assume IAM role"):
        scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)
    time.sleep(0.6)

    assert scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)["ScalableTargetARN"]


def test_updating_a_target_keeps_unspecified_values(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    suspended = {"ScheduledScalingSuspended": True}
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4, SuspendedState=suspended)

    scaling.register_scalable_target(**name, MaxCapacity=9)

    [found] = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[name["ResourceId"]])[
        "ScalableTargets"
    ]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 9)
    assert found["SuspendedState"]["ScheduledScalingSuspended"] is True
    assert found["SuspendedState"]["DynamicScalingInSuspended"] is False


def test_registering_a_target_scales_its_variant_into_the_range(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))

    qa.client("application-autoscaling").register_scalable_target(**variant(qa), MinCapacity=3, MaxCapacity=4)

    assert qa.settled()["ProductionVariants"][0]["DesiredInstanceCount"] == 3


def test_deleting_an_endpoint_deregisters_its_targets(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)

    qa.sagemaker.delete_endpoint(EndpointName=qa.name)
    wait_for(lambda: not qa.sagemaker.list_endpoints(NameContains=qa.name)["Endpoints"])

    assert code(scaling.deregister_scalable_target, **name) == "ObjectNotFoundException"


def test_policies_are_paginated(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)
    for number in range(5):
        scaling.put_scaling_policy(**name, **(POLICY | {"PolicyName": f"p{number}"}))

    pages = scaling.get_paginator("describe_scaling_policies").paginate(
        ServiceNamespace="sagemaker", ResourceId=name["ResourceId"], PaginationConfig={"PageSize": 2}
    )

    assert [[policy["PolicyName"] for policy in page["ScalingPolicies"]] for page in pages] == [
        ["p0", "p1"],
        ["p2", "p3"],
        ["p4"],
    ]


def capacities(qa: Account) -> tuple[int, int]:
    request = {"ServiceNamespace": "sagemaker", "ResourceIds": [variant(qa)["ResourceId"]]}
    (found,) = qa.client("application-autoscaling").describe_scalable_targets(**request)["ScalableTargets"]
    return found["MinCapacity"], found["MaxCapacity"]


def test_a_scheduled_action_sets_the_capacities_that_it_has_and_scales_the_variant(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)
    for action, capacity in {"day": {"MinCapacity": 3}, "holiday": {"MinCapacity": 9}}.items():
        scaling.put_scheduled_action(
            **name, ScheduledActionName=action, Schedule="rate(1 day)", ScalableTargetAction=capacity
        )

    application_autoscaling.run(qa.id, name["ResourceId"], "day")

    assert capacities(qa) == (3, 4)
    assert qa.settled()["ProductionVariants"][0]["DesiredInstanceCount"] == 3
    application_autoscaling.run(qa.id, name["ResourceId"], "holiday")
    assert capacities(qa) == (3, 4)


def test_a_suspended_schedule_changes_nothing(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    suspended = {"ScheduledScalingSuspended": True}
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4, SuspendedState=suspended)
    scaling.put_scheduled_action(**name, **NIGHT)

    application_autoscaling.run(qa.id, name["ResourceId"], "night")

    assert capacities(qa) == (1, 4)


def test_a_one_time_action_runs_at_its_time(qa: Account) -> None:
    scaling, name = qa.client("application-autoscaling"), variant(qa)
    scaling.register_scalable_target(**name, MinCapacity=1, MaxCapacity=4)
    time = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    action = NIGHT | {"Schedule": f"at({time:%Y-%m-%dT%H:%M:%S})"}
    later = NIGHT | {"ScheduledActionName": "later", "Schedule": "at(2999-01-01T00:00:00)"}
    background = Background("test")
    background.run(application_autoscaling.watch, background)

    for each in (action, later | {"ScalableTargetAction": {"MaxCapacity": 9}}):
        scaling.put_scheduled_action(**name, **each)

    wait_for(lambda: capacities(qa) == (1, 1))
    background.end()
