"""The check of a smoke test: whether the file is valid, and whether a model passes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3

from command.container import Container
from command.errors import CommandError
from promotion.aws.aws_errors import none_if_not_found
from promotion.endpoint import invocation, runtime, smoke_test
from promotion.endpoint.config import is_asynchronous
from promotion.endpoint.runtime import Runtime
from promotion.endpoint.sagemaker import variant_names
from promotion.errors import InvalidRequestError

# As long as the smoke test of a promotion.
_SECONDS = 840


def read(path: str) -> dict[str, Any]:
    """Return the suite in a file with its defaults; raise CommandError if the file or the suite is not valid."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"The file {path} cannot be read: {error.strerror}.") from error
    try:
        return smoke_test.read(text, path)
    except InvalidRequestError as error:
        raise CommandError(str(error)) from error


def with_container(session: boto3.session.Session, suite: dict[str, Any], address: str) -> dict[str, Any]:
    """Return the verdict of a suite on a local container, as `invocation.run` returns it."""
    container = Container(address)
    container.assert_ready()
    return _run(session, container.runtime, suite, address)


def with_endpoint(session: boto3.session.Session, suite: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """Return the verdict of a suite on an endpoint that is InService, as `invocation.run` returns it."""
    description = none_if_not_found(session.client("sagemaker").describe_endpoint, EndpointName=endpoint)
    if description is None:
        raise CommandError(f"The endpoint {endpoint} does not exist in {session.region_name}. Check its name.")
    if description["EndpointStatus"] != "InService":
        raise CommandError(
            f"The endpoint {endpoint} is {description['EndpointStatus']}, not InService. Try again later."
        )
    if is_asynchronous(description):
        raise CommandError(
            f"The endpoint {endpoint} is asynchronous. Only a promotion can test it, since it writes the requests to "
            "the artifact bucket."
        )
    return _run(session, runtime.of_session(session), suite, endpoint, variant_names(description))


def _run(
    session: boto3.session.Session,
    operations: Runtime,
    suite: dict[str, Any],
    endpoint: str,
    variants: Sequence[str] = (),
) -> dict[str, Any]:
    s3, owner = None, ""
    if any("body_uri" in case for case in suite["cases"]):
        s3, owner = session.client("s3"), session.client("sts").get_caller_identity()["Account"]
    return invocation.run(
        operations, s3, endpoint, suite, folder=None, owner=owner, seconds=_SECONDS, variants=variants
    )
