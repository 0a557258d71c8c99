"""An account for training and hosting models: a bucket, an execution role and small models."""

from __future__ import annotations

import datetime
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.waiting import wait_for

IMAGE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
VARIANT = "AllTraffic"
PING_FAILED = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SCRIPT = """
import json, os, pathlib

def model_fn(model_dir):
    return pathlib.Path(model_dir, "greeting.txt").read_text()

def predict_fn(name, greeting):
    if name == "nobody":
        raise ValueError("nobody is not welcome")
    return f"{greeting} {name}"
"""
UNRESPONSIVE = SCRIPT.replace("def model_fn(model_dir):", "def model_fn(model_dir):\n    import time; time.sleep(600)")
EXIT_ON_BOMB = SCRIPT.replace('    if name == "nobody"', '    if name == "bomb": os._exit(3)\n    if name == "nobody"')


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def greeter(greeting: str, script: str = SCRIPT) -> bytes:
    """Return a model.tar.gz that greets."""
    return archive({"greeting.txt": greeting, "code/inference.py": script})


class Account:
    """The actions of a test in an account. `name` makes the names of its resources unique."""

    def __init__(self, stage: str, name: str) -> None:
        self.id = accounts.ACCOUNTS[stage]
        self.name = name
        self.bucket = f"models-{name}"
        self.sagemaker = self.client("sagemaker")
        self.runtime = self.client("sagemaker-runtime")
        self.s3 = self.client("s3")
        self.iam = self.client("iam")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
        self.role_arn = self.role(f"execution-{name}")

    def client(self, service: str) -> Any:
        return clients.client_as_operator(service, self.id)

    def role(self, name: str, trust: dict[str, Any] = TRUST, actions: tuple[str, ...] = ()) -> str:
        """Create an execution role with the permissions in SageMaker's documentation, or only the `actions`."""
        allowed = actions or (
            "s3:GetObject",
            "s3:PutObject",
            "s3:ListBucket",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "ecr:GetAuthorizationToken",
            "ecr:BatchGetImage",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "cloudwatch:DescribeAlarms",
        )
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        statement = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=json.dumps(policy))
        return str(role["Arn"])

    def put(self, key: str, content: bytes | str) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def exists(self, uri: str) -> bool:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bool(self.s3.list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount"))

    def model(self, suffix: str, artifact: bytes, request: dict[str, Any] | None = None, **container: Any) -> str:
        """Create a model `<name>-<suffix>` and its artifact, and return its name."""
        name = f"{self.name}-{suffix}"
        url = self.put(f"{name}/model.tar.gz", artifact)
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.role_arn,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url, **container},
            **(request or {}),
        )
        return name

    def config(self, model: str, count: int = 1, **request: Any) -> str:
        """Create an endpoint config with the model's name, and return the name."""
        variant = {
            "VariantName": VARIANT,
            "ModelName": model,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": count,
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=model, **({"ProductionVariants": [variant]} | request))
        return model

    def greeter_config(self, suffix: str, greeting: str, script: str = SCRIPT, count: int = 1) -> str:
        return self.config(self.model(suffix, greeter(greeting, script)), count)

    def endpoint(self, config: str, **request: Any) -> str:
        """Create an endpoint, wait until it is in service, and return its name."""
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=config, **request)
        assert self.settled()["EndpointStatus"] == "InService"
        return self.name

    def update(self, config: str, **request: Any) -> None:
        self.sagemaker.update_endpoint(EndpointName=self.name, EndpointConfigName=config, **request)

    def describe(self) -> dict[str, Any]:
        description: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self.name)
        return description

    def settled(self) -> dict[str, Any]:
        """Wait for the end of the current change, and return the endpoint's description."""
        return self.statuses()[1]

    def statuses(self) -> tuple[list[str], dict[str, Any]]:
        """Wait for the end of the current change, and return the endpoint's statuses and its description."""
        seen: list[str] = []

        def stable() -> dict[str, Any] | None:
            description = self.describe()
            status = description["EndpointStatus"]
            if seen[-1:] != [status]:
                seen.append(status)
            return None if status.endswith(("ing", "RollingBack")) else description

        return seen, wait_for(stable)

    def greet(self, person: str = "Ada", **request: Any) -> str:
        response = self.runtime.invoke_endpoint(
            EndpointName=self.name, ContentType="application/json", Body=json.dumps(person).encode(), **request
        )
        greeting: str = json.loads(response["Body"].read())
        return greeting

    def metric(self, name: str, **dimensions: str) -> dict[str, Any]:
        """Return the sum, the average and the number of the values of a metric, or {} if there are none."""
        now = datetime.datetime.now(datetime.UTC)
        found = self.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=now - datetime.timedelta(hours=1),
            EndTime=now + datetime.timedelta(hours=1),
            Period=86_400,
            Statistics=["Sum", "Average", "SampleCount"],
        )["Datapoints"]
        return dict(found[0]) if found else {}

    def log(self, group: str) -> list[str]:
        """Return all lines of a log group."""
        logs = self.client("logs")
        try:
            streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        ]


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """Return the code and the message of a call's error."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def arn(account: Account, kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:eu-west-1:{account.id}:{kind}/{name.lower()}"
