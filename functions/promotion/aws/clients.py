"""The AWS clients of the functions, with time-outs, retries and access to the upstream account."""

from __future__ import annotations

import functools
from typing import Any

from botocore.config import Config

from promotion.aws import sdk

# Shorter than any function's time-out, so that a hanging request becomes an error that can be retried.
CONFIG = Config(connect_timeout=5, read_timeout=55, retries={"mode": "standard", "total_max_attempts": 6})


@functools.cache
def client(service: str) -> Any:
    """Return the client for a service in this account."""
    return sdk.session().client(service, config=CONFIG)


def upstream_client(role_arn: str, external_id: str, session_name: str, service: str) -> Any:
    """Return a client for the upstream account, with the credentials of its reader role for this stage.

    `session_name` appears in the upstream account's CloudTrail. It is truncated to the 64 characters that STS allows.
    """
    credentials = client("sts").assume_role(
        RoleArn=role_arn, ExternalId=external_id, RoleSessionName=session_name[:64], DurationSeconds=900
    )["Credentials"]
    return sdk.session().client(
        service,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=CONFIG,
    )
