"""An AWS account under test: its clients, temporary resources that are deleted afterwards, and waiting."""

from __future__ import annotations

import io
import json
import secrets
import threading
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.deployed.ledger import Ledger

# All temporary resources have names with this prefix.
PREFIX = "mp-probe"
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=50)
# "Changes that I make are not always immediately visible" (IAM user guide, troubleshoot).
_IAM_SECONDS = 90.0
Statement = dict[str, Any]


class StoppedError(Exception):
    """The run was interrupted."""


class NotModeledError(Exception):
    """The embedded AWS has nothing that corresponds to the behavior; the message is the reason."""


class Account:
    """The account of a profile. `stage` is the name of the deployed stage, `run` makes names unique."""

    def __init__(self, session: Any, stage: str, file: Path, stop: threading.Event | None = None) -> None:
        self.stage = stage
        self.run = uuid.uuid4().hex[:8]
        self.ledger = Ledger(file, self.client)
        self.shared: dict[str, Any] = {}  # resources that the probes of a group share
        self._session = session
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._external_id = secrets.token_hex(16)
        identity = self.client("sts").get_caller_identity()
        self.number = str(identity["Account"])
        self.caller = str(identity["Arn"])
        self.partition = self.caller.split(":")[1]
        self.region = str(session.region_name)
        self.is_embedded = urlsplit(self.client("sts").meta.endpoint_url).hostname in ("127.0.0.1", "localhost")

    def client(self, service: str, credentials: dict[str, str] | None = None, *, retries: bool = True) -> Any:
        """Return a client of the profile, or one with other credentials."""
        key = f"{service} {retries} {json.dumps(credentials)}"
        with self._lock:
            if key not in self._clients:
                config = _CONFIG if retries else _CONFIG.merge(Config(retries={"total_max_attempts": 1}))
                if credentials:
                    # The embedded AWS has one address for all services, so buckets are in the path.
                    own = self._session._session.get_scoped_config()
                    if url := own.get("endpoint_url"):
                        config = config.merge(Config(s3={"addressing_style": "path"}))
                    self._clients[key] = boto3.session.Session(region_name=self._session.region_name).client(
                        service, config=config, endpoint_url=url, **credentials
                    )
                else:
                    self._clients[key] = self._session.client(service, config=config)
            return self._clients[key]

    def name(self, label: str) -> str:
        """Return the name of a temporary resource: unique, in lower case, up to 32 characters with a short label."""
        return f"{PREFIX}-{self.run}-{label}"

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.number}:{resource}"

    def wait[T](self, poll: Callable[[], T | None], what: str, seconds: float = 1800.0) -> T:
        """Return the first value of `poll` that is not None. Raise TimeoutError, or StoppedError if interrupted."""
        ends = time.monotonic() + seconds
        while (value := poll()) is None:
            if time.monotonic() > ends:
                raise TimeoutError(f"Waited {seconds:.0f} seconds for {what}.")
            self.pause(0.05 if self.is_embedded else 3.0)
        return value

    def pause(self, seconds: float) -> None:
        """Wait. Raise StoppedError if the run is interrupted."""
        if self._stop.wait(seconds):
            raise StoppedError

    def settling[T](self, call: Callable[[], T], *expected: str, seconds: float = _IAM_SECONDS) -> T:
        """Return the result of `call`, which fails with one of the `expected` texts until IAM has settled."""

        def attempt() -> tuple[T] | None:
            try:
                return (call(),)
            except ClientError as error:
                if time.monotonic() > ends or not any(text in str(error) for text in expected):
                    raise
                return None

        ends = time.monotonic() + seconds
        return self.wait(attempt, "IAM")[0]

    def role(self, label: str, statements: list[Statement], trust: Statement | None = None) -> str:
        """Create a role, and return its ARN. Without a `trust` statement, only this run can assume it."""
        name, iam = self.name(label), self.client("iam")
        if trust is None:
            principal = {"AWS": f"arn:{self.partition}:iam::{self.number}:root"}
            trust = {
                "Effect": "Allow",
                "Principal": principal,
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": self._external_id}},
            }
        self.ledger.add("iam", "delete_role", RoleName=name)
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="probe", PolicyDocument=document(*statements))
        return str(arn)

    def session_of(self, role: str, *allowed: Statement) -> dict[str, str]:
        """Return the credentials of a session of a role, with only the `allowed` statements if there are any."""
        request = {"RoleArn": role, "RoleSessionName": "probe", "ExternalId": self._external_id}
        if allowed:
            request["Policy"] = document(*allowed)
        found = self.settling(lambda: self.client("sts").assume_role(**request), "AccessDenied")["Credentials"]
        return {
            "aws_access_key_id": found["AccessKeyId"],
            "aws_secret_access_key": found["SecretAccessKey"],
            "aws_session_token": found["SessionToken"],
        }

    def bucket(self, label: str, **encryption: str) -> str:
        """Create a bucket, with these defaults of its encryption, and return its name."""
        name, s3 = f"{self.name(label)}-{self.number}", self.client("s3")
        location = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
        self.ledger.add("s3", "delete_bucket", Bucket=name)
        s3.create_bucket(Bucket=name, **({"CreateBucketConfiguration": location} if location else {}))
        if encryption:
            rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": encryption}]}
            s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules)
        return name

    def queue(self, label: str, principal: str = "events.amazonaws.com") -> tuple[str, str]:
        """Create a queue that a service can send to, and return its URL and its ARN."""
        name, sqs = self.name(label), self.client("sqs")
        arn = self.arn("sqs", name)
        policy = document(allow("sqs:SendMessage", arn, Principal={"Service": principal}))
        url = str(sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"])
        self.ledger.add("sqs", "delete_queue", QueueUrl=url)
        return url, arn

    def rule(self, label: str, pattern: dict[str, Any], target: dict[str, Any], bus: str = "default") -> str:
        """Create a rule with one target, and return its ARN."""
        name, events = self.name(label), self.client("events")
        self.ledger.add("events", "delete_rule", Name=name, EventBusName=bus)
        arn = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "probe", **target}])
        return str(arn)

    def messages(self, queue: str, count: int, seconds: float = 300.0) -> list[str]:
        """Return the bodies of the first `count` messages of a queue, by its URL, or those that arrive in time."""
        found: list[str] = []
        ends = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < ends:
            received = self.client("sqs").receive_message(
                QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0 if self.is_embedded else 10
            )
            for message in received.get("Messages", []):
                found.append(message["Body"])
                self.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            self.pause(0.05)
        return found

    def function(self, label: str, code: str, role: str, timeout: int = 3, memory: int = 128) -> str:
        """Create a Lambda function with the handler `handler`, and return its ARN."""
        name, client = self.name(label), self.client("lambda")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(zipfile.ZipInfo("probe.py", (1980, 1, 1, 0, 0, 0)), code)
        self.ledger.add("logs", "delete_log_group", logGroupName=f"/aws/lambda/{name}")
        self.ledger.add("lambda", "delete_function", FunctionName=name)

        def create() -> Any:
            return client.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=role,
                Handler="probe.handler",
                Code={"ZipFile": content.getvalue()},
                Timeout=timeout,
                MemorySize=memory,
                Architectures=["arm64"],
            )

        arn = str(self.settling(create, "cannot be assumed by Lambda")["FunctionArn"])

        def active() -> bool | None:
            state = client.get_function_configuration(FunctionName=name).get("State", "Active")
            return None if state == "Pending" else True

        self.wait(active, f"the function {name}")
        return arn

    def machine(self, label: str, definition: dict[str, Any], role: str, **options: Any) -> str:
        """Create a state machine, and return its ARN."""
        name, client = self.name(label), self.client("stepfunctions")
        self.ledger.add(
            "stepfunctions", "delete_state_machine", stateMachineArn=self.arn("states", f"stateMachine:{name}")
        )

        def create() -> Any:
            return client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role, **options)

        return str(self.settling(create, "AccessDenied", "is not authorized to assume")["stateMachineArn"])

    def execution(self, machine: str, given: Any) -> dict[str, Any]:
        """Run a state machine, and return the description of its execution when it has ended."""
        client = self.client("stepfunctions")
        arn = client.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]

        def ended() -> dict[str, Any] | None:
            found = dict(client.describe_execution(executionArn=arn))
            return None if found["status"] == "RUNNING" else found

        return self.wait(ended, f"the end of {arn}")

    def outputs(self) -> dict[str, str]:
        """Return the outputs of the stage's stack."""
        stacks = self.client("cloudformation").describe_stacks(StackName=f"model-promotion-{self.stage}")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> Statement:
    """Return a policy statement that allows an action."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trusting(service: str, **condition: Any) -> Statement:
    """Return a trust statement for a service."""
    statement = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return statement | ({"Condition": condition} if condition else {})


def document(*statements: Statement) -> str:
    """Return a policy as JSON."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def error_of(call: Callable[[], Any]) -> str:
    """Return the error code of a call, or "accepted"."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "accepted"
