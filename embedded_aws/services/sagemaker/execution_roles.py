"""SageMaker acting as an execution role: its clients, and the credentials of containers.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

from __future__ import annotations

import functools
from typing import Any

from embedded_aws.iam import clients, decisions
from embedded_aws.kernel import accounts

SERVICE = "sagemaker.amazonaws.com"
_SESSION = "SageMaker"


class RoleError(Exception):
    """The role does not exist or does not trust SageMaker."""


def client(service: str, role_arn: str) -> Any:
    """Return a boto3 client that acts as the role. Raise RoleError if the role does not trust SageMaker."""
    assert_trust(role_arn)
    return _client(service, role_arn, accounts.endpoint_url())


@functools.lru_cache(maxsize=64)
def _client(service: str, role_arn: str, _endpoint_url: str) -> Any:
    return clients.client_as_role(service, role_arn, _SESSION, _call(role_arn))


def environment(role_arn: str) -> dict[str, str]:
    """Return the environment variables with which a container calls AWS as the role. Raise RoleError as `client`."""
    assert_trust(role_arn)
    credentials = clients.role_credentials(role_arn, _SESSION, _call(role_arn))
    return {
        **{name.upper(): value for name, value in credentials.items()},
        "AWS_REGION": accounts.REGION,
        "AWS_DEFAULT_REGION": accounts.REGION,
        "AWS_ENDPOINT_URL": accounts.endpoint_url(),
    }


def assert_trust(role_arn: str) -> None:
    """Raise RoleError if the role does not exist or does not trust SageMaker."""
    if not decisions.decide_assume_role(_call(role_arn), role_arn, _SESSION).allowed:
        raise RoleError(f"The role {role_arn} does not exist or does not trust {SERVICE}.")


def _call(role_arn: str) -> clients.ServiceCall:
    """Return SageMaker's call; its page on confused deputies documents only Region and account of the source."""
    return clients.ServiceCall(SERVICE, f"arn:aws:sagemaker:{accounts.REGION}:{accounts.account_of(role_arn)}:*")
