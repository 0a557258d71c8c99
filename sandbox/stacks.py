"""This project's stacks on the embedded AWS: every environment of samconfig.toml, in its order."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy as cloudformation

ROOT = Path(__file__).parent.parent
TRAINING_ROLE = "SageMakerTraining"

# What AWS takes minutes for takes a second here, so it is looked at every second.
_FASTER = {"PollSeconds": "1", "RetrySeconds": "1", "MaxRetrySeconds": "2"}

Say = Callable[[str], None]


def deploy(say: Say, parameters: dict[str, str] | None = None) -> None:
    """Deploy all stacks, each into the account of its environment: `qa-upstream` goes where `qa` goes.

    `parameters` go over those of samconfig.toml, where a template has them.
    """
    prepare_training(accounts.ACCOUNTS["dev"])
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name, environment in environments.items():
        if isinstance(environment, dict):
            _deploy(name, environment["deploy"]["parameters"], _FASTER | (parameters or {}), say)


def _deploy(name: str, settings: dict[str, Any], overrides: dict[str, str], say: Say) -> None:
    template = ROOT / str(settings.get("template_file", "template.yaml"))
    declared = template.read_text()
    given = dict(line.split("=", 1) for line in settings["parameter_overrides"])
    given |= {key: value for key, value in overrides.items() if f"\n  {key}:\n" in declared}
    account = accounts.ACCOUNTS[name.split("-")[0]]
    cloudformation.deploy(template=template, stack_name=str(settings["stack_name"]), account=account, parameters=given)
    say(f"{settings['stack_name']} deployed in account {account}")


def prepare_training(account: str) -> None:
    """What SageMaker's SDK and an account's administrator make before the first training: the bucket and the role."""
    s3 = clients.client_as_operator("s3", account)
    bucket = f"sagemaker-{accounts.REGION}-{account}"
    iam = clients.client_as_operator("iam", account)
    try:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
        iam.create_role(
            RoleName=TRAINING_ROLE,
            AssumeRolePolicyDocument=(
                '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
                '"Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}'
            ),
        )
    except ClientError as error:
        # They are there already: the stacks are deployed a second time.
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "EntityAlreadyExists"):
            raise
    iam.put_role_policy(
        RoleName=TRAINING_ROLE,
        PolicyName="Train",
        PolicyDocument=(
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
            '"Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], '
            f'"Resource": ["arn:aws:s3:::{bucket}", "arn:aws:s3:::{bucket}/*"]}}]}}'
        ),
    )
