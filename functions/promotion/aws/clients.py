"""The AWS clients of the functions: bounded in time, patient with throttling, and a session in the upstream account."""

from __future__ import annotations

import functools
from typing import Any

import boto3
from botocore.config import Config

# Less than any function's own time-out, so that a hanging request becomes an error that can be retried.
CONFIG = Config(connect_timeout=5, read_timeout=55, retries={"mode": "standard", "total_max_attempts": 6})


@functools.cache
def client(service: str) -> Any:
    """A client of this account."""
    return boto3.client(service, config=CONFIG)


def upstream_client(service: str, role_arn: str, external_id: str, session_name: str) -> Any:
    """A client that reads in the upstream account, as the role that account grants this stage.

    `session_name` shows up in the upstream account's CloudTrail; it is cut to the 64 characters that STS allows.
    """
    credentials = client("sts").assume_role(
        RoleArn=role_arn, ExternalId=external_id, RoleSessionName=session_name[:64], DurationSeconds=900
    )["Credentials"]
    return boto3.client(
        service,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=CONFIG,
    )
