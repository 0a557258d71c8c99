"""The promotion of many applications at once: how they begin, and what is measured when all have ended."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
from typing import Any

from embedded_aws.kernel.quotas import Quotas
from tests.explorer.answers import dumps
from tests.explorer.functions import EPOCH
from tests.explorer.machine import Machine as Definition
from tests.explorer.world import BUCKET, EXECUTIONS, MACHINE, REGION, STAGE
from tests.scale.account import UPSTREAM_ACCOUNT, Account
from tests.scale.approvals import APPROVER, Automations
from tests.scale.lambda_functions import FunctionError, Functions
from tests.scale.machine import Execution, StateMachine
from tests.scale.services import Endpoint, Services
from tests.scale.simulation import Simulation

WATCH_SECONDS = 900.0
# When the simulation is over in any case.
_MOST_SECONDS = 3 * 86_400.0


@dataclasses.dataclass
class Result:
    """What a run has measured. `waits` are the seconds from the event to the end, by application."""

    quotas: Quotas
    applications: int
    executions: list[Execution]
    waits: dict[str, float]
    statuses: collections.Counter[str]
    account: Account
    functions: Functions
    services: Services
    automations: Automations
    failures: list[str]


class Run:
    """A stage with applications, half of which have a live endpoint that is updated under the guard of its alarms."""

    def __init__(self, applications: int, quotas: Quotas, *, approval: bool = False, seed: int = 1) -> None:
        self.simulation = Simulation(seed)
        self.names = [f"app-{number:04}" for number in range(applications)]
        parameters = {"PollSeconds": "30", "LockWaitSeconds": "43200", "RetentionKeep": "2"}
        if approval:
            parameters |= {"RequireApproval": "true", "Approvers": APPROVER}
        definition = Definition(**parameters)
        self.services = Services(self.simulation, STAGE)
        self.account = Account(self.simulation, quotas, self.services.answer)
        self.functions = Functions(self.account, definition.functions)
        self.machine = StateMachine(self.account, self.services, self.functions, definition)
        self.automations = Automations(self.account, self.machine)
        self.services.automations = self.automations
        self._quotas, self._approval = quotas, approval
        self.failures: list[str] = []
        # The stage has existed for days, so that every job whose event was lost is found.
        since = {"kind": {"S": "started"}, "key": {"S": "since"}, "at": {"S": "2025-12-01T00:00:00+00:00"}}
        self.services.partitions["started"] = {("started", "since"): dumps(since)}
        for number, name in enumerate(self.names):
            self._prepare(name, is_live=number % 2 == 1)

    def run(self) -> Result:
        """Promote all applications, and return what was measured."""
        with self.functions.installed():
            for name in self.names:
                self.simulation.start(self.machine.deliver, f"event-{name}", self._event(name))
            self.simulation.start(self._watch, after=WATCH_SECONDS / 3)
            if self._approval:
                self.simulation.start(self.automations.approve_all)
            self.simulation.run(self._is_done)
        return self._result()

    def _event(self, name: str) -> dict[str, Any]:
        detail = {"TrainingJobName": name, "TrainingJobStatus": "Completed"}
        about = {"source": "aws.sagemaker", "account": UPSTREAM_ACCOUNT, "region": REGION}
        return {"detail-type": "SageMaker Training Job State Change", **about, "detail": detail}

    def _prepare(self, name: str, *, is_live: bool) -> None:
        endpoint = f"{name}-{STAGE}"
        settings: dict[str, Any] = {}
        if is_live:
            alarms = [{"AlarmName": f"{endpoint}-{kind}"} for kind in ("5xx-rate", "latency")]
            routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}
            policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60}
            settings["DeploymentConfig"] = {
                "BlueGreenUpdatePolicy": policy,
                "AutoRollbackConfiguration": {"Alarms": alarms},
            }
        self.services.register(name, settings)
        if is_live:
            for version in (1, 2):
                self._promoted(name, version)

    def _promoted(self, name: str, version: int) -> None:
        """Let an earlier promotion have succeeded, so that the new one makes the first of two superseded."""
        endpoint, digest = f"{name}-{STAGE}", f"{version:064x}"
        config = f"{endpoint}-2025010{version}-0000-{version:08x}"
        model = f"{endpoint}-2025010{version}-0000-{version + 16:08x}"
        execution = f"{EXECUTIONS}past-{name}-{version}"
        tags = {"application": name, "digest": digest, "execution": execution}
        tag_list = [{"Key": f"model-promotion:{key}", "Value": value} for key, value in tags.items()]
        uri = f"s3://{BUCKET}/models/{name}/{digest}/0/ModelDataUrl/model.tar.gz"
        self.services.objects[uri.removeprefix(f"s3://{BUCKET}/")] = 1_000_000
        container = {"Image": "image@sha256:0", "ModelDataUrl": uri}
        self.services.add("model", model, {"ModelName": model, "PrimaryContainer": container, "Tags": tag_list})
        variant = {"VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1}
        variant["InstanceType"] = "ml.m5.large"
        request = {"EndpointConfigName": config, "ProductionVariants": [variant], "Tags": tag_list}
        self.services.add("endpoint configuration", config, request)
        at = (EPOCH - datetime.timedelta(days=9 - version)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {
            "execution": execution,
            "started_at": at,
            "stage": STAGE,
            "application": name,
            "endpoint": endpoint,
            "source_kind": "training_job",
            "source_name": f"{name}-{version}",
            "created_at": at,
            "by_event": True,
            "approval": "",
            "digest": digest,
            "smoke_test": "skip",
            "metrics": {},
            "model_name": model,
            "endpoint_config_name": config,
            "status": "Succeeded",
            "ended_at": at,
        }
        item = {"execution": {"S": execution}, "promotion": {"S": dumps(record)}, "published": {"BOOL": True}}
        for kind, key in ((f"history#{endpoint}", f"{at}#past"), ("live", endpoint)):
            values = {"kind": {"S": kind}, "key": {"S": key}, **item}
            self.services.partitions.setdefault(kind, {})[kind, key] = dumps(values)
        self.services.endpoints[endpoint] = Endpoint(config, "", 0.0, -86_400.0)
        self.services.tags[self.services.arn("endpoint", endpoint)] = {tag["Key"]: tag["Value"] for tag in tag_list}

    def _watch(self) -> None:
        """Run the function that checks promotions every quarter of an hour."""
        given = {"stage": STAGE, "table": "PromotionTable", "bus": "PromotionBus"}
        role = f"arn:aws:iam::{UPSTREAM_ACCOUNT}:role/model-promotion-upstream-of-{STAGE}"
        given |= {"state_machine": MACHINE, "upstream_stage": "", "upstream_role_arn": role, "external_id": "x"}
        while True:
            try:
                self.functions.invoke("WatchPromotionsFunction", given)
            except FunctionError as error:
                if error.error == "Lambda.TooManyRequestsException":
                    # Lambda repeats an asynchronous invocation that it throttles, for up to six hours.
                    self.simulation.sleep(self.simulation.random.uniform(1.0, 60.0))
                    continue
                self.failures.append(f"WatchPromotionsFunction: {error.error}: {error.cause}")
            self.simulation.sleep(WATCH_SECONDS)

    def _is_done(self) -> bool:
        if self.simulation.now > _MOST_SECONDS:
            return True
        executions = self.machine.executions
        if len(executions) < len(self.names) or any(each.status == "RUNNING" for each in executions.values()):
            return False
        return not self._approval or self.automations.all_ended

    def _result(self) -> Result:
        executions = list(self.machine.executions.values())
        waits: dict[str, float] = {}
        for execution in executions:
            record = execution.variables.get("promotion") or {}
            if execution.last_state == "Promoted":
                waits[record["application"]] = execution.ended
        statuses = collections.Counter(_ending(each) for each in executions)
        for execution in executions:
            if execution.status == "FAILED":
                self.failures.append(
                    f"{execution.name} in {execution.last_state}: {execution.error}: {execution.cause}"
                )
        return Result(
            self._quotas,
            len(self.names),
            executions,
            waits,
            statuses,
            self.account,
            self.functions,
            self.services,
            self.automations,
            self.failures,
        )


def _ending(execution: Execution) -> str:
    if execution.status == "RUNNING":
        return "running"
    return execution.last_state if execution.status == "SUCCEEDED" else f"failed: {execution.error}"


def record_of(services: Services, endpoint: str) -> dict[str, Any]:
    """Return the live record of an endpoint."""
    item = json.loads(services.partitions["live"]["live", endpoint])
    return dict(json.loads(item["promotion"]["S"]))
