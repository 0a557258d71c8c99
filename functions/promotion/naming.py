"""Names: the same candidate and settings have the same names, others have others."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from typing import Any

from promotion.aws.input_checks import matching
from promotion.errors import InvalidRequestError

MAXIMUM_LENGTH = 63
"""Of a SageMaker model's, endpoint config's and endpoint's name (botocore's sagemaker model)."""

VARIANT = "AllTraffic"
"""Guardrails and autoscaling need a variant name that never changes."""

SHADOW_VARIANT = "Shadow"
"""What a shadow variant is called where the settings do not say."""


def endpoint_name(application: str, stage: str) -> str:
    """`<application>-<stage>`; raises InvalidRequestError when that is longer than SageMaker allows."""
    name = f"{application}-{stage}"
    if len(name) > MAXIMUM_LENGTH:
        raise InvalidRequestError(
            f"The endpoint's name {name} has {len(name)} characters; SageMaker allows {MAXIMUM_LENGTH}. "
            "Choose a shorter name for the application."
        )
    return name


def resource_name(application: str, stage: str, created_at: str, content: str) -> str:
    """The name of a model or an endpoint config: `<application>-<stage>-<yyyymmdd-hhmm>-<8 of content>`.

    `created_at` is the candidate's time (ISO 8601), `content` the hexadecimal digest of all that decides what the
    resource is. Where the name would grow over 63 characters, the application's part gives way, never the digest's.
    """
    time = datetime.datetime.fromisoformat(created_at).astimezone(datetime.UTC)
    return f"{resource_prefix(application, stage)}{time:%Y%m%d-%H%M}-{content[:8]}"


def resource_prefix(application: str, stage: str) -> str:
    """What the names of all models and endpoint configs of an application in a stage begin with."""
    tail = f"-{stage}-"
    return application[: MAXIMUM_LENGTH - len(tail) - len("yyyymmdd-hhmm-12345678")].rstrip("-") + tail


def sha256_of(value: Any) -> str:
    """The SHA-256 (64 hexadecimal digits) of a JSON value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


# What an endpoint can be named after. SageMaker takes endpoint names that differ only in case for the same one, so an
# application has lower case only.
_APPLICATION = re.compile(r"(?=.{1,40}\Z)[a-z0-9](-?[a-z0-9])*")


def application_name(text: str, where: str = "the input") -> str:
    """`text` if an endpoint can be named after it; raises InvalidRequestError, saying `where` it is from, otherwise."""
    return matching(
        _APPLICATION,
        text,
        f"The application in {where}",
        "a name of up to 40 lower-case letters, digits and single hyphens",
    )
