"""Names of resources, which identify their content: equal candidates and settings have equal names."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from typing import Any

from promotion.aws.input_checks import matching
from promotion.errors import InvalidRequestError

MAXIMUM_LENGTH = 63
"""The limit for the name of a SageMaker model, endpoint config or endpoint (botocore's sagemaker model)."""

VARIANT = "AllTraffic"
"""The production variant's name; deployment guardrails and autoscaling require one that never changes."""

SHADOW_VARIANT = "Shadow"
"""The shadow variant's default name."""

_EXECUTION_NAME = re.compile(r"[A-Za-z0-9_.+=@-]+")


def endpoint_name(application: str, stage: str) -> str:
    """Return `<application>-<stage>`; raise InvalidRequestError if it is longer than SageMaker allows."""
    name = f"{application}-{stage}"
    if len(name) > MAXIMUM_LENGTH:
        raise InvalidRequestError(
            f"The endpoint name {name} has {len(name)} characters; SageMaker allows {MAXIMUM_LENGTH}. Choose a shorter "
            "application name."
        )
    return name


def check_execution_name(execution: str) -> None:
    """Raise InvalidRequestError if the name of an execution, by its ARN, is not accepted everywhere it is passed on.

    It is a session name of STS, a tag of SageMaker and a parameter of the runbook. Step Functions accepts more.
    """
    name = execution.rsplit(":", 1)[-1]
    if not _EXECUTION_NAME.fullmatch(name):
        raise InvalidRequestError(
            f"The execution has the name {name}, which STS and SageMaker do not accept. Nothing was changed. Start it "
            "again without a name, or with a name of letters, digits and the characters - _ . + = @"
        )


def resource_name(application: str, stage: str, created_at: str, content: str) -> str:
    """Return the name of a model or an endpoint config: `<application>-<stage>-<yyyymmdd-hhmm>-<8 of content>`.

    `created_at` is the candidate's time (ISO 8601). `content` is the hexadecimal digest of everything that defines the
    resource. If the name would exceed 63 characters, the application is truncated, never the digest.
    """
    time = datetime.datetime.fromisoformat(created_at).astimezone(datetime.UTC)
    return f"{resource_prefix(application, stage)}{time:%Y%m%d-%H%M}-{content[:8]}"


def resource_prefix(application: str, stage: str) -> str:
    """Return the common prefix of the names of an application's models and endpoint configs in a stage."""
    tail = f"-{stage}-"
    return application[: MAXIMUM_LENGTH - len(tail) - len("yyyymmdd-hhmm-12345678")].rstrip("-") + tail


def is_resource_name(name: str, application: str, stage: str) -> bool:
    """Return whether `name` is one that `resource_name` returns for an application in a stage."""
    prefix = resource_prefix(application, stage)
    return re.fullmatch(rf"{re.escape(prefix)}\d{{8}}-\d{{4}}-[0-9a-f]{{8}}", name) is not None


def sha256_of(value: Any) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of a JSON value, independent of the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


# SageMaker treats endpoint names that differ only in case as equal, so an application is in lowercase only.
_APPLICATION = re.compile(r"(?=.{1,40}\Z)[a-z0-9](-?[a-z0-9])*")


def application_name(text: str, where: str = 'The key "application" of the input') -> str:
    """Return `text` if it is a valid application name; raise InvalidRequestError, naming `where`, if it is not."""
    return matching(_APPLICATION, text, where, "a name of up to 40 lowercase letters, digits and single hyphens")
