"""The AWS clients of the functions, with time-outs, retries and access to the upstream account."""

from __future__ import annotations

import functools
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from promotion.aws import denials, sdk
from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError

# Shorter than any function's time-out, so that a hanging request becomes an error that can be retried.
CONFIG = Config(connect_timeout=5, read_timeout=55, retries={"mode": "standard", "total_max_attempts": 6})


@functools.cache
def client(service: str) -> Any:
    """Return the client for a service in this account."""
    return sdk.session().client(service, config=CONFIG)


def upstream_client(role_arn: str, external_id: str, session_name: str, service: str) -> Any:
    """Return a client for the upstream account, with the credentials of its reader role for this stage.

    `session_name` appears in the upstream account's CloudTrail. It is truncated to the 64 characters that STS allows.
    Raise PromotionRefusedError if this stage may not assume the role.
    """
    request = {"RoleArn": role_arn, "ExternalId": external_id, "RoleSessionName": session_name[:64]}
    try:
        credentials = client("sts").assume_role(**request, DurationSeconds=900)["Credentials"]
    except ClientError as error:
        if meaning(error) is not Meaning.DENIED:
            raise
        where = f"account {role_arn.split(':')[4]}"
        advice = denials.advice(error, where, "Deploy the stack of this stage again.")
        raise PromotionRefusedError(
            f"This stage cannot assume the role {role_arn}, with which it reads {where}: {message(error)}. "
            f"{advice or f'Deploy upstream.yaml in {where} for this stage.'}"
        ) from error
    return sdk.session().client(
        service,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=CONFIG,
    )
