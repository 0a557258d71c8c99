"""The AWS of one stage in memory: what the state machine and its functions read and change.

A world is data that is copied before every step. Nothing in it runs in the background: the update of an endpoint
proceeds with each of its descriptions.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

from promotion.endpoint import smoke_test
from promotion.source.tags import APPLICATION_TAG, DIGEST_TAG, EXECUTION_TAG
from tests.explorer import table
from tests.explorer.answers import Answer, AwsError, Call, NotModeledError, dumps
from tests.explorer.functions import instant

ACCOUNT, REGION, STAGE, APPLICATION = "222222222222", "eu-west-1", "qa", "reviews"
BUCKET, UNAVAILABLE = "artifacts", "ServiceUnavailable"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:model-promotion-{STAGE}"
EXECUTIONS = MACHINE.replace(":stateMachine:", ":execution:") + ":"
SUITE = smoke_test.validated({"cases": [{"name": "any", "body": {}, "expect": "ok"}]}, "the suite")


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An endpoint with its config, and the config of an update that takes some more descriptions.

    The first description after an update may still show the previous state.
    """

    config: str
    pending: str = ""
    descriptions: int = 0
    failure: str = ""

    @property
    def serves(self) -> str:
        """The config that it serves, or will serve."""
        return self.pending or self.config


@dataclasses.dataclass(frozen=True)
class Ended:
    """The end of an execution."""

    status: str
    error: str = ""
    cause: str = ""


@dataclasses.dataclass(frozen=True)
class Request:
    """An execution that will start at some time, with its input; in the state `at` with some variables, if set."""

    name: str
    given: str
    at: str = ""
    variables: str = "{}"

    @property
    def arn(self) -> str:
        return EXECUTIONS + self.name


@dataclasses.dataclass
class World:
    """A world at a time in seconds. `stale` is the number of descriptions that show an endpoint before its update.

    `models` and `configs` map names to digests and to models. `executions` has the ends of those that have ended.
    `troubles` are the calls that fail, as often as they say; with -1, only the answer is lost.
    """

    now: int = 0
    items: table.Items = dataclasses.field(default_factory=dict)
    endpoints: dict[str, Endpoint] = dataclasses.field(default_factory=dict)
    configs: dict[str, str] = dataclasses.field(default_factory=dict)
    models: dict[str, str] = dataclasses.field(default_factory=dict)
    objects: frozenset[str] = frozenset()
    executions: dict[str, Ended | None] = dataclasses.field(default_factory=dict)
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    approvals: dict[str, str] = dataclasses.field(default_factory=dict)
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    published: tuple[tuple[str, str, str], ...] = ()
    troubles: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    stale: int = 0
    # Whether the resources that retention removes matter to anyone else.
    contested: bool = False
    watched: int = 0
    found_by_watch: int = 0
    described_by: frozenset[str] = frozenset()
    # Someone else changed an endpoint, and these executions have seen it since.
    changed_by_others: bool = False
    seen_by: frozenset[str] = frozenset()

    def copy(self) -> World:
        copied = dataclasses.replace(self)
        for name in ("items", "endpoints", "executions", "inputs", "troubles", "configs", "models"):
            setattr(copied, name, dict(getattr(self, name)))
        return copied

    def key(self) -> tuple[Any, ...]:
        """Return everything that can differ between two worlds of a search."""
        parts = (self.items, self.endpoints, self.configs, self.models, self.executions, self.troubles, self.inputs)
        values = (
            self.now,
            self.objects,
            self.published,
            self.requests,
            self.watched,
            self.described_by,
            self.changed_by_others,
            self.seen_by,
        )
        return (*(frozenset(part.items()) for part in parts), *values)

    def state(self) -> int:
        """Return what the watch could find."""
        return hash((frozenset(self.items.items()), frozenset(self.executions.items()), self.published))

    def lock(self, endpoint: str) -> dict[str, Any] | None:
        """Return the execution and the record of the lock of an endpoint, if it is locked."""
        return _attributes(self.items.get(("lock", endpoint)))

    def live(self, endpoint: str) -> dict[str, Any] | None:
        """Return the live record of an endpoint, if it has one."""
        item = _attributes(self.items.get(("live", endpoint)))
        return item["promotion"] if item else None

    def history(self, endpoint: str) -> list[dict[str, Any]]:
        """Return the records of an endpoint's promotions, oldest first."""
        found = [_attributes(self.items[key]) for key in sorted(self.items) if key[0] == f"history#{endpoint}"]
        return [item["promotion"] for item in found if item]

    def call(self, call: Call, caller: str) -> Answer:
        """Execute a call of an execution or a function, and return its answer."""
        trouble = self.troubles.get(place := (call.service, call.operation), 0)
        if trouble:
            self.troubles[place] = trouble - 1 if trouble > 0 else 0
            if not self.troubles[place]:
                del self.troubles[place]
        if trouble > 0:
            error = AwsError(UNAVAILABLE, "Try again.", ResponseMetadata={"HTTPStatusCode": 503})
            return Answer(dumps(error.content), error.code)
        try:
            answer = Answer(dumps(self._handle(call, call.request, caller)))
        except AwsError as error:
            answer = Answer(dumps(error.content), error.code)
        if trouble < 0:
            lost = AwsError(UNAVAILABLE, "The answer was lost.", ResponseMetadata={"HTTPStatusCode": 503})
            return Answer(dumps(lost.content), lost.code)
        return answer

    def _handle(self, call: Call, request: dict[str, Any], caller: str) -> dict[str, Any]:
        match call.service, call.operation:
            case "dynamodb", operation:
                return table.call(self.items, operation, request)
            case "sagemaker", ("describe_endpoint" | "create_endpoint" | "update_endpoint" | "delete_endpoint"):
                return self._endpoint(call.operation, request, caller)
            case "sagemaker", operation:
                return self._resource(operation, request)
            case "events", "put_events":
                for entry in request["Entries"]:
                    detail = json.loads(entry["Detail"])
                    what = (entry["DetailType"], detail.get("execution", ""), detail.get("status", ""))
                    self.published = (*self.published, what)
                return {"FailedEntryCount": 0, "Entries": []}
            case "stepfunctions", "describe_execution":
                if (arn := request["executionArn"]) not in self.executions:
                    raise AwsError("ExecutionDoesNotExist")
                ended = self.executions[arn]
                return {"status": ended.status if ended else "RUNNING"}
            case "stepfunctions", "start_execution":
                self.start(arn := EXECUTIONS + request["name"], request["input"])
                return {"executionArn": arn}
            case "ssm", "get_parameter":
                if request["Name"] not in self.settings:
                    raise AwsError("ParameterNotFound")
                return {"Parameter": {"Value": self.settings[request["Name"]]}}
            case "ssm", "get_automation_execution":
                return {"AutomationExecution": json.loads(self.approvals[request["AutomationExecutionId"]])}
            case "s3", "get_object":
                return {"Body": dumps(SUITE)}
            case "s3", "list_objects_v2" if "Delimiter" in request:
                prefixes = [f"{request['Prefix']}{digest}/" for digest in sorted(self.objects)]
                return {"CommonPrefixes": [{"Prefix": prefix} for prefix in prefixes]}
            case "s3", "list_objects_v2":
                keys = [artifact_of(digest) for digest in sorted(self.objects)]
                return {"Contents": [{"Key": key} for key in keys if key.startswith(request["Prefix"])]}
            case "s3", "delete_objects":
                self.objects -= {each["Key"].split("/")[2] for each in request["Delete"]["Objects"]}
                return {}
            case "sagemaker-runtime", "invoke_endpoint":
                return {"Body": '{"ok": true}'}
            case "application-autoscaling", "describe_scalable_targets":
                return {"ScalableTargets": []}
            case "cloudwatch", ("describe_alarms" | "put_metric_alarm" | "delete_alarms"):
                return {}
        raise NotModeledError(f"A function calls {call.operation} of {call.service}.")

    def start(self, arn: str, given: str) -> None:
        """Let an execution exist. Raise AwsError if there is one of its name."""
        if arn in self.executions:
            raise AwsError("ExecutionAlreadyExists")
        self.executions[arn], self.inputs[arn] = None, given

    def _endpoint(self, operation: str, request: dict[str, Any], caller: str) -> dict[str, Any]:
        name = request["EndpointName"]
        current = self.endpoints.get(name)
        if operation == "describe_endpoint":
            return self._description(name, caller)
        if operation == "create_endpoint" and current:
            raise AwsError("ValidationException", f"Cannot create already existing endpoint {name}.")
        if operation != "create_endpoint" and not current:
            raise AwsError("ValidationException", f'Could not find endpoint "{name}".')
        if current and current.pending:
            raise AwsError("ValidationException", f"Cannot update in-progress endpoint {name}.")
        if operation == "delete_endpoint":
            del self.endpoints[name]
            return {}
        config = request["EndpointConfigName"]
        if config not in self.configs or self.configs[config] not in self.models:
            raise AwsError("ValidationException", f'Could not find endpoint configuration "{config}".')
        self.endpoints[name] = Endpoint(
            current.config if current else config, config, 2 + (self.stale if current else 0)
        )
        return {}

    def _description(self, name: str, caller: str) -> dict[str, Any]:
        """Return a description of an endpoint; its update, if any, proceeds."""
        self.described_by |= {caller}
        if name not in self.endpoints:
            self.seen_by |= {caller} if self.changed_by_others else frozenset()
            raise AwsError("ValidationException", f'Could not find endpoint "{name}".')
        endpoint = self.endpoints[name]
        status, shown, pending = "InService", endpoint.config, ""
        if endpoint.pending and endpoint.descriptions == 1:
            shown = endpoint.pending
            self.endpoints[name] = Endpoint(shown)
        elif endpoint.pending:
            is_stale = endpoint.descriptions > 2
            status, pending = (status, "") if is_stale else ("Updating", endpoint.pending)
            self.endpoints[name] = dataclasses.replace(endpoint, descriptions=endpoint.descriptions - 1)
        if self.changed_by_others and shown in (endpoint.serves, pending):
            self.seen_by |= {caller}
        return {
            "EndpointName": name,
            "EndpointArn": arn_of("endpoint", name),
            "EndpointStatus": status,
            "EndpointConfigName": shown,
            "ProductionVariants": [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}],
            **({"PendingDeploymentSummary": {"EndpointConfigName": pending}} if pending else {}),
            **({"FailureReason": endpoint.failure} if endpoint.failure else {}),
        }

    def _resource(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "list_tags":
                name = request["ResourceArn"].rsplit("/")[-1]
                digest = self.models.get(self.configs.get(name, name), "")
                tags = {APPLICATION_TAG: APPLICATION, DIGEST_TAG: digest, EXECUTION_TAG: f"{EXECUTIONS}first"}
                return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            case "add_tags":
                return {}
            case "list_endpoints":
                return {"Endpoints": [{"EndpointName": name} for name in sorted(self.endpoints)]}
            case "list_inference_components":
                return {"InferenceComponents": []}
            case "list_models" | "list_endpoint_configs":
                kind, known = ("Model", self.models) if "models" in operation else ("EndpointConfig", self.configs)
                found = [{f"{kind}Name": name, f"{kind}Arn": arn_of(kind, name)} for name in sorted(known)]
                return {f"{kind}s": found}
            case "describe_model" | "delete_model":
                known, name, kind = self.models, request["ModelName"], "model"
            case "describe_endpoint_config" | "delete_endpoint_config":
                known, name, kind = self.configs, request["EndpointConfigName"], "endpoint configuration"
            case _:
                raise NotModeledError(f"A function calls {operation} of sagemaker.")
        if name not in known:
            raise AwsError("ValidationException", f'Could not find {kind} "{name}".')
        if operation.startswith("delete"):
            del known[name]
            return {}
        if kind == "model":
            uri = f"s3://{BUCKET}/{artifact_of(known[name])}"
            container = {"Image": "image@sha256:0", "ModelDataUrl": uri}
            return {"ModelName": name, "ModelArn": arn_of("model", name), "PrimaryContainer": container}
        variant = {"VariantName": "AllTraffic", "ModelName": known[name], "InitialInstanceCount": 1}
        return {"EndpointConfigArn": arn_of("endpoint-config", name), "ProductionVariants": [variant]}


def arn_of(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def artifact_of(digest: str) -> str:
    return f"models/{APPLICATION}/{digest}/0/ModelDataUrl/model.tar.gz"


def event_of(arn: str, ended: Ended, given: str, now: int) -> str:
    """Return the event with which Step Functions reports the end of an execution."""
    detail = {"executionArn": arn, "name": arn.rpartition(":")[2], "input": given, **dataclasses.asdict(ended)}
    kind = "Step Functions Execution Status Change"
    about = {"source": "aws.states", "account": ACCOUNT, "region": REGION, "time": instant(now)}
    return json.dumps({"detail-type": kind, **about, "detail": detail | {"stateMachineArn": MACHINE}})


def _attributes(item: str | None) -> dict[str, Any] | None:
    return _parsed(item) if item else None


@functools.cache
def _parsed(item: str) -> dict[str, Any]:
    """Return the attributes of an item, with the record as an object. Nobody changes them."""
    attributes = {name: next(iter(value.values())) for name, value in json.loads(item).items()}
    return attributes | {name: json.loads(attributes[name]) for name in ("promotion",) if name in attributes}
