"""Inference components on endpoints of their own: created or updated, with every outcome, field by field.

The rows of a table run concurrently, each with its own application.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.support.components import NEEDS, components, copies, host, scale, serve, settled
from tests.support.monitor import invoke_watch
from tests.support.rows import at_once
from tests.support.settings import register
from tests.support.waiting import wait_until
from tests.support.world import CANNOT_LOAD, ECHO_LABEL, SLOW, Execution, Lab, Stage

pytestmark = pytest.mark.usefixtures("observable_deployments")

COMPONENT: dict[str, Any] = {"InferenceComponent": {"ComputeResourceRequirements": NEEDS}}
TWO = {"InferenceComponent": {"ComputeResourceRequirements": NEEDS, "CopyCount": 2}}
MANAGED = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2}
WAKE = {
    "PolicyName": "wake",
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    },
}
ASLEEP = COMPONENT | {
    "EndpointConfig": {
        "ProductionVariants": [
            {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "ManagedInstanceScaling": MANAGED}
        ]
    },
    "Autoscaling": {"MinCapacity": 0, "MaxCapacity": 3, "ScalingPolicies": [WAKE]},
}
LARGER = COMPONENT | {
    "EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 2}]}
}
ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 300,
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "{endpoint}-5xx-rate"}]},
}
ERRORS = {
    "container fails": "DeploymentFailed",
    "alarm fires": "DeploymentFailed",
    "smoke test fails": "SmokeTestFailed",
    "refused": "InvalidRequestError",
}
SCRIPTS = {"container fails": CANNOT_LOAD, "aborted": SLOW}


@dataclasses.dataclass(frozen=True)
class Row:
    """A promotion with these settings (`before`, if the previous ones differ), and its expected result.

    `scaled_to` is the number of copies to which the component was scaled in between, `copies` the expected number.
    """

    settings: dict[str, Any]
    outcome: str = "success"
    before: dict[str, Any] | None = None
    scaled_to: int | None = None
    copies: int = 1


FIRST = {
    "success": Row(ASLEEP),
    "broken": Row(COMPONENT, "container fails"),
    "wrong": Row(COMPONENT, "smoke test fails"),
    "aborted": Row(COMPONENT, "aborted"),
}
UPDATES = {
    "rolling": Row(TWO | {"DeploymentConfig": ROLLING}, scaled_to=3, copies=3),
    "alarmed": Row(TWO | {"DeploymentConfig": ROLLING}, "alarm fires", copies=2),
    "asleep": Row(ASLEEP, scaled_to=0),
    "broken": Row(COMPONENT, "container fails"),
    "larger": Row(LARGER, before=COMPONENT),
    "larger-wrong": Row(LARGER, "smoke test fails", before=COMPONENT),
    "larger-aborted": Row(LARGER, "aborted", before=COMPONENT),
    "from-model": Row(COMPONENT, "refused", before={}),
    "to-model": Row({}, "refused", before=COMPONENT),
}


@dataclasses.dataclass
class Scene:
    """A row of the table whose promotion is running."""

    row: Row
    lab: Lab
    qa: Stage
    application: str

    @property
    def name(self) -> str:
        """Return the name of the endpoint and of the component."""
        return f"{self.application}-qa"

    def with_settings(self, settings: dict[str, Any]) -> None:
        document: dict[str, Any] = json.loads(json.dumps(settings).replace("{endpoint}", self.name))
        register(self.qa, self.application, **document)

    def promote(self, label: str, outcome: str = "success") -> Execution:
        """Train a model, and wait for the end of its promotion, or of the recovery of an aborted one."""
        expect = "label == 'another'" if outcome == "smoke test fails" else None
        job = self.lab.train(self.application, label, script=SCRIPTS.get(outcome, ECHO_LABEL), expect=expect)
        if outcome in ("alarm fires", "aborted"):
            arn = wait_until(lambda: next(iter(self.qa.executions_with(job)), None), "the execution")
            wait_until(lambda: True if "Check endpoint" in self.qa.states(arn) else None, "the deployment")
            if outcome == "alarm fires":
                wait_until(lambda: self.ring(arn), "the end of the deployment")
                return self.qa.execution_of(job)
            self.qa.client("stepfunctions").stop_execution(executionArn=arn)
            return self.qa.execution_of(arn)
        return self.qa.execution_of(job)

    def ring(self, execution: str) -> bool | None:
        """Set off the alarm, whose state lasts until its next evaluation; return whether the deployment has ended."""
        self.qa.client("cloudwatch").set_alarm_state(
            AlarmName=f"{self.name}-5xx-rate", StateValue="ALARM", StateReason="a test"
        )
        return "Roll back endpoint" in self.qa.states(execution) or None

    def world(self) -> dict[str, Any]:
        """Return the resources of the application, without generated names and times."""
        endpoint, live = self.qa.endpoint(self.application), self.qa.live(self.application)
        alarms = self.qa.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{self.name}-")["MetricAlarms"]
        world: dict[str, Any] = {
            "endpoint": None,
            "component": None,
            "live": json.loads(live["promotion"])["model_name"] if live else None,
            "history": [item["status"] for item in self.qa.history(self.application)],
            "running": self.qa.running(self.application),
            "scaling": self._scaling(),
            "watched": {
                (dimension["Name"], dimension["Value"])
                for alarm in alarms
                for metric in alarm.get("Metrics", [])
                for dimension in metric["MetricStat"]["Metric"]["Dimensions"]
            },
            "woken": [
                (alarm["MetricName"], alarm["Dimensions"], alarm["AlarmActions"][0].rpartition("/")[2])
                for alarm in alarms
                if alarm["AlarmName"] == f"{self.name}-wake"
            ],
        }
        if endpoint:
            config = self.qa.client("sagemaker").describe_endpoint_config(
                EndpointConfigName=endpoint["EndpointConfigName"]
            )
            variant = config["ProductionVariants"][0]
            world["endpoint"] = (endpoint["EndpointStatus"], variant["InstanceType"], "ModelName" in variant)
        if components(self.qa, self.name):
            component = settled(self.qa, self.name)
            world["component"] = (
                component["InferenceComponentStatus"],
                component["Specification"]["ModelName"],
                component["Specification"]["ComputeResourceRequirements"],
                component["RuntimeConfig"]["CurrentCopyCount"],
            )
        return world

    def _scaling(self) -> list[tuple[Any, ...]]:
        found = self.qa.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[f"inference-component/{self.name}"]
        )["ScalableTargets"]
        return [(each["ScalableDimension"], each["MinCapacity"], each["MaxCapacity"]) for each in found]

    def expected(self, settings: dict[str, Any], model: str | None) -> dict[str, Any]:
        """Return the expected resources with `model` live with these settings."""
        variants = settings.get("EndpointConfig", {}).get("ProductionVariants", [{}])
        scaling = settings.get("Autoscaling") if model else None
        return {
            "endpoint": ("InService", variants[0].get("InstanceType", "ml.m5.large"), False) if model else None,
            "component": ("InService", model, NEEDS, self.row.copies) if model else None,
            "live": model,
            "running": [],
            "scaling": [("sagemaker:inference-component:DesiredCopyCount", scaling["MinCapacity"], 3)]
            if scaling
            else [],
            "watched": {("InferenceComponentName", self.name)},
            "woken": [
                (
                    "NoCapacityInvocationFailures",
                    [{"Name": "InferenceComponentName", "Value": self.name}],
                    "wake",
                )
            ]
            if scaling
            else [],
        }

    def answer(self, endpoint: str = "") -> Any:
        response = self.qa.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint or self.name,
            InferenceComponentName=self.name,
            ContentType="application/json",
            Body=b"{}",
        )
        return json.loads(response["Body"].read())


def test_a_component_is_created_with_its_endpoint_or_nothing_remains(
    lab: Lab, qa: Stage, application: str, subtests: pytest.Subtests
) -> None:
    scenes = {name: Scene(row, lab, qa, f"{application}-{name}") for name, row in FIRST.items()}

    def go(name: str) -> Execution:
        scenes[name].with_settings(FIRST[name].settings)
        return scenes[name].promote("first", FIRST[name].outcome)

    for name, execution in at_once(go, FIRST).items():
        with subtests.test(name):
            scene, row = scenes[name], FIRST[name]
            model = execution.output["model_name"] if row.outcome == "success" else None
            assert execution.error == ERRORS.get(row.outcome), execution.cause
            assert scene.world() == scene.expected(row.settings, model) | {
                "history": ["Succeeded" if row.outcome == "success" else "Failed"]
            }
            if model:
                assert scene.answer() == {"label": "first"}
                assert execution.output["images"]


def test_a_component_is_updated_or_unchanged(lab: Lab, qa: Stage, application: str, subtests: pytest.Subtests) -> None:
    scenes = {name: Scene(row, lab, qa, f"{application}-{name}") for name, row in UPDATES.items()}

    def go(name: str) -> tuple[Execution, Execution]:
        row, scene = UPDATES[name], scenes[name]
        scene.with_settings(row.settings if row.before is None else row.before)
        first = scene.promote("first")
        assert first.status == "SUCCEEDED", first.cause
        scene.with_settings(row.settings)
        if row.scaled_to is not None:
            scale(qa, scene.name, row.scaled_to)
        return first, scene.promote("second", row.outcome)

    for name, (first, second) in at_once(go, UPDATES).items():
        with subtests.test(name):
            scene, row = scenes[name], UPDATES[name]
            assert second.error == ERRORS.get(row.outcome), second.cause
            succeeded = row.outcome == "success"
            if name == "from-model":
                assert components(qa, scene.name) == []
                assert qa.answer(scene.application) == {"label": "first"}
                assert "hosts a model itself and would host a component" in (second.cause or "")
                continue
            live = (second if succeeded else first).output["model_name"]
            settings = row.settings if succeeded or row.before is None else row.before
            assert scene.world() == scene.expected(settings, live) | {
                "history": ["Succeeded", *{"success": ["Succeeded"], "refused": []}.get(row.outcome, ["Failed"])]
            }
            assert scene.answer() == {"label": "second" if succeeded else "first"}
            if row.outcome == "alarm fires":
                assert f"In ALARM during the deployment: {scene.name}-5xx-rate." in (second.cause or "")
            if name == "to-model":
                assert "hosts inference components and would host a model itself" in (second.cause or "")


def test_an_operator_previews_and_rolls_back_a_component(lab: Lab, qa: Stage, application: str) -> None:
    scene = Scene(Row(COMPONENT), lab, qa, application)
    scene.with_settings(COMPONENT | {"Retention": {"Keep": 2}})
    first, second = scene.promote("first"), scene.promote("second")
    assert second.status == "SUCCEEDED", second.cause
    third = scene.promote("third")
    assert third.status == "SUCCEEDED", third.cause

    preview = qa.promote({"rollback": scene.name, "preview": True})
    back = qa.promote({"rollback": scene.name})

    assert preview.output["would_be"] == "promoted", preview.output["why"]
    assert preview.output["change"]["endpoint_config"] == {
        "from": third.output["model_name"],
        "to": second.output["model_name"],
    }
    assert preview.output["change"]["inference_component"]["ComputeResourceRequirements"] == NEEDS
    assert back.status == "SUCCEEDED", back.cause
    assert scene.answer() == {"label": "second"}
    assert copies(qa, scene.name) == 1
    # Retention has removed the first model, but not the endpoint config of the endpoint, which is that of the first.
    sagemaker = qa.client("sagemaker")
    models = {each["ModelName"] for each in sagemaker.list_models(NameContains=application)["Models"]}
    assert models == {second.output["model_name"], third.output["model_name"]}
    assert sagemaker.describe_endpoint(EndpointName=scene.name)["EndpointConfigName"] == first.output["model_name"]


def test_a_component_that_someone_else_updates_is_reported_until_it_agrees_again(
    lab: Lab, qa: Stage, application: str
) -> None:
    scene = Scene(Row(COMPONENT), lab, qa, application)
    scene.with_settings(COMPONENT)
    models = [scene.promote(label).output["model_name"] for label in ("first", "second")]
    assert scene.name not in invoke_watch(qa)["differing"]

    serve(qa, scene.name, models[0])
    differing = invoke_watch(qa)["differing"]
    serve(qa, scene.name, models[1])

    assert scene.name in differing
    assert scene.name not in invoke_watch(qa)["differing"]


def test_two_applications_share_an_endpoint(lab: Lab, qa: Stage, application: str) -> None:
    scenes = [Scene(Row(COMPONENT), lab, qa, f"{application}-{name}") for name in ("a", "b")]
    name = f"{application}-gpus-qa"
    shared = {"InferenceComponent": {"ComputeResourceRequirements": NEEDS, "EndpointName": name}}
    for scene in scenes:
        scene.with_settings(shared)
    role = f"arn:aws:iam::{qa.account}:role/model-promotion/qa/serving/{scenes[0].name}"

    missing = scenes[0].promote("early")
    host(qa, name, role)
    untagged = scenes[0].promote("untagged")
    sagemaker = qa.client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName=name)["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "model-promotion:shared", "Value": "true"}])
    wrong = scenes[0].promote("wrong", "smoke test fails")
    left = components(qa, name)
    good = [scene.promote(f"first-of-{scene.application[-1]}") for scene in scenes]
    broken = scenes[1].promote("broken", "container fails")

    assert "does not exist" in (missing.cause or "")
    assert "Key=model-promotion:shared,Value=true" in (untagged.cause or "")
    assert (wrong.error, left) == ("SmokeTestFailed", [])
    assert [each.status for each in good] == ["SUCCEEDED", "SUCCEEDED"], [each.cause for each in good]
    assert broken.error == "DeploymentFailed"
    assert sorted(components(qa, name)) == [scene.name for scene in scenes]
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == name
    answers = [scene.answer(name) for scene in scenes]
    assert answers == [{"label": "first-of-a"}, {"label": "first-of-b"}]
    assert [qa.endpoint(scene.application) for scene in scenes] == [None, None]
