"""An approval covers the deployment: everything in the stage that decides what the endpoint serves."""

from __future__ import annotations

import json
from typing import Any

from embedded_aws.kernel import accounts
from tests.support.approvals import signal, waiting_approval
from tests.support.settings import configure, instances
from tests.support.sources import SERVER_IMAGE
from tests.support.steps import failure, invoke, payload
from tests.support.world import DEV, Lab, Stage

TARGET = {"MinCapacity": 1, "MaxCapacity": 3}
AT_ONCE = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 0,
    }
}
SUITE = {"cases": [{"name": "other", "body": {}, "expect": "label == 'good'"}]}
SHADOW = {"ModelName": "", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


class Planner:
    """Plans the promotion of one training job with the current settings, as a stage does after an approval."""

    def __init__(self, stage: Stage, job: str) -> None:
        self._stage, self._job = stage, job
        self._execution = f"arn:aws:states:{accounts.REGION}:{stage.account}:execution:model-promotion-qa:{job}"

    def _payload(self, approved: dict[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {"execution": self._execution, "started_at": "2026-01-01T00:00:00Z"}
        resolve = payload(self._stage, "Resolve candidate", input={"training_job": self._job}, **given)
        found = invoke(self._stage, "ResolveCandidateFunction", resolve)
        given |= {"candidate": found["candidate"], "settings": found["settings"], "approved": approved}
        given |= {
            "image_copy": False,
            "preview": False,
            "require_network_isolation": False,
            "require_pinned_weights": False,
        }
        return payload(self._stage, "Plan copy", **given)

    def digests(self) -> dict[str, str]:
        unapproved = {"digest": None, "deployment_digest": None}
        record = invoke(self._stage, "PlanCopyFunction", self._payload(unapproved))["promotion"]
        return {key: record[key] for key in unapproved}

    def refusal(self, approved: dict[str, str]) -> str:
        error = failure(self._stage, "PlanCopyFunction", self._payload(approved))
        assert error["errorType"] == "PromotionRefusedError", error["errorMessage"]
        return str(error["errorMessage"])

    def assert_accepted(self, approved: dict[str, str]) -> None:
        assert invoke(self._stage, "PlanCopyFunction", self._payload(approved))["promotion"].items() >= approved.items()


def test_settings_that_changed_after_the_approval_request_are_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    configure(production, application, EndpointConfig=instances("ml.c5.large"), SmokeTest="skip")
    signal(production, waiting, "Approve", "fine")

    execution = production.execution_of(waiting)

    assert execution.error == "PromotionRefusedError"
    cause = execution.cause or ""
    assert f"The deployment of {application} has changed since its approval" in cause
    assert "EndpointConfig.ProductionVariants[0].InstanceType (approved: ml.m5.large, current: ml.c5.large)" in cause
    assert "current: skip)" in cause
    assert "start the promotion again to request a new approval" in cause
    assert production.endpoint(application) is None


def test_the_approval_covers_each_setting_except_the_retention(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good")
    qa.execution_of(job)
    planner = Planner(qa, job)
    configure(qa, application, EndpointConfig=instances("ml.m5.large"))
    approved = planner.digests()
    changes: dict[str, dict[str, Any]] = {
        # The image of a training job is part of the candidate.
        "Containers[0].Image": {"Model": {"PrimaryContainer": {"Image": SERVER_IMAGE}}},
        "Model.PrimaryContainer.Environment": {"Model": {"PrimaryContainer": {"Environment": {"THREADS": "2"}}}},
        "Model.EnableNetworkIsolation": {"Model": {"EnableNetworkIsolation": True}},
        "EndpointConfig.ProductionVariants[0].InstanceType": {"EndpointConfig": instances("ml.c5.large")},
        "DeploymentConfig": {"DeploymentConfig": AT_ONCE},
        "Autoscaling": {"Autoscaling": TARGET},
        "SmokeTest": {"SmokeTest": SUITE},
        "QualityGate": {"QualityGate": [{"MetricName": "f1", "Minimum": 0.1}]},
    }

    for path, change in changes.items():
        configure(qa, application, **{"EndpointConfig": instances("ml.m5.large"), **change})
        assert f"{path} (approved: " in planner.refusal(approved), path
    configure(qa, application, EndpointConfig=instances("ml.m5.large"), Retention={"Keep": 7})
    planner.assert_accepted(approved)


def test_the_approval_covers_the_smoke_test_that_travels_with_the_model(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good")
    qa.execution_of(job)
    planner = Planner(qa, job)
    approved = planner.digests()
    arn = f"arn:aws:sagemaker:{accounts.REGION}:{DEV}:training-job/{job}"
    tags = lab.client("sagemaker").list_tags(ResourceArn=arn)["Tags"]
    bucket, key = (
        next(tag["Value"] for tag in tags if tag["Key"] == "model-promotion:smoke-test")
        .removeprefix("s3://")
        .split("/", 1)
    )

    suite = {"cases": [{"name": "answers", "body": {}, "expect": "`true`", "maximum_latency_ms": 30000}]}
    lab.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(suite).encode())

    assert "SmokeTest (approved: sha256:" in planner.refusal(approved)


def test_the_approval_covers_the_model_of_a_shadow_variant(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good")
    model = qa.execution_of(job).output["model_name"]
    planner, sagemaker, shadow = Planner(qa, job), qa.client("sagemaker"), f"{application}-shadow"
    described = sagemaker.describe_model(ModelName=model)

    def make(environment: dict[str, str]) -> None:
        sagemaker.create_model(
            ModelName=shadow,
            ExecutionRoleArn=described["ExecutionRoleArn"],
            PrimaryContainer={"Image": described["PrimaryContainer"]["Image"], "Environment": environment},
        )

    make({})
    endpoint_config = instances("ml.m5.large") | {"ShadowProductionVariants": [{**SHADOW, "ModelName": shadow}]}
    configure(qa, application, EndpointConfig=endpoint_config)
    approved = planner.digests()
    sagemaker.delete_model(ModelName=shadow)
    make({"SEND_TO": "somebody"})

    message = planner.refusal(approved)

    assert f"ShadowModels.{shadow}.PrimaryContainer.Environment" in message
    assert "SEND_TO" in message
    assert "somebody" not in message
