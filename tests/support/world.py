"""The accounts as those who work in them use them: the lab that trains, and the operators of a stage."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from sandbox import stacks
from tests.support import registries
from tests.support.waiting import wait_until

DEV, QA, PRODUCTION = accounts.ACCOUNTS.values()
DEV_BUCKET = f"sagemaker-{accounts.REGION}-{DEV}"
ECR = f"{DEV}.dkr.ecr.{accounts.REGION}.amazonaws.com"
# The lab's image and role, of its training jobs and models unless another one is given.
IMAGE = f"{ECR}/echo:1"
# AWS's images of frameworks, whose containers find the code of a training job in different places.
SKLEARN = f"141502667606.dkr.ecr.{accounts.REGION}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = f"arn:aws:iam::{DEV}:role/{stacks.TRAINING_ROLE}"
EVENTS = Path(__file__).parents[2] / "events"
# The session of a role in which a test tries what the role may do: no call of the application.
TRYING = "tried-by-a-test"

# Answers {"label": <what is in the artifact's file>} to anything.
ECHO_LABEL = """
import json, os
def model_fn(model_dir):
    with open(os.path.join(model_dir, "label.txt")) as file:
        return file.read()
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    return {"label": model}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""
# The same, which trains as well: its file and its metrics are what it is told.
TRAINS = (
    ECHO_LABEL
    + """
if __name__ == "__main__":
    import sys
    told = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "label.txt"), "w") as file:
        file.write(told["--label"])
    print(told["--say"])
"""
)
# Takes longer to answer than a test takes to stop its smoke test.
SLOW = ECHO_LABEL.replace("    return {", "    import time; time.sleep(60)\n    return {")
CANNOT_LOAD = "def model_fn(model_dir):\n    raise RuntimeError('this model cannot be loaded')\n"


@functools.cache
def _operators_client(service: str, account: str, _endpoint_url: str) -> Any:
    return clients.client_as_operator(service, account)


def physical_id(account: str, stack: str, logical_id: str) -> str:
    """Return the physical ID of a resource of a stack. No test replaces resources of the project's stacks."""
    return _physical_id(account, stack, logical_id, accounts.endpoint_url())


@functools.cache
def _physical_id(account: str, stack: str, logical_id: str, endpoint_url: str) -> str:
    cloudformation = _operators_client("cloudformation", account, endpoint_url)
    found = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=logical_id)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def role_of(account: str, stack: str, logical_id: str) -> str:
    """The ARN of a role of a stack."""
    iam = _operators_client("iam", account, accounts.endpoint_url())
    return str(iam.get_role(RoleName=physical_id(account, stack, logical_id))["Role"]["Arn"])


def _lambda(name: str, account: str) -> clients.ServiceCall:
    arn = f"arn:aws:lambda:{accounts.REGION}:{account}:function:{name}"
    return clients.ServiceCall("lambda.amazonaws.com", arn)


# What executions were started with, by ARN: it never changes.
_inputs: dict[str, str] = {}


@dataclasses.dataclass
class Execution:
    """An execution of a stage's state machine that has ended."""

    arn: str
    status: str
    output: Any
    error: str | None
    cause: str | None
    stage: Stage

    @functools.cached_property
    def states(self) -> list[str]:
        """Return the states it entered, in order."""
        return self.stage.states(self.arn)


@dataclasses.dataclass
class Stage:
    """One stage as its operators see it."""

    name: str
    account: str

    def client(self, service: str) -> Any:
        return _operators_client(service, self.account, accounts.endpoint_url())

    def acting_as(self, function: str, service: str) -> Any:
        """A client as one of the stage's functions has it, by its name in the template: for the function's own code."""
        name, role = self._function(function)
        return clients.client_as_role(service, role, name, _lambda(name, self.account))

    def trying_as(self, function: str, service: str) -> Any:
        """Return a client with the permissions of one of the stage's functions, to test them."""
        name, role = self._function(function)
        return clients.client_as_role(service, role, TRYING, _lambda(name, self.account))

    def role(self, logical_id: str) -> str:
        """The ARN of a role of the stage, by its name in the template."""
        return role_of(self.account, self.stack, logical_id)

    def physical_id(self, logical_id: str) -> str:
        """Return the physical ID of a resource of the stage, by its name in the template."""
        return physical_id(self.account, self.stack, logical_id)

    def functions(self) -> list[str]:
        """Return the names of the stage's functions in the template."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack)
        found = [each for page in pages for each in page["StackResourceSummaries"]]
        return [each["LogicalResourceId"] for each in found if each["ResourceType"] == "AWS::Lambda::Function"]

    def _function(self, function: str) -> tuple[str, str]:
        """The name and the role of a function."""
        name = self.physical_id(function)
        configuration = self.client("lambda").get_function_configuration(FunctionName=name)
        return name, configuration["Role"]

    @property
    def stack(self) -> str:
        return f"model-promotion-{self.name}"

    @property
    def state_machine(self) -> str:
        return f"arn:aws:states:{accounts.REGION}:{self.account}:stateMachine:model-promotion-{self.name}"

    @property
    def bucket(self) -> str:
        return f"model-promotion-{self.name}-{self.account}-{accounts.REGION}"

    @property
    def table(self) -> str:
        return self.physical_id("PromotionTable")

    def start(self, given: Any) -> str:
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=self.state_machine, input=json.dumps(given)
        )
        return str(answer["executionArn"])

    def promote(self, given: Any) -> Execution:
        """Start by hand, and wait for the end."""
        return self.ended(self.start(given))

    def ended(self, arn: str) -> Execution:
        client = self.client("stepfunctions")

        def look() -> Any:
            found = client.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        # An end stays to be seen, and every look costs what a step of the promotion does.
        found = wait_until(look, f"the end of {arn}", pause=0.5)
        return Execution(
            arn=arn,
            status=found["status"],
            output=json.loads(found.get("output") or "null"),
            error=found.get("error"),
            cause=found.get("cause"),
            stage=self,
        )

    def states(self, arn: str) -> list[str]:
        """The states an execution has entered so far, in order."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def executions_with(self, text: str) -> list[str]:
        """The ARNs of those of the last hundred executions in whose input `text` stands, oldest first."""
        newest = self.client("stepfunctions").list_executions(stateMachineArn=self.state_machine, maxResults=100)
        started = sorted(newest["executions"], key=lambda e: e["startDate"])
        return [e["executionArn"] for e in started if text in self._input(e["executionArn"])]

    def newest_with(self, text: str, since: datetime.datetime) -> dict[str, str]:
        """The status of the executions in whose input `text` stands, of the last twenty and started since, by ARN."""
        client = self.client("stepfunctions")
        newest = client.list_executions(stateMachineArn=self.state_machine, maxResults=20)["executions"]
        found = {e["executionArn"]: e["status"] for e in newest if e["startDate"] >= since}
        return {arn: status for arn, status in found.items() if text in self._input(arn)}

    def _input(self, arn: str) -> str:
        if arn not in _inputs:
            _inputs[arn] = self.client("stepfunctions").describe_execution(executionArn=arn)["input"]
        return _inputs[arn]

    def execution_of(self, text: str, number: int = 0) -> Execution:
        """The end of the execution in whose input `text` stands: the first, or the one of that number."""

        def look() -> str | None:
            arns = self.executions_with(text)
            return arns[number] if len(arns) > number else None

        return self.ended(wait_until(look, f"an execution for {text} in {self.name}"))

    def scale_out(self, application: str, count: int) -> None:
        """As a scaling policy would, and wait until the endpoint has so many instances."""
        self.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=f"{application}-{self.name}",
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}],
        )
        wait_until(lambda: True if self.instances(application) == count else None, f"{count} instances")

    def instances(self, application: str) -> int | None:
        """How many an endpoint has; None while it is not InService."""
        found = self.endpoint(application)
        if not found or found["EndpointStatus"] != "InService":
            return None
        return int(found["ProductionVariants"][0]["CurrentInstanceCount"])

    def endpoint(self, application: str) -> dict[str, Any] | None:
        client = self.client("sagemaker")
        names = [e["EndpointName"] for e in client.list_endpoints(MaxResults=100)["Endpoints"]]
        name = f"{application}-{self.name}"
        if name not in names:
            return None
        try:
            description = client.describe_endpoint(EndpointName=name)
        except ClientError as error:
            if "Could not find" not in str(error):
                raise
            return None  # deleted since it was listed
        return {key: value for key, value in description.items() if key != "ResponseMetadata"}

    def scaling(self, application: str) -> dict[str, list[dict[str, Any]]]:
        """What scales the application's endpoint, without what Application Auto Scaling fills in itself."""
        client, resource = (
            self.client("application-autoscaling"),
            f"endpoint/{application}-{self.name}/variant/AllTraffic",
        )
        found = {
            "targets": client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource]),
            "policies": client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource),
            "actions": client.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=resource),
        }
        ours = {
            "ServiceNamespace",
            "ResourceId",
            "ScalableDimension",
            "CreationTime",
            "RoleARN",
            "ScalableTargetARN",
            "PolicyARN",
            "ScheduledActionARN",
            "Alarms",
        }
        return {
            kind: [
                {
                    key: value
                    for key, value in item.items()
                    if key not in ours and (key != "SuspendedState" or any(value.values()))
                }
                for items in answer.values()
                if isinstance(items, list)
                for item in items
            ]
            for kind, answer in found.items()
        }

    def answer(self, application: str) -> Any:
        body = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=f"{application}-{self.name}", Body=b"{}", ContentType="application/json"
        )["Body"]
        return json.loads(body.read())

    def items(self, kind: str) -> list[dict[str, str]]:
        found = self.client("dynamodb").query(
            TableName=self.table,
            KeyConditionExpression="kind = :kind",
            ExpressionAttributeValues={":kind": {"S": kind}},
            ConsistentRead=True,
        )["Items"]
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in found]

    def running(self, application: str) -> list[dict[str, str]]:
        return [item for item in self.items("lock") if item["key"] == f"{application}-{self.name}"]

    def live(self, application: str) -> dict[str, str] | None:
        found = [item for item in self.items("live") if item["key"] == f"{application}-{self.name}"]
        return found[0] if found else None

    def history(self, application: str) -> list[dict[str, str]]:
        return self.items(f"history#{application}-{self.name}")


@dataclasses.dataclass
class Lab:
    """The account that trains, as a data scientist uses it."""

    def client(self, service: str) -> Any:
        return _operators_client(service, DEV, accounts.endpoint_url())

    def upload(self, key: str, body: bytes, **request: Any) -> str:
        self.client("s3").put_object(Bucket=DEV_BUCKET, Key=key, Body=body, **request)
        return f"s3://{DEV_BUCKET}/{key}"

    def upload_as_sdk(self, key: str, body: bytes, **encryption: str) -> str:
        """Upload as the SDK uploads code and SageMaker a job's output: with KMS, and by default with the key aws/s3."""
        return self.upload(key, body, **(encryption or {"ServerSideEncryption": "aws:kms"}))

    def push(self, repository: str, tag: str, layer: bytes = b"a layer") -> str:
        """An image in the lab's registry under a tag, taken from another image if it has it; its digest."""
        ecr = self.client("ecr")
        registries.ensure_repository(ecr, repository)
        return registries.push_image(ecr, repository, [layer, repository.encode()], tag)

    def by_digest(self, image: str) -> str:
        """An image of the lab's registry by its digest; one of AWS's, or one that is by digest already, as it is."""
        if "@" in image or not image.startswith(ECR):
            return image
        name, tag = image.rsplit(":", 1)
        wanted = {"repositoryName": name.partition("/")[2], "imageIds": [{"imageTag": tag}]}
        return f"{name}@{self.client('ecr').batch_get_image(**wanted)['images'][0]['imageId']['imageDigest']}"

    def create_model(self, name: str, **container: Any) -> None:
        """Create a model of one container."""
        self.client("sagemaker").create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, **container}
        )

    def suite(self, application: str, expect: str) -> str:
        suite = {"cases": [{"name": "answers", "body": {}, "expect": expect, "maximum_latency_ms": 30000}]}
        return self.upload(f"{application}/smoke-test-{abs(hash(expect))}.json", json.dumps(suite).encode())

    def artifact(self, label: str, script: str = ECHO_LABEL) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, text in {"label.txt": label, "code/inference.py": script}.items():
                content = text.encode()
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return packed.getvalue()

    def train(
        self,
        application: str,
        label: str,
        *,
        script: str = ECHO_LABEL,
        expect: str | None = None,
        tagged: bool = True,
        image: str = IMAGE,
        role: str = ROLE,
        metrics: dict[str, float] | None = None,
        encryption: dict[str, str] | None = None,
    ) -> str:
        """A completed training job whose model answers {"label": <label>}; its name."""
        job = f"{application}-{label}-{datetime.datetime.now(datetime.UTC):%H%M%S%f}"
        trains: dict[str, Any] = {}
        if metrics:
            trains, image = self._training(job, label, metrics), SKLEARN
        else:
            self.upload_as_sdk(f"{job}/output/model.tar.gz", self.artifact(label, script), **encryption or {})
        tags = {"team": "reviews"}
        if tagged:
            tags |= {
                "model-promotion:application": application,
                "model-promotion:smoke-test": self.suite(application, expect or f"label == '{label}'"),
            }
        self.client("sagemaker").create_training_job(
            TrainingJobName=job,
            AlgorithmSpecification={
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": name, "Regex": f"{name}=([0-9.]+);"} for name in metrics or {}],
            },
            HyperParameters=trains,
            RoleArn=role,
            OutputDataConfig={"S3OutputPath": f"s3://{DEV_BUCKET}"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        assert self.ended(job) == "Completed"
        return job

    def _training(self, job: str, label: str, metrics: dict[str, float]) -> dict[str, str]:
        """The hyperparameters of a job that really trains, and writes its metrics into its log."""
        return {
            "sagemaker_program": "code/inference.py",
            "sagemaker_submit_directory": self.upload_as_sdk(f"{job}/sourcedir.tar.gz", self.artifact(label, TRAINS)),
            "label": label,
            "say": " ".join(f"{name}={value};" for name, value in metrics.items()),
        }

    def ended(self, job: str) -> str:
        """The status a training job ends with."""

        def look() -> str | None:
            status = str(self.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobStatus"])
            return status if status not in ("InProgress", "Stopping") else None

        return wait_until(look, f"the end of {job}")


def deploy() -> None:
    """Deploy the project's stacks, and push the images that the lab's models are served by, which QA may pull."""
    arns = [f"arn:aws:ecr:{accounts.REGION}:{DEV}:repository/{name}" for name in ("echo", "team/*")]
    images = {"RepositoryArns": ",".join(arns), "FurtherAccountIds": PRODUCTION}
    stacks.deploy(lambda _: None, images | {"CreateArtifactKey": "true"})
    for repository, tag in (("echo", "1"), ("team/server", "1.0"), ("team/second", "2")):
        Lab().push(repository, tag)
