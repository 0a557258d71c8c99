"""The autoscaling of an endpoint comes from the settings, survives promotions, and is restored when one fails."""

import contextlib
from typing import Any

import pytest

from docs import overhead
from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.application_autoscaling import api as application_autoscaling
from embedded_aws.services.stepfunctions import api as step_functions
from tests.linter import Project
from tests.support.scaling import NIGHT, POLICY
from tests.support.settings import configure, instances
from tests.support.world import Lab, Stage

AUTOSCALING = {"MinCapacity": 2, "MaxCapacity": 4, "ScalingPolicies": [POLICY], "ScheduledActions": [NIGHT]}


def variant(stage: Stage, application: str) -> dict[str, Any]:
    found = stage.endpoint(application)
    assert found
    config = stage.client("sagemaker").describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    kind = config["ProductionVariants"][0]["InstanceType"]
    return {"instances": found["ProductionVariants"][0]["DesiredInstanceCount"], "type": kind}


def test_autoscaling_from_the_settings_survives_later_promotions(lab: Lab, qa: Stage, application: str) -> None:
    configure(qa, application, Autoscaling=AUTOSCALING)
    first = qa.execution_of(lab.train(application, "good"))
    assert first.status == "SUCCEEDED", first.cause
    applied = qa.scaling(application)
    assert applied["targets"] == [{"MinCapacity": 2, "MaxCapacity": 4}]
    assert applied["policies"] == [POLICY]
    assert applied["actions"] == [NIGHT]
    assert variant(qa, application) == {"instances": 2, "type": "ml.m5.large"}

    # Another instance type, for which SageMaker requires that the target is deregistered, and a model that fails.
    configure(qa, application, EndpointConfig=instances("ml.c5.large"), Autoscaling=AUTOSCALING | {"MaxCapacity": 9})
    failed = qa.execution_of(lab.train(application, "bad", expect="label == 'good'"))
    assert failed.error == "SmokeTestFailed", failed.cause
    assert qa.scaling(application) == applied
    assert variant(qa, application) == {"instances": 2, "type": "ml.m5.large"}

    # The same with a model that proves itself, and settings that no longer say how it scales.
    configure(qa, application, EndpointConfig=instances("ml.c5.large"))
    succeeded = qa.execution_of(lab.train(application, "better"))
    assert succeeded.status == "SUCCEEDED", succeeded.cause
    assert qa.scaling(application) == applied
    assert variant(qa, application) == {"instances": 2, "type": "ml.c5.large"}
    # The overhead of a promotion is computed for these states.
    entered = succeeded.states[: succeeded.states.index("Publish promotion") + 1]
    repeated = {"Copy batch", "Wait for deployment"}
    path = overhead.path(Project.read().definition["States"])
    assert [state for state in dict.fromkeys(entered) if state not in repeated] == path

    # And on a manual rollback.
    configure(qa, application, Autoscaling={"MinCapacity": 1, "MaxCapacity": 2, "ScalingPolicies": [POLICY]})
    back = qa.promote({"rollback": f"{application}-qa"})
    assert back.status == "SUCCEEDED", back.cause
    assert qa.scaling(application) == {
        "targets": [{"MinCapacity": 1, "MaxCapacity": 2}],
        "policies": [POLICY],
        "actions": [],
    }
    assert variant(qa, application) == {"instances": 2, "type": "ml.m5.large"}


def test_the_first_scalable_target_creates_the_service_linked_role(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks.pace, "service_role_lag", 3.0)
    iam, name = qa.client("iam"), "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    with contextlib.suppress(iam.exceptions.NoSuchEntityException):
        iam.delete_service_linked_role(RoleName=name)
    configure(qa, application, Autoscaling=AUTOSCALING)

    promoted = qa.execution_of(lab.train(application, "good"))

    assert promoted.status == "SUCCEEDED", promoted.cause
    assert iam.get_role(RoleName=name)["Role"]["Path"].startswith("/aws-service-role/sagemaker.")


def test_a_rolled_back_first_deployment_leaves_no_autoscaling(lab: Lab, qa: Stage, application: str) -> None:
    configure(qa, application, Autoscaling=AUTOSCALING)
    applied: list[Any] = []

    def stop_when_applied(execution: Any, state: str) -> None:
        if state == "Record promotion" and application in execution.execution_input:
            applied.append(qa.scaling(application)["targets"])
            qa.client("stepfunctions").stop_execution(executionArn=execution.exec_arn)

    with step_functions.watched(stop_when_applied):
        stopped = qa.execution_of(lab.train(application, "first"))
    recovery = qa.execution_of(stopped.arn)

    assert recovery.states[-1] == "Recovered", recovery.cause
    assert applied == [[{"MinCapacity": 2, "MaxCapacity": 4}]]
    assert qa.endpoint(application) is None
    assert qa.scaling(application) == {"targets": [], "policies": [], "actions": []}


def test_scaling_policies_and_actions_are_those_of_the_settings_or_the_previous_ones(
    lab: Lab, qa: Stage, application: str
) -> None:
    other = POLICY | {"PolicyName": "other"}
    usual = {"MinCapacity": 1, "MaxCapacity": 2, "ScalingPolicies": [other]}
    configure(qa, application, Autoscaling=AUTOSCALING)
    qa.execution_of(lab.train(application, "first"))

    configure(qa, application, Autoscaling=usual)
    assert qa.execution_of(lab.train(application, "second")).status == "SUCCEEDED"
    assert qa.scaling(application) == {
        "targets": [{"MinCapacity": 1, "MaxCapacity": 2}],
        "policies": [other],
        "actions": [],
    }

    def stop_when_applied(execution: Any, state: str) -> None:
        if state == "Record promotion" and application in execution.execution_input:
            qa.client("stepfunctions").stop_execution(executionArn=execution.exec_arn)

    before = qa.scaling(application)
    configure(qa, application, Autoscaling=AUTOSCALING)
    with step_functions.watched(stop_when_applied):
        stopped = qa.execution_of(lab.train(application, "third"))
    assert qa.execution_of(stopped.arn).states[-1] == "Recovered"
    assert qa.scaling(application) == before


def test_a_promotion_undoes_neither_a_schedule_nor_a_change_during_it(lab: Lab, qa: Stage, application: str) -> None:
    resource = f"endpoint/{application}-qa/variant/AllTraffic"
    configure(qa, application, Autoscaling=AUTOSCALING)
    assert qa.execution_of(lab.train(application, "first")).status == "SUCCEEDED"
    application_autoscaling.run(qa.account, resource, "night")
    assert qa.scaling(application)["targets"] == [{"MinCapacity": 2, "MaxCapacity": 2}]

    def suspend(execution: Any, state: str) -> None:
        if state == "Run smoke test" and f"{application}-second-" in execution.execution_input:
            qa.client("application-autoscaling").register_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=resource,
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
                SuspendedState={"DynamicScalingOutSuspended": True},
            )

    with step_functions.watched(suspend):
        second = qa.execution_of(lab.train(application, "second"))

    assert second.status == "SUCCEEDED", second.cause
    (target,) = qa.scaling(application)["targets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 2)
    assert target["SuspendedState"]["DynamicScalingOutSuspended"] is True
