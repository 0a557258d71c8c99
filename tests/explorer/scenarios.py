"""The scenarios of the search: worlds and executions that meet in them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from promotion.plan.settings import parameter_name, read
from tests.explorer.answers import dumps
from tests.explorer.functions import instant
from tests.explorer.machine import Machine
from tests.explorer.schedules import OTHERS_CONFIG, Bounds, Situation
from tests.explorer.world import ACCOUNT, APPLICATION, BUCKET, EXECUTIONS, STAGE, Endpoint, Request, World

ENDPOINT = f"{APPLICATION}-{STAGE}"
APPROVER = f"arn:aws:iam::{ACCOUNT}:user/ann"
APPROVAL = "00000000-0000-4000-8000-000000000001"
# The candidates were created on these days. The first one is live from the beginning, and the zeroth was before.
_PAST = -86_400


def digest(version: int) -> str:
    return f"{version:064x}"


def config(version: int) -> str:
    return f"{ENDPOINT}-2025010{version}-0000-{version:08x}"


def model(version: int) -> str:
    return f"{ENDPOINT}-2025010{version}-0000-{version + 16:08x}"


def record(version: int, execution: str, **more: Any) -> dict[str, Any]:
    """Return the record of a promotion of a version, as it is before the lock is acquired."""
    return {
        "execution": EXECUTIONS + execution,
        "started_at": instant(_PAST + version),
        "stage": STAGE,
        "application": APPLICATION,
        "endpoint": ENDPOINT,
        "source_kind": "training_job",
        "source_name": f"job-{version}",
        "source_arn": f"arn:aws:sagemaker:eu-west-1:111111111111:training-job/job-{version}",
        "created_at": instant(_PAST + version),
        "by_event": True,
        "approval": "",
        "approved_by": "",
        "approval_comment": "",
        "digest": digest(version),
        "deployment_digest": digest(version + 100),
        "digest_without_images": digest(version + 200),
        "smoke_test": f"s3://{BUCKET}/smoke-test.json",
        "metrics": {},
        "deployment_config": {},
        "quality_gate": [],
        "model_name": model(version),
        "endpoint_config_name": config(version),
    } | more


def world(machine: Machine, live: int, versions: int, **more: Any) -> World:
    """Return a world with the resources of all versions, in which `live` versions were promoted one after the other."""
    made = World(settings={parameter_name(STAGE, APPLICATION): "{}"}, **more)
    for version in range(1, versions + 1):
        made.configs[config(version)], made.models[model(version)] = model(version), digest(version)
    made.configs[OTHERS_CONFIG], made.models[OTHERS_CONFIG] = OTHERS_CONFIG, digest(99)
    made.objects = frozenset(made.models.values())
    for version in range(1, live + 1):
        done = record(
            version, f"past-{version}", status="Succeeded", reason="", ended_at=instant(_PAST + 100 + version)
        )
        item = {"execution": {"S": done["execution"]}, "promotion": {"S": dumps(done)}}
        for kind, key in ((f"history#{ENDPOINT}", f"{done['ended_at']}#past-{version}"), ("live", ENDPOINT)):
            published = {"published": {"BOOL": True}} if kind == "live" else {}
            made.items[kind, key] = dumps({"kind": {"S": kind}, "key": {"S": key}, **item, **published})
    if live:
        made.endpoints[ENDPOINT] = Endpoint(config(live))
    return made


def promotion(machine: Machine, world: World, name: str, version: int, **more: Any) -> Request:
    """Return the promotion of a version that runs and is about to acquire the lock, with its claim on the resources."""
    started = record(version, name, **more)
    claim = {"kind": "use", "key": f"{ENDPOINT}#{EXECUTIONS}{name}", "digest": digest(version)}
    reference = {"kind": "execution", "key": f"{EXECUTIONS}{name}", "endpoint": ENDPOINT}
    for item in (claim, reference):
        world.items[item["kind"], item["key"]] = dumps({key: {"S": value} for key, value in item.items()})
    settings = read("{}", "the parameter", machine.defaults, "111111111111")
    assigned = machine.states["Resolve candidate"]["Assign"]
    constants = {key: value for key, value in assigned.items() if not str(value).startswith("{%")}
    variables = constants | {
        "promotion": started,
        "settings": json.dumps(settings),
        "plan": {},
        "is_preview": False,
        "lock_wait_ends": int(machine.parameters["LockWaitSeconds"]) * 1000,
    }
    given = dumps({"training_job": started["source_name"]})
    world.start(EXECUTIONS + name, given)
    return Request(name, given, "Acquire endpoint lock", dumps(variables))


def approved(machine: Machine, made: World, version: int) -> dict[str, str]:
    """Grant an approval for a version, and return what the record of its promotion says about it."""
    parameters = {"Application": APPLICATION, "SourceKind": "training_job", "SourceName": f"job-{version}"}
    parameters |= {"Digest": digest(version), "DeploymentDigest": digest(version + 100)}
    step = {
        "StepName": "Approve",
        "Action": "aws:approve",
        "StepStatus": "Success",
        "Inputs": {"Approvers": json.dumps([APPROVER]), "MinRequiredApprovals": "1"},
        "Outputs": {"ApproverDecisions": [json.dumps({"Approver": APPROVER, "Decision": "Approve"})]},
    }
    automation = {
        "AutomationExecutionId": APPROVAL,
        "DocumentName": f"model-promotion-{STAGE}",
        "AutomationExecutionStatus": "InProgress",
        "ExecutedBy": f"arn:aws:sts::{ACCOUNT}:assumed-role/RequestApprovalFunctionRole/function",
        "Parameters": {name: [value] for name, value in parameters.items()},
        "StepExecutions": [step],
    }
    made.approvals[APPROVAL] = dumps(automation)
    return {"approval": APPROVAL, "approved_by": "ann"}


def first_deployment(machine: Machine, bounds: Bounds) -> Situation:
    """The first promotion of an application creates its endpoint."""
    made = world(machine, live=0, versions=1)
    return _meeting(made, bounds, promotion(machine, made, "first", 1))


def update(machine: Machine, bounds: Bounds) -> Situation:
    """One promotion; the first description after an update still shows the previous state."""
    made = world(machine, live=1, versions=2, stale=1)
    return _meeting(made, bounds, promotion(machine, made, "second", 2))


def two_promotions(machine: Machine, bounds: Bounds) -> Situation:
    """Two promotions of one endpoint. The settings keep two promotions, so that the last one removes the first."""
    made = world(machine, live=1, versions=3)
    starts = [promotion(machine, made, name, version) for name, version in (("second", 2), ("third", 3))]
    return _meeting(made, bounds, *starts)


def rollback(machine: Machine, bounds: Bounds) -> Situation:
    """An operator requests a rollback while a newer version is promoted."""
    made = world(machine, live=2, versions=3)
    starts = promotion(machine, made, "third", 3), Request("rollback", dumps({"rollback": ENDPOINT}))
    return _meeting(made, bounds, *starts)


def retention(machine: Machine, bounds: Bounds) -> Situation:
    """An operator requests a rollback to a version that the retention of a promotion is about to remove."""
    made = world(machine, live=2, versions=3, contested=True)
    starts = promotion(machine, made, "third", 3), Request("rollback", dumps({"rollback": ENDPOINT, "to": model(1)}))
    return _meeting(made, bounds, *starts)


def approval(machine: Machine, bounds: Bounds) -> Situation:
    """Two executions of one approval."""
    made = world(machine, live=1, versions=2)
    granted = approved(machine, made, 2)
    starts = [promotion(machine, made, name, 2, by_event=False, **granted) for name in ("approved", "again")]
    return _meeting(made, bounds, *starts)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """How a scenario begins, and the parameters of its stage."""

    begin: Callable[[Machine, Bounds], Situation]
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)


SCENARIOS = {
    "first deployment": Scenario(first_deployment),
    "update": Scenario(update),
    "two promotions": Scenario(two_promotions),
    "rollback": Scenario(rollback),
    "retention": Scenario(retention),
    "approval": Scenario(approval, {"RequireApproval": "true", "Approvers": APPROVER}),
}


def _meeting(made: World, bounds: Bounds, *requests: Request) -> Situation:
    made.requests = requests
    return Situation(made, (), (), bounds, bounds)
