"""For every state of an endpoint, a promotion waits, is refused, or reports the result."""

from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.services.sagemaker.hosting import api as hosting
from embedded_aws.services.stepfunctions import api as step_functions
from promotion.history.lock import RECOVERY_ATTEMPTS
from tests.support.mail import mail
from tests.support.scaling import scale_manually
from tests.support.settings import configure, instances
from tests.support.stacks import deployed_with
from tests.support.waiting import wait_until
from tests.support.world import CANNOT_LOAD, QA, SLOW, Execution, Lab, Stage


def test_a_promotion_waits_while_sagemaker_patches_the_endpoint(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    hosting.maintain(QA, f"{application}-qa", 6)

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "next"}


def test_a_failed_endpoint_is_not_changed_and_the_error_says_so(lab: Lab, qa: Stage, application: str) -> None:
    deployed = qa.execution_of(lab.train(application, "good")).output
    sagemaker = qa.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName=deployed["endpoint"])
    wait_until(lambda: True if qa.endpoint(application) is None else None, "the deletion")
    broken = make_broken_config(lab, qa, application, deployed)
    tags = {"model-promotion:application": application, "model-promotion:execution": deployed["execution"]}
    sagemaker.create_endpoint(
        EndpointName=deployed["endpoint"],
        EndpointConfigName=broken,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    wait_until(lambda: True if status(qa, application) == "Failed" else None, "the failure")

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.error == "PromotionRefusedError"
    assert f"The endpoint {application}-qa is Failed" in (execution.cause or "")
    assert "Delete the endpoint" in (execution.cause or "")
    assert status(qa, application) == "Failed"
    assert qa.running(application) == []


def test_a_stale_first_description_does_not_count_as_a_rollback(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    qa.execution_of(lab.train(application, "good"))
    monkeypatch.setattr(stacks.pace, "endpoint_status_lag", 1.6 * stacks.pace.waiting)

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert execution.states.count("Check endpoint") >= 2


def test_a_promotion_waits_for_an_endpoint_config_that_is_not_visible_yet(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide(execution: Any, state: str) -> None:
        if state == "Update endpoint" and application in execution.execution_input:
            monkeypatch.setattr(stacks.pace, "endpoint_config_lag", 3600.0)

    def promoted_once_it_is_seen(label: str) -> Execution:
        job = lab.train(application, label)
        arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
        wait_until(lambda: True if has_failed_once(qa, arn) else None, "a try that does not see the config")
        monkeypatch.setattr(stacks.pace, "endpoint_config_lag", 0.0)
        return qa.ended(arn)

    role = qa.role("UpdateEndpointFunctionRole")
    with step_functions.watched(hide):
        with faults.watched() as creating:
            created = promoted_once_it_is_seen("good")
        qa.scale_out(application, 2)
        with faults.watched() as updating:
            updated = promoted_once_it_is_seen("next")

    assert (created.status, updated.status) == ("SUCCEEDED", "SUCCEEDED"), f"{created.cause} {updated.cause}"
    assert Call(role, "sagemaker", "CreateEndpoint", 2) in creating
    assert Call(role, "sagemaker", "DescribeEndpoint", 2) in updating
    assert qa.answer(application) == {"label": "next"}
    # Only who sees the new config knows that the fleet has more than it starts with.
    assert qa.instances(application) == 2


def test_an_endpoint_that_someone_deletes_during_the_promotion_is_not_created_again(
    lab: Lab, qa: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "next", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Run smoke test" in qa.states(arn) else None, "the smoke test")

    qa.client("sagemaker").delete_endpoint(EndpointName=f"{application}-qa")
    execution = qa.ended(arn)

    assert execution.error == "RollbackFailed"
    assert "Someone deleted the endpoint" in (execution.cause or "")
    assert qa.endpoint(application) is None
    assert qa.running(application) == []


def test_an_exceeded_instance_quota_is_refused_and_the_endpoint_is_unchanged(
    lab: Lab, qa: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    before = qa.endpoint(application)
    configure(qa, application, EndpointConfig=instances("ml.p4d.24xlarge"))
    hosting.limit_instances(QA, "ml.p4d.24xlarge", 0)

    refused = qa.execution_of(lab.train(application, "next"))
    first = qa.promote({"training_job": lab.train(f"{application}-first", "first"), "application": application})

    for execution in (refused, first):
        assert execution.error == "PromotionRefusedError"
        assert "ResourceLimitExceeded" in (execution.cause or "")
        assert "ml.p4d.24xlarge for endpoint usage" in (execution.cause or "")
    assert qa.endpoint(application) == before
    assert qa.answer(application) == {"label": "good"}
    assert qa.running(application) == []


def test_a_concurrent_update_by_someone_else_is_not_overwritten(lab: Lab, qa: Stage, application: str) -> None:
    first: Any = qa.execution_of(lab.train(application, "first")).output
    qa.execution_of(lab.train(application, "second"))
    sagemaker = qa.client("sagemaker")

    def change(execution: Any, state: str) -> None:
        if state == "Update endpoint" and f"{application}-third" in execution.execution_input:
            sagemaker.update_endpoint(EndpointName=first["endpoint"], EndpointConfigName=first["endpoint_config_name"])

    with step_functions.watched(change):
        execution = qa.execution_of(lab.train(application, "third"))

    assert execution.error == "RollbackFailed"
    assert "Someone else changed the endpoint" in (execution.cause or "")
    assert qa.answer(application) == {"label": "first"}
    assert qa.history(application)[-1]["status"] == "RollbackFailed"
    assert qa.running(application) == []


def test_a_rollback_without_its_endpoint_config_requires_an_operator(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str
) -> None:
    first: Any = qa.execution_of(lab.train(application, "first")).output

    def clean_up(execution: Any, state: str) -> None:
        if state == "Run smoke test" and f"{application}-bad" in execution.execution_input:
            qa.client("sagemaker").delete_endpoint_config(EndpointConfigName=first["endpoint_config_name"])

    with step_functions.watched(clean_up):
        execution = qa.execution_of(lab.train(application, "bad", expect="label == 'good'"))

    assert execution.error == "RollbackFailed"
    assert f"could not be rolled back to the endpoint config {first['endpoint_config_name']}" in (execution.cause or "")
    assert "Could not find endpoint configuration" in (execution.cause or "")
    assert "The smoke test of" in (execution.cause or "")
    assert execution.arn in mail(stacks, "] RollbackFailed: Manual intervention required", f"{application}-qa")
    assert status(qa, application) == "InService"
    assert qa.running(application) == []


@pytest.mark.parametrize(
    ("service", "operation"),
    [("sagemaker", "UpdateEndpoint"), ("application-autoscaling", "RegisterScalableTarget")],
)
def test_a_denied_rollback_requires_an_operator_and_continues_once_it_is_permitted(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, service: str, operation: str
) -> None:
    before: Any = qa.execution_of(lab.train(application, "good")).output
    # The promotion removes the autoscaling of the endpoint, because the instances differ.
    scale_manually(qa, application)
    scaling = qa.scaling(application)
    configure(qa, application, EndpointConfig=instances("ml.c5.large"))
    call = Call(qa.role("RollBackEndpointFunctionRole"), service, operation)

    with faults.injected(call, Kind.DENIED):
        execution = qa.execution_of(lab.train(application, "bad", expect="label == 'good'"))
        held = wait_until(lambda: after_the_first_recoveries(qa, application), "the first recoveries")
    by_hand = qa.promote({"recover": f"{application}-qa"})

    assert execution.error == "RollbackInterrupted"
    cause = execution.cause or ""
    assert cause.startswith(f"The rollback of endpoint {application}-qa was interrupted")
    assert all(words in cause for words in ("AccessDenied", operation, "retried automatically", "The smoke test of"))
    assert "stackTrace" not in cause
    assert held["execution"] in mail(stacks, "] RollbackInterrupted: ", f"{application}-qa", held["execution"])
    assert by_hand.states[-1] == "Recovered", by_hand.cause
    assert (qa.endpoint(application) or {})["EndpointConfigName"] == before["endpoint_config_name"]
    assert qa.scaling(application) == scaling
    assert qa.answer(application) == {"label": "good"}
    assert qa.running(application) == []


def after_the_first_recoveries(stage: Stage, application: str) -> dict[str, str] | None:
    """Return the lock after the recoveries that follow one another immediately; later ones come after minutes."""
    for held in stage.running(application):
        holder = stage.client("stepfunctions").describe_execution(executionArn=held["execution"])
        if int(held.get("recoveries", 0)) == RECOVERY_ATTEMPTS and holder["status"] == "FAILED":
            return held
    return None


def test_a_deployment_that_never_ends_requires_an_operator(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: Any = qa.execution_of(lab.train(application, "good")).output
    monkeypatch.setattr(stacks.pace, "endpoint_change", 600.0)

    with deployed_with(qa, DeploymentTimeoutSeconds="10"):
        execution = qa.execution_of(lab.train(application, "next"))

    assert execution.error == "RollbackFailed"
    assert "The rollback did not finish within 10 seconds" in (execution.cause or "")
    assert f"The deployment of endpoint {application}-qa did not finish within 10 seconds" in (execution.cause or "")
    assert execution.arn in mail(stacks, "] RollbackFailed: Manual intervention required", f"{application}-qa")
    assert status(qa, application) == "Updating"
    configs = qa.client("sagemaker").list_endpoint_configs(NameContains=f"{application}-qa-")["EndpointConfigs"]
    assert len(configs) == 2
    assert first["endpoint_config_name"] in [each["EndpointConfigName"] for each in configs]
    assert qa.running(application) == []


def test_an_endpoint_in_an_inconsistent_status_requires_an_operator(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks.pace, "guardrail_wait", 10.0)
    two = {"ProductionVariants": [{"InitialInstanceCount": 2}]}
    alarm = f"{application}-qa-5xx-rate"
    rolling = {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            "WaitIntervalInSeconds": 300,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }
    configure(qa, application, EndpointConfig=two)
    first: Any = qa.execution_of(lab.train(application, "good")).output
    configure(qa, application, EndpointConfig=two, DeploymentConfig=rolling)
    job = lab.train(application, "next")

    def half_way() -> bool | None:
        pending = (qa.endpoint(application) or {}).get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])
        return pending[0].get("CurrentInstanceCount") == 2 or None

    wait_until(half_way, "the second of two instances")
    # The rollback of a rolling update starts the old model again, which no longer exists.
    model = qa.client("sagemaker").describe_model(ModelName=first["model_name"])
    bucket, key = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    qa.client("s3").delete_object(Bucket=bucket, Key=key)

    def rolling_back() -> bool | None:
        # The next evaluation of the alarm ends a state that was set.
        qa.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
        return status(qa, application) != "Updating" or None

    wait_until(rolling_back, "the rollback")

    execution = qa.execution_of(job)

    assert execution.error == "RollbackFailed", execution.cause
    assert "is UpdateRollbackFailed" in (execution.cause or "")
    assert "Update it to a working endpoint config with UpdateEndpoint" in (execution.cause or "")
    assert execution.arn in mail(stacks, "] RollbackFailed: Manual intervention required", f"{application}-qa")
    assert status(qa, application) == "UpdateRollbackFailed"
    assert qa.running(application) == []


def test_an_update_without_the_alarm_in_its_deployment_config_is_refused(lab: Lab, qa: Stage, application: str) -> None:
    configure(qa, application, EndpointConfig={"ProductionVariants": [{"InitialInstanceCount": 2}]})
    qa.execution_of(lab.train(application, "good"))
    before = qa.endpoint(application)
    cloudwatch, alarm = qa.client("cloudwatch"), f"{application}-mine"
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="Mine",
        MetricName="errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    guarded = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }
    two = {"ProductionVariants": [{"InitialInstanceCount": 2}]}
    configure(qa, application, EndpointConfig=two, DeploymentConfig=guarded)

    def remove(execution: Any, state: str) -> None:
        if state == "Acquire endpoint lock" and f"{application}-next" in execution.execution_input:
            cloudwatch.delete_alarms(AlarmNames=[alarm])

    with step_functions.watched(remove):
        execution = qa.execution_of(lab.train(application, "next"))

    assert execution.error == "PromotionRefusedError"
    assert f"no longer exists: {alarm}." in (execution.cause or "")
    assert qa.endpoint(application) == before
    assert qa.running(application) == []


def has_failed_once(qa: Stage, arn: str) -> bool:
    """Return whether a task of an execution has failed, retried or not."""
    pages = qa.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return any(event["type"] == "TaskFailed" for page in pages for event in page["events"])


def status(qa: Stage, application: str) -> str | None:
    found = qa.endpoint(application)
    return str(found["EndpointStatus"]) if found else None


def make_broken_config(lab: Lab, qa: Stage, application: str, deployed: dict[str, Any]) -> str:
    """Create an endpoint config outside of the pipeline, whose model cannot be loaded."""
    key = f"models/{application}/by-hand/model.tar.gz"
    qa.client("s3").put_object(Bucket=qa.bucket, Key=key, Body=lab.artifact("broken", CANNOT_LOAD), IfNoneMatch="*")
    sagemaker = qa.client("sagemaker")
    good = sagemaker.describe_model(ModelName=deployed["model_name"])
    name = f"{application}-by-hand"
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=good["ExecutionRoleArn"],
        PrimaryContainer={"Image": good["PrimaryContainer"]["Image"], "ModelDataUrl": f"s3://{qa.bucket}/{key}"},
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        ],
    )
    return name
