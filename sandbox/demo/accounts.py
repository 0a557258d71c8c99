"""The accounts of the demo, used through AWS's APIs with the profile of each account's operator.

`make e2e` plays the same story in real accounts.
"""

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
# AWS's scikit-learn image for training and inference. The embedded AWS runs only the scripts, not the image.
_IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
# Without retries, so that the demo shows every error.
_CONFIG = Config(retries={"total_max_attempts": 1})
_ACCURACY = "validation:accuracy"


@dataclasses.dataclass
class Patience:
    """How long to wait for AWS, and the interval between two calls, in seconds."""

    seconds: float = 180.0
    poll_seconds: float = 0.1


patience = Patience()
"""That of the demo. Real accounts take longer."""


class OutcomeError(Exception):
    """A result of the demo is not the expected one."""


class TooSlowError(OutcomeError):
    """A result of the demo is late."""


def expect(condition: bool, expected: str, actual: str) -> None:
    """Raise OutcomeError with the two descriptions unless `condition` is true."""
    if not condition:
        raise OutcomeError(f"Expected: {expected}\nActual: {actual}")


def wait_for[T](poll: Callable[[], T | None], expected: str) -> T:
    """Call `poll` until it returns a value and return the value; raise TooSlowError when `patience` ends."""
    ends = time.monotonic() + patience.seconds
    while (value := poll()) is None:
        if time.monotonic() >= ends:
            raise TooSlowError(f"Expected: {expected}\nActual: none after {patience.seconds:.0f} seconds")
        time.sleep(patience.poll_seconds)
    return value


class Account:
    """An account, used with the profile of its operator. `name` is the profile, or the stage that it contains."""

    def __init__(self, profile: str, name: str = "", config: Config = _CONFIG) -> None:
        self.name = name or profile
        self.label = "QA" if self.name == "qa" else self.name
        self._config = config
        self._session = boto3.session.Session(profile_name=profile)
        self._clients: dict[str, Any] = {}
        self.number: str = self.client("sts").get_caller_identity()["Account"]

    def client(self, service: str) -> Any:
        """Return a boto3 client with the credentials of the account's operator."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, config=self._config)
        return self._clients[service]

    @property
    def region(self) -> str:
        """The Region of the profile."""
        return str(self._session.region_name)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """A completed training job."""

    name: str
    hyperparameters: dict[str, str]
    accuracy: float


class DevAccount(Account):
    """The dev account, used by a data scientist.

    The defaults of `bucket`, `role` (an ARN) and `image` are those of the demo: the default bucket of SageMaker's SDK,
    the role of sandbox.stacks and AWS's scikit-learn image.
    """

    def __init__(
        self,
        profile: str,
        name: str = "",
        config: Config = _CONFIG,
        *,
        bucket: str = "",
        role: str = "",
        image: str = _IMAGE,
    ) -> None:
        super().__init__(profile, name, config)
        self.bucket = bucket or f"sagemaker-{self.region}-{self.number}"
        self._role = role or f"arn:aws:iam::{self.number}:role/{stacks.TRAINING_ROLE}"
        self._image = image

    def upload_data(self) -> int:
        """Upload the training data and the smoke test, and return the number of words in the training data."""
        with tempfile.TemporaryDirectory() as directory:
            data.write(Path(directory))
            for path in Path(directory).rglob("*.csv"):
                self._upload(f"data/{path.relative_to(directory).as_posix()}", path.read_bytes())
            words = len((Path(directory) / "train" / "train.csv").read_text(encoding="utf-8").splitlines()) - 1
        self._upload("smoke-test.json", (EXAMPLE / "smoke-test.json").read_bytes())
        return words

    def start_training(
        self,
        hyperparameters: dict[str, str],
        inference: Path = EXAMPLE / "inference.py",
        *,
        application: str = APPLICATION,
    ) -> str:
        """Start a training job with the example's scripts and the inference script `inference`, and return its name.

        `application` is the value of its application tag.
        """
        # As the SageMaker SDK names its jobs, with milliseconds.
        name = f"{APPLICATION}-{datetime.datetime.now(datetime.UTC):%Y-%m-%d-%H-%M-%S-%f}"[:-3]
        # As SageMaker's SDK does without a key of one's own (fw_utils.tar_and_upload_dir).
        code = _source_archive(inference)
        source = self._upload(f"{name}/source/sourcedir.tar.gz", code, ServerSideEncryption="aws:kms")
        self.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={
                "TrainingImage": self._image,
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
            RoleArn=self._role,
            StoppingCondition={"MaxRuntimeInSeconds": 600},
            Tags=[
                {"Key": "model-promotion:application", "Value": application},
                {"Key": "model-promotion:smoke-test", "Value": f"s3://{self.bucket}/{APPLICATION}/smoke-test.json"},
            ],
        )
        return name

    def describe(self, job: str) -> dict[str, Any]:
        """Return the description of a training job."""
        return dict(self.client("sagemaker").describe_training_job(TrainingJobName=job))

    def completed(self, job: str) -> TrainingJob:
        """Return the hyperparameters and the accuracy of a completed training job."""
        description = self.describe(job)
        metrics = {metric["MetricName"]: metric["Value"] for metric in description.get("FinalMetricDataList", [])}
        expect(_ACCURACY in metrics, f"{job} to have the metric {_ACCURACY}", f"{sorted(metrics) or 'no metric'}")
        hyperparameters = {k: v for k, v in description["HyperParameters"].items() if not k.startswith("sagemaker_")}
        return TrainingJob(job, hyperparameters, metrics[_ACCURACY])

    def _channel(self, name: str) -> dict[str, Any]:
        uri = f"s3://{self.bucket}/{APPLICATION}/data/{name}"
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}

    def _upload(self, name: str, body: bytes, **request: Any) -> str:
        key = f"{APPLICATION}/{name}"
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body, **request)
        return f"s3://{self.bucket}/{key}"


def _source_archive(inference: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("train.py", "classifier.py"):
            tar.add(EXAMPLE / name, arcname=name)
        tar.add(inference, arcname="inference.py")
    return packed.getvalue()


@dataclasses.dataclass(frozen=True)
class Execution:
    """An ended execution of a state machine, and its last state."""

    name: str
    started: datetime.datetime
    status: str
    last_state: str
    output: Any
    error: str
    cause: str


class Stage(Account):
    """A stage in an account, used by its operators. Without a name, it has that of the profile."""

    def __init__(self, profile: str, name: str = "", config: Config = _CONFIG) -> None:
        super().__init__(profile, name, config)
        self.endpoint = f"{APPLICATION}-{self.name}"
        stack = self.client("cloudformation").describe_stacks(StackName=f"model-promotion-{self.name}")["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._state_machine = outputs["StateMachineArn"]
        self._table = outputs["PromotionTableName"]
        self._seen: set[str] = set()

    def execution_with(self, text: str) -> str | None:
        """Return the ARN of the oldest execution with `text` in its input that was not returned before, or None."""
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
        """Return the events of an execution."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def ended(self, arn: str, last_state: str) -> Execution | None:
        """Return an execution, or None while it is running."""
        description = self.client("stepfunctions").describe_execution(executionArn=arn)
        if description["status"] == "RUNNING":
            return None
        return Execution(
            name=description["name"],
            started=description["startDate"],
            status=description["status"],
            last_state=last_state,
            output=json.loads(description.get("output") or "null"),
            error=description.get("error") or "",
            cause=description.get("cause") or "",
        )

    def pending_approval(self, model: str) -> dict[str, Any] | None:
        """Return the runbook execution that waits for approval of a model of the previous stage, or None."""
        ssm = self.client("ssm")
        runbook = f"model-promotion-{self.name}"
        filters = [
            {"Key": "DocumentNamePrefix", "Values": [runbook]},
            {"Key": "ExecutionStatus", "Values": ["Waiting"]},
        ]
        pages = ssm.get_paginator("describe_automation_executions").paginate(Filters=filters)
        for page in pages:
            for summary in page["AutomationExecutionMetadataList"]:
                response = ssm.get_automation_execution(AutomationExecutionId=summary["AutomationExecutionId"])
                execution: dict[str, Any] = response["AutomationExecution"]
                if execution["DocumentName"] == runbook and execution["Parameters"]["SourceName"] == [model]:
                    return execution
        return None

    def approval_message(self, approval: dict[str, Any]) -> str:
        """Return the message to the approvers."""
        inputs = next(step["Inputs"] for step in approval["StepExecutions"] if step["Action"] == "aws:approve")
        return str(json.loads(inputs["Message"]))

    def decide(self, approval: str, signal: str, comment: str) -> None:
        """Send the signal `Approve` or `Reject` as the operator of the account."""
        self.client("ssm").send_automation_signal(
            AutomationExecutionId=approval, SignalType=signal, Payload={"Comment": [comment]}
        )

    def serving(self) -> str | None:
        """Return the name of the model that the endpoint serves, or None if there is no endpoint."""
        sagemaker = self.client("sagemaker")
        try:
            endpoint = sagemaker.describe_endpoint(EndpointName=self.endpoint)
        except ClientError as error:
            if "Could not find" in error.response["Error"]["Message"]:
                return None
            raise
        status = endpoint["EndpointStatus"]
        expect(status == "InService", f"the endpoint {self.endpoint} to be InService", status)
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        return str(config["ProductionVariants"][0]["ModelName"])

    def classify(self, texts: list[str]) -> list[tuple[str, float]]:
        """Return the endpoint's label and score (the probability of `positive`) for each text."""
        response = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=self.endpoint, ContentType="application/json", Body=json.dumps({"texts": texts})
        )
        body = json.loads(response["Body"].read())
        return list(zip(body["labels"], body["scores"], strict=True))

    def error_in_log(self, since: datetime.datetime) -> str | None:
        """Return the last error in the endpoint's log since that time, or None."""
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
        """Yield the promotion records of the live models."""
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
