"""Every kind of endpoint, created or updated, that succeeds or fails: the final state, field by field.

The rows of a table run concurrently, each with its own application. They cover the kinds of endpoints, deployments
and outcomes; all combinations of the decisions are in tests/unit/endpoint and tests/unit/plan.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.support.rows import at_once
from tests.support.scaling import POLICY
from tests.support.settings import register
from tests.support.waiting import wait_until
from tests.support.world import CANNOT_LOAD, DEV_BUCKET, ECHO_LABEL, SLOW, Execution, Lab, Stage

pytestmark = pytest.mark.usefixtures("observable_deployments")

# A serverless endpoint takes an image of another account only from AWS itself.
AWS_IMAGE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
TWO = {
    "EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": 2}]},
    "Autoscaling": {"MinCapacity": 1, "MaxCapacity": 5, "ScalingPolicies": [POLICY]},
}
BUCKET = "s3://model-promotion-qa-222222222222-eu-west-1/inference/{application}"
SERVERLESS = {
    "EndpointConfig": {"ProductionVariants": [{"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]}
}
ASYNCHRONOUS = {
    "EndpointConfig": {
        "AsyncInferenceConfig": {
            "OutputConfig": {"S3OutputPath": f"{BUCKET}/answers", "S3FailurePath": f"{BUCKET}/failures"}
        }
    }
}
SHADOW = {"EndpointConfig": {"ShadowProductionVariants": [{**INSTANCES, "InstanceType": "ml.c5.large"}]}}
SEVERAL = {
    "EndpointConfig": {
        "ProductionVariants": [
            {"VariantName": "Cpu", "InitialInstanceCount": 2, "InitialVariantWeight": 1.0},
            {"VariantName": "Gpu", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 2},
        ]
    }
}
EVERYTHING = {
    "EndpointConfig": {
        "ProductionVariants": [
            {
                "InstancePools": [
                    {"InstanceType": "ml.g5.xlarge", "Priority": 1},
                    {"InstanceType": "ml.g6.xlarge", "Priority": 2},
                ],
                "InitialInstanceCount": 3,
                "ContainerStartupHealthCheckTimeoutInSeconds": 600,
                "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
                "CoreDumpConfig": {"DestinationS3Uri": f"{BUCKET}/core-dumps"},
            }
        ],
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"{BUCKET}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
        "ExplainerConfig": {
            "ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "0,0,0"}}}
        },
    },
    "Model": {"VpcConfig": {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}},
}


def guarded(kind: str, **routing: Any) -> dict[str, Any]:
    """Return a DeploymentConfig with the alarms of the endpoint."""
    alarms = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "{endpoint}-5xx-rate"}]}}
    if kind == "ROLLING":
        size = {"Type": "CAPACITY_PERCENT", "Value": 50}
        return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 300}, **alarms}
    traffic = {"Type": kind, "WaitIntervalInSeconds": 300, **routing}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic}, **alarms}


ONE_BY_ONE = {"Type": "INSTANCE_COUNT", "Value": 1}
CANARY = guarded("CANARY", CanarySize=ONE_BY_ONE)
LINEAR = guarded("LINEAR", LinearStepSize=ONE_BY_ONE)


@dataclasses.dataclass(frozen=True)
class Row:
    """A promotion with these settings (`before`, if the previous ones differ), and its expected result.

    `scaled_to` is the number of instances to which the first variant was scaled in between.
    """

    settings: dict[str, Any]
    deployment: dict[str, Any] = dataclasses.field(default_factory=dict)
    outcome: str = "success"
    before: dict[str, Any] | None = None
    scaled_to: int | None = None


FIRST = {
    "serverless": Row(SERVERLESS),
    "asynchronous": Row(ASYNCHRONOUS),
    "everything": Row(EVERYTHING),
    "shadow": Row(SHADOW),
    "serverless-broken": Row(SERVERLESS, outcome="container fails"),
    "asynchronous-wrong": Row(ASYNCHRONOUS, outcome="smoke test fails"),
    "several-aborted": Row(SEVERAL, outcome="aborted"),
}
UPDATES = {
    "canary": Row(TWO, CANARY, scaled_to=4),
    "several-linear": Row(SEVERAL, LINEAR, outcome="alarm fires"),
    "rolling": Row(TWO, guarded("ROLLING"), outcome="alarm fires", scaled_to=3),
    "asynchronous-broken": Row(ASYNCHRONOUS, guarded("ALL_AT_ONCE"), outcome="container fails"),
    "canary-aborted": Row(TWO, CANARY, outcome="aborted", scaled_to=3),
    "serverless-wrong": Row(SERVERLESS, outcome="smoke test fails"),
    "alarmed-before": Row(TWO, CANARY, outcome="alarm is in ALARM before"),
    "turned-serverless": Row(SERVERLESS, before=TWO, outcome="refused"),
    "no-longer-asynchronous": Row(TWO, before=ASYNCHRONOUS, outcome="refused"),
}
ERRORS = {
    "container fails": "DeploymentFailed",
    "alarm fires": "DeploymentFailed",
    "alarm is in ALARM before": "PromotionRefusedError",
    "smoke test fails": "SmokeTestFailed",
    "refused": "InvalidRequestError",
}
# Answers '"fail"' with a 5xx status.
FRAGILE = ECHO_LABEL.replace(
    "    return {", "    if json.loads(data) == 'fail':\n        raise RuntimeError('failed')\n    return {"
)
SCRIPTS = {"container fails": CANNOT_LOAD, "aborted": SLOW, "alarm fires": FRAGILE, "fragile": FRAGILE}


@dataclasses.dataclass
class Scene:
    """A row of the table whose promotion is running."""

    row: Row
    lab: Lab
    qa: Stage
    application: str

    @property
    def endpoint(self) -> str:
        return f"{self.application}-qa"

    def with_settings(self, settings: dict[str, Any], deployment: dict[str, Any] | None = None) -> None:
        document = settings | ({"DeploymentConfig": deployment} if deployment else {})
        register(self.qa, self.application, **self.named(document))

    def named(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings with the names of the application and its endpoint."""
        document = json.dumps(settings).replace("{endpoint}", self.endpoint)
        named: dict[str, Any] = json.loads(document.replace("{application}", self.application))
        return named

    def promote(self, label: str, outcome: str = "success") -> Execution:
        """Train a model, and wait for the end of its promotion, or of the recovery of an aborted one."""
        expect = "label == 'another'" if outcome == "smoke test fails" else None
        script = SCRIPTS.get(outcome, ECHO_LABEL)
        job = self.lab.train(self.application, label, script=script, expect=expect, image=AWS_IMAGE)
        if outcome == "alarm fires":
            with self.failing_requests():
                return self.qa.execution_of(job)
        if outcome == "aborted":
            arn = wait_until(lambda: next(iter(self.qa.executions_with(job)), None), "the execution")
            wait_until(lambda: True if "Check endpoint" in self.qa.states(arn) else None, "the deployment")
            self.qa.client("stepfunctions").stop_execution(executionArn=arn)
            return self.qa.execution_of(arn)
        return self.qa.execution_of(job)

    def captured(self) -> list[dict[str, Any]]:
        """Return the captured requests and responses."""
        s3, prefix = self.qa.client("s3"), f"inference/{self.application}/captured/{self.endpoint}/AllTraffic/"
        found = s3.list_objects_v2(Bucket=self.qa.bucket, Prefix=prefix).get("Contents", [])
        return [json.loads(s3.get_object(Bucket=self.qa.bucket, Key=each["Key"])["Body"].read()) for each in found]

    @contextlib.contextmanager
    def failing_requests(self) -> Iterator[None]:
        """Send requests, which a fragile model answers with a 5xx status."""
        runtime, ended = self.qa.client("sagemaker-runtime"), threading.Event()

        def send() -> None:
            while not ended.wait(0.3):
                with contextlib.suppress(ClientError):
                    runtime.invoke_endpoint(EndpointName=self.endpoint, ContentType="application/json", Body=b'"fail"')

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            yield
        finally:
            ended.set()
            sender.join()

    def is_in_alarm(self) -> bool:
        (alarm,) = self.qa.client("cloudwatch").describe_alarms(AlarmNames=[f"{self.endpoint}-5xx-rate"])[
            "MetricAlarms"
        ]
        return bool(alarm["StateValue"] == "ALARM")

    def world(self) -> dict[str, Any]:
        """Return the resources of the application, without generated names and times."""
        endpoint, live = self.qa.endpoint(self.application), self.qa.live(self.application)
        alarms = self.qa.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{self.endpoint}-")["MetricAlarms"]
        world: dict[str, Any] = {
            "endpoint": None,
            "live": json.loads(live["promotion"])["model_name"] if live else None,
            "history": [item["status"] for item in self.qa.history(self.application)],
            "running": self.qa.running(self.application),
            "alarms": {alarm["AlarmName"]: alarm["TreatMissingData"] for alarm in alarms},
            "scaling": self.qa.scaling(self.application),
        }
        if endpoint:
            sagemaker = self.qa.client("sagemaker")
            config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
            (model,) = {variant["ModelName"] for variant in config["ProductionVariants"]}
            ours = ("ProductionVariants", "ShadowProductionVariants")
            world["endpoint"] = {
                "status": endpoint["EndpointStatus"],
                "model": model,
                "deployment": endpoint.get("LastDeploymentConfig"),
                "config": {k: v for k, v in config.items() if k not in GENERATED},
                "fleet": [as_deployed(variant) for kind in ours for variant in endpoint.get(kind, [])],
                "network": sagemaker.describe_model(ModelName=model).get("VpcConfig"),
            }
        return world

    def expected(self, settings: dict[str, Any], model: str | None, deployment: dict[str, Any]) -> dict[str, Any]:
        """Return the expected resources with `model` live with these settings, on the scaled number of instances."""
        config = self.named(settings.get("EndpointConfig", {}))
        config.setdefault("ProductionVariants", [{}])
        for variant in config["ProductionVariants"]:
            if not {"ServerlessConfig", "InstancePools"} & variant.keys():
                variant |= INSTANCES | variant
        for kind, name in (("ProductionVariants", "AllTraffic"), ("ShadowProductionVariants", "Shadow")):
            for variant in config.get(kind, []):
                variant |= {"VariantName": name, "ModelName": model} | variant
        watched = {"5xx-rate", *(() if "AsyncInferenceConfig" in config else ("latency",))}
        guarded = self.named(deployment)
        if guarded:
            # A deployment is also judged by the new instances alone.
            watched.add("deployment-5xx-rate")
            own = {"AlarmName": f"{self.endpoint}-deployment-5xx-rate"}
            guarded["AutoRollbackConfiguration"]["Alarms"].append(own)
        scaling = settings.get("Autoscaling", {}) if model else {}
        capacity = {key: value for key, value in scaling.items() if key.endswith("Capacity")}
        world: dict[str, Any] = {
            "endpoint": None,
            "live": model,
            "running": [],
            "scaling": {
                "targets": [capacity] if capacity else [],
                "policies": scaling.get("ScalingPolicies", []),
                "actions": [],
            },
            "alarms": {f"{self.endpoint}-{what}": "notBreaching" for what in watched},
        }
        if model:
            shadows = config.get("ShadowProductionVariants", [])
            fleet = [as_configured(variant) for variant in [*config["ProductionVariants"], *shadows]]
            if self.row.scaled_to:
                fleet = [(name, self.row.scaled_to, *rest) for name, _, *rest in fleet]
            world["endpoint"] = {
                "status": "InService",
                "model": model,
                "deployment": guarded or None,
                "config": config,
                "fleet": fleet,
                "network": settings.get("Model", {}).get("VpcConfig"),
            }
        return world


GENERATED = {"EndpointConfigName", "EndpointConfigArn", "CreationTime", "ResponseMetadata"}


def as_deployed(variant: dict[str, Any]) -> tuple[Any, ...]:
    return (
        variant["VariantName"],
        variant["CurrentInstanceCount"],
        variant["CurrentWeight"],
        variant.get("CurrentServerlessConfig"),
    )


def as_configured(variant: dict[str, Any]) -> tuple[Any, ...]:
    return (
        variant["VariantName"],
        variant.get("InitialInstanceCount", 0),
        variant.get("InitialVariantWeight", 1.0),
        variant.get("ServerlessConfig"),
    )


@pytest.fixture
def volume_key(qa: Stage) -> str:
    return str(qa.client("kms").create_key(Description="volumes")["KeyMetadata"]["Arn"])


def test_an_endpoint_of_every_kind_is_created_or_nothing_remains(
    lab: Lab, qa: Stage, application: str, volume_key: str, subtests: pytest.Subtests
) -> None:
    settings = {name: copy.deepcopy(row.settings) for name, row in FIRST.items()}
    settings["everything"]["EndpointConfig"]["KmsKeyId"] = volume_key
    scenes = {name: Scene(row, lab, qa, f"{application}-{name}") for name, row in FIRST.items()}

    def go(name: str) -> Execution:
        scenes[name].with_settings(settings[name])
        return scenes[name].promote("first", FIRST[name].outcome)

    for name, execution in at_once(go, FIRST).items():
        with subtests.test(name):
            scene, outcome = scenes[name], FIRST[name].outcome
            model = execution.output["model_name"] if outcome == "success" else None
            assert execution.error == ERRORS.get(outcome), execution.cause
            assert scene.world() == scene.expected(settings[name], model, {}) | {
                "history": ["Succeeded" if outcome == "success" else "Failed"]
            }
    (line,) = scenes["everything"].captured()
    assert line["eventMetadata"]["inferenceId"] == "model-promotion-smoke-test"
    assert json.loads(line["captureData"]["endpointOutput"]["data"]) == {"label": "first"}


def test_a_rollback_restores_volumes_with_a_kms_key(lab: Lab, qa: Stage, application: str, volume_key: str) -> None:
    scene = Scene(Row({}), lab, qa, application)
    scene.with_settings({"EndpointConfig": {"KmsKeyId": volume_key}})
    first = scene.promote("first")
    assert first.status == "SUCCEEDED", first.cause

    assert scene.promote("second", "smoke test fails").error == "SmokeTestFailed"

    endpoint = qa.endpoint(application)
    assert endpoint
    assert endpoint["EndpointConfigName"] == first.output["endpoint_config_name"]
    config = qa.client("sagemaker").describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    assert config["KmsKeyId"] == volume_key
    assert qa.answer(application) == {"label": "first"}


def test_one_of_many_models_is_smoke_tested_by_its_name(lab: Lab, qa: Stage, application: str) -> None:
    for language in ("en", "fr"):
        lab.upload(f"{application}/{language}.tar.gz", lab.artifact(language))
    lab.create_model(application, Mode="MultiModel", ModelDataUrl=f"s3://{DEV_BUCKET}/{application}/")
    case = {"name": "French", "body": {}, "expect": "label == 'fr'", "target_model": "fr.tar.gz"}
    Scene(Row({}), lab, qa, application).with_settings({"SmokeTest": {"cases": [case]}})

    execution = qa.promote({"model": application, "application": application})

    assert execution.status == "SUCCEEDED", execution.cause
    assert execution.output["smoke_test_invocations"] == 1


def test_an_endpoint_of_every_kind_is_updated_or_unchanged(
    lab: Lab,
    qa: Stage,
    application: str,
    stacks: EmbeddedAws,
    subtests: pytest.Subtests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An alarm needs two minutes with errors.
    monkeypatch.setattr(stacks.pace, "guardrail_wait", 10 * stacks.pace.minute)
    scenes = {name: Scene(row, lab, qa, f"{application}-{name}") for name, row in UPDATES.items()}

    def go(name: str) -> tuple[Execution, Execution]:
        row, scene = UPDATES[name], scenes[name]
        scene.with_settings(row.before or row.settings)
        first = scene.promote("first", "fragile" if row.outcome == "alarm is in ALARM before" else "success")
        scene.with_settings(row.settings, row.deployment)
        if row.scaled_to:
            qa.scale_out(scene.application, row.scaled_to)
        if row.outcome != "alarm is in ALARM before":
            return first, scene.promote("second", row.outcome)
        with scene.failing_requests():
            wait_until(lambda: True if scene.is_in_alarm() else None, "the alarm")
            return first, scene.promote("second", row.outcome)

    for name, (first, second) in at_once(go, UPDATES).items():
        with subtests.test(name):
            scene, row = scenes[name], UPDATES[name]
            succeeded = row.outcome == "success"
            live = (second if succeeded else first).output["model_name"]
            settings = row.settings if succeeded or not row.before else row.before
            assert second.error == ERRORS.get(row.outcome), second.cause
            # An endpoint that was not updated has no deployment config yet.
            deployment = {} if "before" in row.outcome or row.outcome == "refused" else row.deployment
            assert scene.world() == scene.expected(settings, live, deployment) | {
                "history": ["Succeeded", *{"success": ["Succeeded"], "refused": []}.get(row.outcome, ["Failed"])]
            }
            if row.outcome == "alarm is in ALARM before":
                assert f"is in ALARM: {scene.endpoint}-5xx-rate." in (second.cause or "")
            if row.outcome == "alarm fires":
                assert f"In ALARM during the deployment: {scene.endpoint}-" in (second.cause or "")
