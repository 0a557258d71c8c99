"""The example in the README of the embedded AWS works as shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from embedded_aws import aws
from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel.accounts import ACCOUNTS
from tests.embedded_aws.support.customers import client, make_role

ROOT = Path(__file__).parents[2]
README = (ROOT / "embedded_aws/README.md").read_text()


def test_the_example_runs(tmp_path: Path) -> None:
    for name, content in re.findall(r"<!-- ([\w./]+) -->\n```\w+\n(.*?)```", README, re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_greet.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_every_service_is_in_the_table() -> None:
    listed = set(re.findall(r"\]\(services/(\w+)", README))

    assert {service.__name__.split(".")[2] for service in aws.SERVICES} <= listed


CALLS = """
import boto3
role, bucket = "{role}", "{bucket}"
iam = boto3.client("iam")
assert iam.get_role(RoleName=role.rpartition("/")[2])["Role"]["Arn"] == role
boto3.resource("s3").meta.client.head_bucket(Bucket=bucket)
pages = iam.get_paginator("simulate_principal_policy").paginate(
    PolicySourceArn=role, ActionNames=["ecr:GetAuthorizationToken", "ec2:DescribeVpcs"]
)
for page in pages:
    for result in page["EvaluationResults"]:
        print(result["EvalActionName"], result["EvalDecision"])
print(boto3.client("sts").get_caller_identity()["Account"])
"""


def test_the_environment_leads_a_program_to_the_embedded_aws(aws: EmbeddedAws, name: str) -> None:
    """The calls are those of SageMaker's SDK before it starts a job, with a default bucket and a role."""
    block = re.findall(r"<!-- environment -->\n```sh\n(.*?)```", README, re.DOTALL)[0]
    lines = dict(line.split("=", 1) for line in re.findall(r"\w+=\S+", block))
    role = make_role(name, ACCOUNTS["dev"], "ecr:GetAuthorizationToken", "sagemaker.amazonaws.com")
    bucket = f"{name}-bucket"
    configuration = {"LocationConstraint": "eu-west-1"}
    client("s3", ACCOUNTS["dev"]).create_bucket(Bucket=bucket, CreateBucketConfiguration=configuration)
    given = {key: value.replace("<directory>", str(aws.directory)) for key, value in lines.items()}

    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", CALLS.format(role=role, bucket=bucket)],
        env={key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | given,
        capture_output=True,
        text=True,
    )

    assert done.stdout.split("\n")[:3] == [
        "ecr:GetAuthorizationToken allowed",
        "ec2:DescribeVpcs implicitDeny",
        ACCOUNTS["dev"],
    ], done.stderr


def test_the_file_that_turns_telemetry_off_is_the_schema_of_the_sdk() -> None:
    """SDK 2.257.0 and 3.27.0 start jobs with these blocks, and report nothing with this file."""
    content = yaml.safe_load(re.findall(r"<!-- sagemaker.yaml -->\n```yaml\n(.*?)```", README, re.DOTALL)[0])

    assert content == {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
