"""What the services of both accounts answer: just enough of each for promotions, with the sizes of an account."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

from promotion.plan.settings import parameter_name
from promotion.source.tags import APPLICATION_TAG, SMOKE_TEST_TAG
from tests.explorer import table
from tests.explorer.answers import AwsError, dumps
from tests.explorer.functions import EPOCH
from tests.explorer.world import BUCKET, REGION
from tests.scale.account import STAGE_ACCOUNT, UPSTREAM_ACCOUNT
from tests.scale.simulation import Simulation

TRAINING_BUCKET = f"sagemaker-{REGION}-{UPSTREAM_ACCOUNT}"
IMAGE = f"{UPSTREAM_ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shared"
MANIFEST = '{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}'
SUITE = {"cases": [{"name": "any", "body": {}, "expect": "ok"}]}
# Assumed: the time of an endpoint's creation or update.
DEPLOYMENT_SECONDS = (180.0, 420.0)
# botocore's sagemaker model has no default; the API reference says 10 for each of these lists.
_PAGE = 10
# DynamoDB developer guide, "Read/write capacity": a read unit is 4 KB, a write unit 1 KB, twice in a transaction.
_READ, _WRITE = 4096, 1024


@dataclasses.dataclass
class Endpoint:
    """An endpoint with its config, and that of an update which ends at a time in seconds."""

    config: str
    pending: str
    ends: float
    modified: float


class Services:
    """The resources of both accounts. A call changes them when it is answered."""

    def __init__(self, simulation: Simulation, stage: str) -> None:
        self._simulation, self._stage = simulation, stage
        self.applications: set[str] = set()
        self.settings: dict[str, str] = {}
        self.partitions: dict[str, table.Items] = {}
        self.tokens: table.Items = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.objects: dict[str, int] = {}
        self.files: dict[str, bytes] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.read_units = self.write_units = 0
        # Set by the state machine and by Systems Manager.
        self.describe_execution: Callable[[str], dict[str, Any]]
        self.start_execution: Callable[[str, Any], None]
        self.automations: Any
        self.published: list[dict[str, Any]] = []

    def answer(self, service: str, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the response to a call; raise AwsError."""
        name = service.replace("-", "_")
        handler: Callable[[str, str, dict[str, Any]], dict[str, Any]] = getattr(self, f"_{name}")
        return handler(operation, account, request)

    # DynamoDB

    def _dynamodb(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        if operation == "Query":
            return self._query(request)
        if operation == "TransactWriteItems":
            writes = [body for write in request["TransactItems"] for body in write.values()]
            return self._written(method, request, writes, 2)
        if operation == "GetItem":
            kind = request["Key"]["kind"]["S"]
            answer = table.call(self.partitions.get(kind, {}), method, request)
            self.read_units += -(-len(dumps(answer)) // _READ)
            return answer
        return self._written(method, request, [request], 1)

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        values = request["ExpressionAttributeValues"]
        partition = self.partitions.get(values[":kind"]["S"], {})
        prefix = values.get(":prefix", {}).get("S", "")
        within = {key: item for key, item in partition.items() if key[1].startswith(prefix)}
        newest = not request.get("ScanIndexForward", True)
        if newest:
            within = dict(sorted(within.items())[-1:])
        self.read_units += -(-max(1, sum(map(len, within.values()))) // _READ)
        found = table.call(within, "query", request)
        return {"Items": found["Items"][:: -1 if newest else 1]}

    def _written(self, method: str, request: dict[str, Any], writes: list[Any], factor: int) -> dict[str, Any]:
        keys = [(key["kind"]["S"], key["key"]["S"]) for key in (each.get("Key") or each["Item"] for each in writes)]
        items = {key: self.partitions[key[0]][key] for key in keys if key in self.partitions.get(key[0], {})}
        token = ("", request.get("ClientRequestToken", ""))
        items |= {token: self.tokens[token]} if token in self.tokens else {}
        self.write_units += factor * sum(-(-len(dumps(each)) // _WRITE) for each in writes)
        table.call(items, method, request)
        for key in keys:
            partition = self.partitions.setdefault(key[0], {})
            if key in items:
                partition[key] = items[key]
            else:
                partition.pop(key, None)
        if token in items:
            self.tokens[token] = items[token]
        return {}

    # SageMaker

    def _sagemaker(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        if account == UPSTREAM_ACCOUNT:
            return self._upstream(operation, request)
        if operation.startswith("List") and operation != "ListTags":
            return self._list(operation, request)
        if operation in ("ListTags", "AddTags", "DeleteTags"):
            return self._tags(operation, request)
        if operation.endswith("Endpoint"):
            return self._endpoint(operation, request)
        kind = "endpoint configuration" if "Config" in operation else "model"
        known = self.configs if kind == "endpoint configuration" else self.models
        name = request["EndpointConfigName" if known is self.configs else "ModelName"]
        if operation.startswith("Create"):
            if name in known:
                raise AwsError("ValidationException", f"Cannot create already existing {kind} {name}.")
            self.add(kind, name, request)
            return {}
        if name not in known:
            raise AwsError("ValidationException", f'Could not find {kind} "{name}".')
        if operation.startswith("Delete"):
            del known[name]
            return {}
        description: dict[str, Any] = known[name]
        return description

    def add(self, kind: str, name: str, request: dict[str, Any]) -> None:
        """Add a model or an endpoint config from the request that creates it."""
        resource = {"model": "model", "endpoint configuration": "endpoint-config"}[kind]
        members = {member: value for member, value in request.items() if member != "Tags"}
        arn = self.arn(resource, name)
        member = "ModelArn" if kind == "model" else "EndpointConfigArn"
        known = self.models if kind == "model" else self.configs
        known[name] = members | {member: arn, "CreationTime": self._now()}
        self.tags[arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}

    def _upstream(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListTags":
            application = request["ResourceArn"].rpartition("/")[2]
            suite = f"s3://{TRAINING_BUCKET}/smoke-test.json"
            return {"Tags": [{"Key": APPLICATION_TAG, "Value": application}, {"Key": SMOKE_TEST_TAG, "Value": suite}]}
        if operation.startswith("List"):
            return self._upstream_list(operation)
        assert operation == "DescribeTrainingJob", operation
        name = request["TrainingJobName"]
        ended = EPOCH - datetime.timedelta(minutes=1)
        return {
            "TrainingJobName": name,
            "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{UPSTREAM_ACCOUNT}:training-job/{name}",
            "TrainingJobStatus": "Completed",
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://{TRAINING_BUCKET}/{name}/model.tar.gz"},
            "AlgorithmSpecification": {"TrainingImage": f"{IMAGE}:1", "TrainingInputMode": "File"},
            "CreationTime": ended - datetime.timedelta(hours=1),
            "TrainingEndTime": ended,
            "EnableNetworkIsolation": False,
        }

    def _upstream_list(self, operation: str) -> dict[str, Any]:
        """Return the completed jobs. Model packages and tuning jobs do not exist."""
        member = {
            "ListTrainingJobs": "TrainingJobSummaries",
            "ListHyperParameterTuningJobs": "HyperParameterTuningJobSummaries",
            "ListModelPackages": "ModelPackageSummaryList",
        }[operation]
        ended = EPOCH - datetime.timedelta(minutes=1)
        arn = f"arn:aws:sagemaker:{REGION}:{UPSTREAM_ACCOUNT}:training-job/"
        jobs = [
            {"TrainingJobName": name, "TrainingJobArn": arn + name, "CreationTime": ended, "LastModifiedTime": ended}
            for name in sorted(self.applications)
        ]
        return {member: jobs if operation == "ListTrainingJobs" else []}

    def _list(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        kind = operation.removeprefix("List").removesuffix("s")
        if kind == "InferenceComponent":
            return {f"{kind}s": []}
        resources: dict[str, Any] = {"Model": self.models, "EndpointConfig": self.configs, "Endpoint": self.endpoints}
        known = resources[kind]
        resource = {"Model": "model", "EndpointConfig": "endpoint-config", "Endpoint": "endpoint"}[kind]
        names = sorted(name for name in known if request.get("NameContains", "") in name)
        start = int(request.get("NextToken", 0))
        end = start + request.get("MaxResults", _PAGE)
        page: list[dict[str, Any]] = [
            {f"{kind}Name": name, f"{kind}Arn": self.arn(resource, name)} for name in names[start:end]
        ]
        if kind == "Endpoint":
            for each in page:
                endpoint = self._settled(each["EndpointName"])
                each["EndpointStatus"] = "Updating" if endpoint.pending else "InService"
                each["LastModifiedTime"] = EPOCH + datetime.timedelta(seconds=endpoint.modified)
        else:
            for each in page:
                each["CreationTime"] = known[each[f"{kind}Name"]]["CreationTime"]
        return {f"{kind}s": page, **({"NextToken": str(end)} if end < len(names) else {})}

    def _tags(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        tags = self.tags.setdefault(request["ResourceArn"], {})
        if operation == "AddTags":
            tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _endpoint(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        if operation == "CreateEndpoint" and name in self.endpoints:
            raise AwsError("ValidationException", f"Cannot create already existing endpoint {name}.")
        if operation != "CreateEndpoint" and name not in self.endpoints:
            raise AwsError("ValidationException", f'Could not find endpoint "{name}".')
        if operation == "DescribeEndpoint":
            return self._description(name)
        if operation == "DeleteEndpoint":
            del self.endpoints[name]
            return {}
        if operation == "UpdateEndpoint" and self._settled(name).pending:
            raise AwsError("ValidationException", f"Cannot update in-progress endpoint {name}.")
        config, now = request["EndpointConfigName"], self._simulation.now
        current = self.endpoints[name].config if name in self.endpoints else config
        ends = now + self._simulation.random.uniform(*DEPLOYMENT_SECONDS)
        self.endpoints[name] = Endpoint(current, config, ends, now)
        self.tags.setdefault(self.arn("endpoint", name), {}).update(
            {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        )
        return {}

    def _settled(self, name: str) -> Endpoint:
        endpoint = self.endpoints[name]
        if endpoint.pending and self._simulation.now >= endpoint.ends:
            self.endpoints[name] = Endpoint(endpoint.pending, "", 0.0, endpoint.ends)
        return self.endpoints[name]

    def _description(self, name: str) -> dict[str, Any]:
        endpoint = self._settled(name)
        status = "InService"
        if endpoint.pending:
            status = "Creating" if endpoint.config == endpoint.pending else "Updating"
        pending = {"PendingDeploymentSummary": {"EndpointConfigName": endpoint.pending}} if endpoint.pending else {}
        image = f"{IMAGE}@sha256:{hashlib.sha256(MANIFEST.encode()).hexdigest()}"
        return {
            "EndpointName": name,
            "EndpointArn": self.arn("endpoint", name),
            "EndpointStatus": status,
            "EndpointConfigName": endpoint.config,
            "ProductionVariants": [
                {
                    "VariantName": "AllTraffic",
                    "DesiredInstanceCount": 1,
                    "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
                }
            ],
            **pending,
        }

    def _sagemaker_runtime(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"Body": io.BytesIO(b'{"ok": true}')}

    def arn(self, resource: str, name: str) -> str:
        """Return the ARN of a resource of SageMaker in the stage's account."""
        return f"arn:aws:sagemaker:{REGION}:{STAGE_ACCOUNT}:{resource}/{name}"

    # S3

    def _s3(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        bucket, key = request["Bucket"], request.get("Key", "")
        match operation:
            case "HeadObject":
                size = 1_000_000 if bucket == TRAINING_BUCKET else self.objects[key]
                checksum = {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-checksum-type": "FULL_OBJECT"}
                etag = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
                return {"Headers": {"content-length": str(size), "etag": f'"{etag}"', **checksum}}
            case "GetObjectTagging":
                return {}
            case "CopyObject":
                self.objects[key] = 1_000_000
                return {"ETag": '"copy"', "ChecksumCRC64NVME": "AAAAAAAAAAA="}
            case "PutObject":
                if request.get("IfNoneMatch") and key in self.files:
                    raise AwsError("PreconditionFailed")
                self.files[key] = bytes(request["Body"])
                if key.startswith("models/"):
                    self.objects[key] = len(self.files[key])
                return {}
            case "GetObject":
                content = dumps(SUITE).encode() if bucket == TRAINING_BUCKET else self.files[key]
                if limits := re.fullmatch(r"bytes=(\d+)-(\d+)", request.get("Range", "")):
                    content = content[int(limits[1]) : int(limits[2]) + 1]
                return {"Body": io.BytesIO(content), "ContentLength": len(content)}
            case "ListObjectsV2":
                return self._objects(request)
            case "DeleteObjects":
                for each in request["Delete"]["Objects"]:
                    self.objects.pop(each["Key"], None)
                return {}
        raise AssertionError(f"The simulation of S3 does not have {operation}.")

    def _objects(self, request: dict[str, Any]) -> dict[str, Any]:
        prefix = request["Prefix"]
        keys = [key for key in self.objects if key.startswith(prefix)]
        if "Delimiter" not in request:
            return {"Contents": [{"Key": key, "Size": self.objects[key]} for key in sorted(keys)]}
        folders = {key[: key.index("/", len(prefix)) + 1] for key in keys if "/" in key[len(prefix) :]}
        return {"CommonPrefixes": [{"Prefix": folder} for folder in sorted(folders)]}

    # The other services

    def _cloudwatch(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "PutMetricAlarm":
            self.alarms[request["AlarmName"]] = request | {"StateValue": "OK"}
        if operation == "DescribeAlarms":
            found = [self.alarms[name] for name in request["AlarmNames"] if name in self.alarms]
            return {"MetricAlarms": found, "CompositeAlarms": []}
        return {}

    def _events(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        self.published += [entry | {"at": self._simulation.now} for entry in request["Entries"]]
        return {"FailedEntryCount": 0, "Entries": []}

    def _stepfunctions(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "DescribeExecution":
            return self.describe_execution(request["executionArn"])
        self.start_execution(request["name"], json.loads(request["input"]))
        return {}

    def _ssm(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "GetParameter":
            name = request["Name"]
            if name not in self.settings:
                raise AwsError("ParameterNotFound")
            return {"Parameter": {"Value": self.settings[name]}}
        answer: dict[str, Any] = self.automations.answer(operation, request)
        return answer

    def register(self, application: str, settings: dict[str, Any]) -> None:
        """Register an application in the stage."""
        self.applications.add(application)
        self.settings[parameter_name(self._stage, application)] = json.dumps(settings)

    def _iam(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        path = f"arn:aws:iam::{STAGE_ACCOUNT}:role/model-promotion/{self._stage}/serving/"
        return {"Role": {"Arn": f"{path}{request['RoleName']}"}}

    def _ecr(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(MANIFEST.encode()).hexdigest()}"
        return {"images": [{"imageManifest": MANIFEST, "imageId": {"imageDigest": digest}}]}

    def _sts(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _application_autoscaling(self, operation: str, account: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"ScalableTargets": [], "ScalingPolicies": [], "ScheduledActions": []}

    def _now(self) -> datetime.datetime:
        return EPOCH + datetime.timedelta(seconds=self._simulation.now)


__all__ = ["BUCKET", "Services"]
