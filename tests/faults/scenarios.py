"""The promotions into which faults are injected: their initial state, their start and their expected result."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

from tests.faults.world import Trial, World
from tests.support.scaling import POLICY
from tests.support.settings import configure, instances
from tests.support.waiting import wait_until
from tests.support.world import DEV, DEV_BUCKET, ECR, IMAGE, ROLE, Stage, physical_id


def first_deployment(world: World) -> Trial:
    application = world.application("first", trials=1)
    label = world.label()
    return Trial(world, world.qa, application, None, label, lambda: world.lab.train(application, label))


def update(world: World) -> Trial:
    application = world.application("update")
    world.ensure_live(world.qa, application)
    label = world.label()
    before = world.live_label(world.qa, application)
    return Trial(world, world.qa, application, before, label, lambda: world.lab.train(application, label))


def failing_smoke_test(world: World) -> Trial:
    trial = update(world)
    expect = f"label == 'not {trial.after}'"
    start = lambda: world.lab.train(trial.application, trial.after, expect=expect)  # noqa: E731
    return dataclasses.replace(trial, start=start, must_fail=True)


def rollback(world: World) -> Trial:
    application = world.application("rollback")
    while len({row["model_name"] for row in _good(world.qa, application)}) < 2:
        world.qa.execution_of(world.lab.train(application, world.label()))
    before = world.live_label(world.qa, application)
    assert before
    after = _label_of(_before_the_last(_good(world.qa, application)))
    start = lambda: world.qa.start({"rollback": f"{application}-{world.qa.name}"})  # noqa: E731
    return Trial(world, world.qa, application, before, after, start)


def approval(world: World) -> Trial:
    application, label, production = world.application("approval"), world.label(), world.production
    ssm = production.client("ssm")

    def requested() -> set[str]:
        prefix = f"{application}-{production.name}#"
        return {item["automation"] for item in production.items("approval") if item["key"].startswith(prefix)}

    earlier = requested() | {""}

    def statuses() -> dict[str, str]:
        found = [ssm.get_automation_execution(AutomationExecutionId=each) for each in requested() - earlier]
        return {
            each["AutomationExecution"]["AutomationExecutionId"]: each["AutomationExecution"][
                "AutomationExecutionStatus"
            ]
            for each in found
        }

    def approve() -> None:
        for automation, status in statuses().items():
            if status == "Waiting":
                comment = {"Comment": ["approved by a test"]}
                ssm.send_automation_signal(AutomationExecutionId=automation, SignalType="Approve", Payload=comment)

    def open_approvals() -> list[str]:
        return [each for each, status in statuses().items() if status in ("Waiting", "InProgress", "Pending")]

    def first_promotion() -> dict[str, str] | None:
        approve()
        return production.live(application)

    before = world.live_label(production, application)
    start = lambda: world.lab.train(application, label)  # noqa: E731
    if before is None:
        start()
        live = wait_until(first_promotion, "a first model in production")
        production.ended(live["execution"])
        return approval(world)
    return Trial(world, production, application, before, label, start, tick=approve, approvals=open_approvals)


def _candidate(world: World, scenario: str, **settings: Any) -> Trial:
    """Return the update of an application that has a live model with these settings."""
    application = world.application(scenario)
    configure(world.qa, application, **settings)
    world.ensure_live(world.qa, application)
    label, before = world.label(), world.live_label(world.qa, application)
    return Trial(world, world.qa, application, before, label, lambda: world.lab.train(application, label))


def images(world: World) -> Trial:
    """A new image, which is copied."""
    trial = _candidate(world, "images")
    image = _pushed(trial)
    start = lambda: world.lab.train(trial.application, trial.after, image=image)  # noqa: E731
    return dataclasses.replace(trial, start=start)


def guardrails(world: World) -> Trial:
    """A canary deployment that is watched by an alarm."""
    trial = _candidate(world, "guardrails", **_TWO_INSTANCES)
    configure(world.qa, trial.application, **_TWO_INSTANCES, DeploymentConfig=_canary(trial))
    return trial


def alarm(world: World) -> Trial:
    """A canary deployment whose alarm goes into ALARM. If that is too late, the model is promoted."""
    trial = _candidate(world, "alarm", **_TWO_INSTANCES)
    configure(world.qa, trial.application, **_TWO_INSTANCES, DeploymentConfig=_canary(trial))
    cloudwatch = world.qa.client("cloudwatch")
    reason = {"AlarmName": _alarm(trial), "StateReason": "a test"}
    cloudwatch.set_alarm_state(**reason, StateValue="OK")

    def raise_the_alarm() -> None:
        pending = (world.qa.endpoint(trial.application) or {}).get("PendingDeploymentSummary", {})
        statuses = [each for variant in pending.get("ProductionVariants", []) for each in variant["VariantStatus"]]
        if any(each["Status"] == "Baking" for each in statuses):
            cloudwatch.set_alarm_state(**reason, StateValue="ALARM")

    return dataclasses.replace(trial, tick=raise_the_alarm)


def autoscaling(world: World) -> Trial:
    """Another instance type, for which the scalable target is deregistered first, and other limits."""
    trial = _candidate(world, "autoscaling", Autoscaling=_scaling(3))
    before, wanted = _targets(trial)
    kind = "ml.c5.large" if wanted["MaxCapacity"] == 4 else "ml.m5.large"
    scaling = _scaling(wanted["MaxCapacity"])
    configure(world.qa, trial.application, EndpointConfig=instances(kind), Autoscaling=scaling)
    return dataclasses.replace(trial, targets=(before, [wanted]))


def variants(world: World) -> Trial:
    """Several variants of the same model."""
    two = [
        {"VariantName": "Cpu", "InitialInstanceCount": 2, "InitialVariantWeight": 1.0},
        {"VariantName": "Gpu", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1},
    ]
    return _candidate(world, "variants", EndpointConfig={"ProductionVariants": two})


def incoming(world: World) -> Trial:
    """A model with several artifacts, its smoke test and a request that only the upstream account can decrypt."""
    trial = _candidate(world, "incoming")
    return dataclasses.replace(trial, start=lambda: _promote_model(trial, IMAGE))


def shared_key(world: World) -> Trial:
    """An artifact that the stage can decrypt."""
    trial = _candidate(world, "shared-key")
    key = physical_id(DEV, "model-promotion-upstream-of-qa", "ArtifactKey")
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    start = lambda: world.lab.train(trial.application, trial.after, encryption=encryption)  # noqa: E731
    return dataclasses.replace(trial, start=start)


def together(world: World) -> Trial:
    """An image that is copied, a canary deployment, autoscaling and incoming copies in one promotion."""
    trial = _candidate(world, "together", **_TWO_INSTANCES, Autoscaling=_scaling(3))
    before, wanted = _targets(trial)
    scaling = _scaling(wanted["MaxCapacity"])
    configure(world.qa, trial.application, **_TWO_INSTANCES, DeploymentConfig=_canary(trial), Autoscaling=scaling)
    image = _pushed(trial)
    return dataclasses.replace(trial, start=lambda: _promote_model(trial, image), targets=(before, [wanted]))


SCENARIOS: dict[str, Callable[[World], Trial]] = {
    "first deployment": first_deployment,
    "update": update,
    "failing smoke test": failing_smoke_test,
    "rollback": rollback,
    "approval": approval,
    "images": images,
    "guardrails": guardrails,
    "alarm": alarm,
    "autoscaling": autoscaling,
    "several variants": variants,
    "incoming copies": incoming,
    "shared key": shared_key,
    "all together": together,
}
# The parameters of the stage in the scenarios that need others than usual.
_PARAMETERS = {"images": {"ImageCopy": "true"}, "all together": {"ImageCopy": "true"}}

_TWO_INSTANCES = {"EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": 2}]}}


def begin(scenario: str, world: World) -> Trial:
    """Prepare the next trial of a scenario."""
    world.use(**_PARAMETERS.get(scenario, {}))
    return SCENARIOS[scenario](world)


def _alarm(trial: Trial) -> str:
    return f"{trial.application}-{trial.stage.name}-5xx-rate"


def _canary(trial: Trial) -> dict[str, Any]:
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    traffic = {"Type": "CANARY", "WaitIntervalInSeconds": 300, "CanarySize": size}
    alarms = {"Alarms": [{"AlarmName": _alarm(trial)}]}
    return {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic},
        "AutoRollbackConfiguration": alarms,
    }


def _scaling(maximum: int) -> dict[str, Any]:
    return {"MinCapacity": 1, "MaxCapacity": maximum, "ScalingPolicies": [POLICY]}


def _targets(trial: Trial) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the scalable targets, and another one: with 4 instead of 3 instances at most, or the other way round."""
    before = trial.stage.scaling(trial.application)["targets"]
    return before, {"MinCapacity": 1, "MaxCapacity": 7 - before[0]["MaxCapacity"] if before else 3}


def _pushed(trial: Trial) -> str:
    """Push a new image, and return its URI."""
    repository = f"team/{trial.application}"
    trial.world.lab.push(repository, trial.after, os.urandom(1000))
    return f"{ECR}/{repository}:{trial.after}"


def _promote_model(trial: Trial, image: str) -> None:
    """Create a model whose objects only their own account can decrypt, and start its promotion."""
    lab, name = trial.world.lab, f"{trial.application}-{trial.after}"
    case = {"body_uri": lab.upload_as_sdk(f"{name}/body.json", b"{}"), "expect": f"label == '{trial.after}'"}
    suite = {"cases": [case | {"name": "answers", "maximum_latency_ms": 30_000}]}
    for number in range(2):
        lab.upload_as_sdk(f"{name}/tokenizer/{number}.json", b"{}")
    lab.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": image,
            "ModelDataUrl": lab.upload_as_sdk(f"{name}/model.tar.gz", lab.artifact(trial.after)),
            "Environment": {"TOKENIZER": f"s3://{DEV_BUCKET}/{name}/tokenizer/"},
        },
        Tags=[
            {
                "Key": "model-promotion:smoke-test",
                "Value": lab.upload_as_sdk(f"{name}/suite.json", json.dumps(suite).encode()),
            }
        ],
    )
    trial.stage.start({"model": name, "application": trial.application})


def _good(stage: Stage, application: str) -> list[dict[str, str]]:
    rows = [row for row in stage.history(application) if row["status"] == "Succeeded"]
    return sorted(rows, key=lambda row: row["key"])


def _before_the_last(rows: list[dict[str, str]]) -> dict[str, str]:
    return next(row for row in reversed(rows) if row["model_name"] != rows[-1]["model_name"])


def _label_of(row: dict[str, str]) -> str:
    """Return the label of a model, which is part of the name of its training job."""
    job = row["source_arn"].rpartition("/")[2]
    return job.rsplit("-", 2)[1]
