"""The accounts as the people of the demo see them: through AWS's APIs, each with the operator's profile of its own."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from examples.reviews import data
from sandbox import stacks

APPLICATION = "reviews"
EXAMPLE = stacks.ROOT / "examples" / "reviews"
# AWS's image with scikit-learn: one that trains and serves. Here nothing of it runs but the scripts.
_IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
# What fails is to be seen, so nothing is tried twice.
_CONFIG = Config(retries={"total_max_attempts": 1})
_ACCURACY = "validation:accuracy"
_PATIENCE_SECONDS = 180.0
_POLL_SECONDS = 0.1


class OutcomeError(Exception):
    """Something did not come out as it has to."""


def expect(holds: bool, expected: str, found: str) -> None:
    if not holds:
        raise OutcomeError(f"Expected: {expected}\nFound:    {found}")


def wait_for[T](look: Callable[[], T | None], expected: str) -> T:
    """What `look` finds, as soon as it finds something."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while (found := look()) is None:
        expect(time.monotonic() < ends, expected, f"nothing of it after {_PATIENCE_SECONDS:.0f} seconds")
        time.sleep(_POLL_SECONDS)
    return found


class Account:
    """`profile` is one of the embedded AWS's, so the calls are those of the account's operator."""

    def __init__(self, profile: str) -> None:
        self.name = profile
        self.label = "QA" if profile == "qa" else profile
        self._session = boto3.session.Session(profile_name=profile)
        self._clients: dict[str, Any] = {}
        self.number: str = self.client("sts").get_caller_identity()["Account"]

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, config=_CONFIG)
        return self._clients[service]

    @property
    def region(self) -> str:
        return str(self._session.region_name)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    name: str
    hyperparameters: dict[str, str]
    accuracy: float


class Lab(Account):
    """The account that trains, as a data scientist uses it."""

    @property
    def bucket(self) -> str:
        return f"sagemaker-{self.region}-{self.number}"

    def upload_data(self) -> int:
        """Put the training data and the smoke test into the bucket; how many words there are to learn from."""
        with tempfile.TemporaryDirectory() as directory:
            data.write(Path(directory))
            for path in Path(directory).rglob("*.csv"):
                self._upload(f"data/{path.relative_to(directory).as_posix()}", path.read_bytes())
            words = len((Path(directory) / "train" / "train.csv").read_text(encoding="utf-8").splitlines()) - 1
        self._upload("smoke-test.json", (EXAMPLE / "smoke-test.json").read_bytes())
        return words

    def start_training(self, hyperparameters: dict[str, str], inference: Path = EXAMPLE / "inference.py") -> str:
        """Start a training job with the example's scripts, `inference` being the one that serves; its name."""
        name = f"{APPLICATION}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
        source = self._upload(f"{name}/source/sourcedir.tar.gz", _packed_source(inference))
        self.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={
                "TrainingImage": _IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": _ACCURACY, "Regex": f"{_ACCURACY}=([0-9.]+)"}],
            },
            HyperParameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": source,
                **hyperparameters,
            },
            InputDataConfig=[self._channel("train"), self._channel("validation")],
            OutputDataConfig={"S3OutputPath": f"s3://{self.bucket}/{APPLICATION}"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            RoleArn=f"arn:aws:iam::{self.number}:role/{stacks.TRAINING_ROLE}",
            StoppingCondition={"MaxRuntimeInSeconds": 600},
            Tags=[
                {"Key": "model-promotion:application", "Value": APPLICATION},
                {"Key": "model-promotion:smoke-test", "Value": f"s3://{self.bucket}/{APPLICATION}/smoke-test.json"},
            ],
        )
        return name

    def describe(self, job: str) -> dict[str, Any]:
        return dict(self.client("sagemaker").describe_training_job(TrainingJobName=job))

    def trained(self, job: str) -> TrainingJob:
        """A job that has completed."""
        description = self.describe(job)
        metrics = {metric["MetricName"]: metric["Value"] for metric in description.get("FinalMetricDataList", [])}
        expect(_ACCURACY in metrics, f"{job} to have the metric {_ACCURACY}", f"{sorted(metrics) or 'no metric'}")
        own = {k: v for k, v in description["HyperParameters"].items() if not k.startswith("sagemaker_")}
        return TrainingJob(job, own, metrics[_ACCURACY])

    def _channel(self, name: str) -> dict[str, Any]:
        uri = f"s3://{self.bucket}/{APPLICATION}/data/{name}"
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}

    def _upload(self, name: str, body: bytes) -> str:
        key = f"{APPLICATION}/{name}"
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"


def _packed_source(inference: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("train.py", "classifier.py"):
            tar.add(EXAMPLE / name, arcname=name)
        tar.add(inference, arcname="inference.py")
    return packed.getvalue()


@dataclasses.dataclass(frozen=True)
class Execution:
    """An execution of a state machine that has ended, and the last state it was in."""

    name: str
    started: datetime.datetime
    status: str
    last_state: str
    output: Any
    error: str
    cause: str


class Stage(Account):
    """An account that receives models, as its operators use it."""

    def __init__(self, profile: str) -> None:
        super().__init__(profile)
        self.endpoint = f"{APPLICATION}-{profile}"
        stack = self.client("cloudformation").describe_stacks(StackName=f"model-promotion-{profile}")["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._state_machine = outputs["StateMachineArn"]
        self._table = outputs["PromotionTableName"]
        self._seen: set[str] = set()

    def execution_with(self, text: str) -> str | None:
        """The oldest execution that was not asked for before and has `text` in its input."""
        states = self.client("stepfunctions")
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=self._state_machine)
        listed = [execution for page in pages for execution in page["executions"]]
        for execution in sorted(listed, key=lambda execution: execution["startDate"]):
            arn = str(execution["executionArn"])
            if arn not in self._seen and text in states.describe_execution(executionArn=arn)["input"]:
                self._seen.add(arn)
                return arn
        return None

    def history(self, execution: str) -> list[dict[str, Any]]:
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def ended(self, arn: str, last_state: str) -> Execution | None:
        found = self.client("stepfunctions").describe_execution(executionArn=arn)
        if found["status"] == "RUNNING":
            return None
        return Execution(
            name=found["name"],
            started=found["startDate"],
            status=found["status"],
            last_state=last_state,
            output=json.loads(found.get("output") or "null"),
            error=found.get("error") or "",
            cause=found.get("cause") or "",
        )

    def waiting_approval(self, model: str) -> dict[str, Any] | None:
        """The runbook's execution that waits for someone to let this model of the stage before in."""
        ssm = self.client("ssm")
        runbook = f"model-promotion-{self.name}"
        filters = [
            {"Key": "DocumentNamePrefix", "Values": [runbook]},
            {"Key": "ExecutionStatus", "Values": ["Waiting"]},
        ]
        pages = ssm.get_paginator("describe_automation_executions").paginate(Filters=filters)
        for page in pages:
            for summary in page["AutomationExecutionMetadataList"]:
                found = ssm.get_automation_execution(AutomationExecutionId=summary["AutomationExecutionId"])
                execution: dict[str, Any] = found["AutomationExecution"]
                if execution["DocumentName"] == runbook and execution["Parameters"]["SourceName"] == [model]:
                    return execution
        return None

    def approval_message(self, approval: dict[str, Any]) -> str:
        """What the approvers are told."""
        inputs = next(step["Inputs"] for step in approval["StepExecutions"] if step["Action"] == "aws:approve")
        return str(json.loads(inputs["Message"]))

    def decide(self, approval: str, signal: str, comment: str) -> None:
        """Approve or Reject, as the operator of the account."""
        self.client("ssm").send_automation_signal(
            AutomationExecutionId=approval, SignalType=signal, Payload={"Comment": [comment]}
        )

    def serving(self) -> str | None:
        """The model behind the endpoint that is in service; None where there is no endpoint."""
        sagemaker = self.client("sagemaker")
        try:
            endpoint = sagemaker.describe_endpoint(EndpointName=self.endpoint)
        except ClientError as error:
            if "Could not find" in error.response["Error"]["Message"]:
                return None
            raise
        status = endpoint["EndpointStatus"]
        expect(status == "InService", f"the endpoint {self.endpoint} to be InService", f"it is {status}")
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        return str(config["ProductionVariants"][0]["ModelName"])

    def answers(self, texts: list[str]) -> list[tuple[str, float]]:
        """What the endpoint says of each text: positive or negative, and how sure it is that it is positive."""
        response = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=self.endpoint, ContentType="application/json", Body=json.dumps({"texts": texts})
        )
        answer = json.loads(response["Body"].read())
        return list(zip(answer["labels"], answer["scores"], strict=True))

    def error_in_log(self, since: datetime.datetime) -> str | None:
        """The last error that a container of the endpoint wrote since then."""
        pages = (
            self.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=f"/aws/sagemaker/Endpoints/{self.endpoint}", startTime=round(since.timestamp() * 1000)
            )
        )
        messages = [event["message"] for page in pages for event in page["events"]]
        return next((message for message in reversed(messages) if "Error: " in message), None)

    def live(self) -> Iterator[dict[str, str]]:
        """The records of what is live."""
        pages = (
            self.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self._table,
                ConsistentRead=True,
                KeyConditionExpression="kind = :live",
                ExpressionAttributeValues={":live": {"S": "live"}},
            )
        )
        for page in pages:
            for item in page["Items"]:
                yield json.loads(item["promotion"]["S"])
