"""SageMaker acting as an execution role: its clients, and the credentials it gives to a container.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.exceptions import ServiceException
from moto.iam.models import iam_backends

from local import identity

SERVICE = "sagemaker.amazonaws.com"


class RoleError(Exception):
    """The role does not exist, or does not trust SageMaker."""


def client(service: str, role_arn: str) -> Any:
    """A boto3 client that acts as the role, once the role is known to trust SageMaker."""
    assert_trust(role_arn)
    return identity.client_as_role(service, role_arn, "SageMaker")


def environment(role_arn: str) -> dict[str, str]:
    """What a container has in its environment to call AWS as the role."""
    assert_trust(role_arn)
    credentials = identity.role_credentials(role_arn, "SageMaker")
    return {
        **{name.upper(): value for name, value in credentials.items()},
        "AWS_REGION": identity.REGION,
        "AWS_DEFAULT_REGION": identity.REGION,
        "AWS_ENDPOINT_URL": identity.endpoint_url(),
    }


def assert_trust(role_arn: str) -> None:
    try:
        role = iam_backends[identity.account_of(role_arn)]["aws"].get_role_by_arn(role_arn)
    except ServiceException as error:
        raise RoleError(f"{role_arn} does not exist") from error
    trust = role.assume_role_policy_document
    statements = (json.loads(trust) if isinstance(trust, str) else trust).get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow" and SERVICE in ([services] if isinstance(services, str) else services):
            return
    raise RoleError(f"{role_arn} does not trust {SERVICE}")
