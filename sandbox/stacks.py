"""Deployment of this project's stacks to the embedded AWS: all environments of samconfig.toml, in their order."""

from __future__ import annotations

import json
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

# Operations that take minutes on AWS take a second here, so the polling intervals and retry delays are short.
SHORT_INTERVALS = {"PollSeconds": "1", "RetrySeconds": "1", "MaxRetrySeconds": "2", "RecoveryWaitSeconds": "1"}

Report = Callable[[str], None]


def deploy(report: Report, parameters: dict[str, str] | None = None) -> None:
    """Deploy every stack to the account of its environment: both `qa` and `qa-upstream` to the QA account.

    `parameters` override those of samconfig.toml if the template declares them. `report` receives a line per stack.
    """
    prepare_training(accounts.ACCOUNTS["dev"])
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name, environment in environments.items():
        if isinstance(environment, dict):
            _deploy(name, environment["deploy"]["parameters"], SHORT_INTERVALS | (parameters or {}), report)


def _deploy(name: str, settings: dict[str, Any], overrides: dict[str, str], report: Report) -> None:
    template = ROOT / str(settings.get("template_file", "template.yaml"))
    body = template.read_text()
    values = dict(line.split("=", 1) for line in settings["parameter_overrides"])
    values |= {key: value for key, value in overrides.items() if f"\n  {key}:\n" in body}
    account = accounts.ACCOUNTS[name.split("-")[0]]
    cloudformation.deploy(template=template, stack_name=str(settings["stack_name"]), account=account, parameters=values)
    report(f"{settings['stack_name']} deployed to account {account}")


def register(application: str, stage: str, account: str, **parameters: str) -> None:
    """Register an application in a stage, as its operators do. `parameters` are further ones of application.yaml."""
    cloudformation.deploy(
        template=ROOT / "application.yaml",
        stack_name=f"model-promotion-{stage}-{application}",
        account=account,
        parameters={"Stage": stage, "Application": application, **parameters},
    )


def prepare_training(account: str) -> None:
    """Create the default bucket of SageMaker's SDK and a role for training jobs."""
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
        # The stacks are being deployed again.
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "EntityAlreadyExists"):
            raise
    policy = {"Version": "2012-10-17", "Statement": _training_statements(bucket, account)}
    iam.put_role_policy(RoleName=TRAINING_ROLE, PolicyName="Train", PolicyDocument=json.dumps(policy))


def _training_statements(bucket: str, account: str) -> list[dict[str, Any]]:
    through_s3 = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": f"arn:aws:kms:*:{account}:key/*",
            "Condition": through_s3,
        },
        # As in AmazonSageMakerFullAccess. Version 3 of SageMaker's SDK checks some of them before it starts a job.
        {
            "Effect": "Allow",
            "Action": [
                *(
                    f"logs:{name}"
                    for name in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
                ),
                "cloudwatch:PutMetricData",
                *(f"ecr:{name}" for name in ("GetAuthorizationToken", "BatchCheckLayerAvailability")),
                *(f"ecr:{name}" for name in ("BatchGetImage", "GetDownloadUrlForLayer")),
                *(f"ec2:{verb}NetworkInterface{rest}" for verb in ("Create", "Delete") for rest in ("", "Permission")),
                *(f"ec2:Describe{name}" for name in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets")),
                "ec2:DescribeSecurityGroups",
            ],
            "Resource": "*",
        },
    ]
