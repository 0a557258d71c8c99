"""The service-linked role that scales endpoints, which the first scalable target of an account creates.

"Service-linked roles for Application Auto Scaling" (application-auto-scaling-service-linked-roles).
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from moto.iam.models import iam_backends

SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
_NAME = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def arn(account: str) -> str:
    """Return the ARN of the role, which may not exist."""
    return f"arn:aws:iam::{account}:role/aws-service-role/{SERVICE}/{_NAME}"


def create(account: str) -> None:
    """Create the role, unless the account has it."""
    if not exists(account):
        trust = {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        path = f"/aws-service-role/{SERVICE}/"
        iam_backends[account]["aws"].create_role(_NAME, document, path, None, "", [], None)


def exists(account: str) -> bool:
    """Return whether the account has the role."""
    return _role(account) is not None


def _role(account: str) -> Any:
    return next((role for role in list(iam_backends[account]["aws"].roles.values()) if role.name == _NAME), None)


def created_at(account: str) -> float:
    """Return the time of its creation, in seconds since 1970."""
    # moto's own times are in UTC, but have no time zone.
    created: datetime.datetime = _role(account).create_date
    return created.replace(tzinfo=datetime.UTC).timestamp()
