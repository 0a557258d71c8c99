"""The common part of every Task's handler: logging, and the classification of transient AWS errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from promotion.aws.aws_errors import Meaning, as_transient, meaning, message
from promotion.errors import TransientError

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

logger = Logger()


def step(handle: Handler) -> Handler:
    """Return `handle` as a Task's handler, which logs the context and converts transient AWS errors."""

    @logger.inject_lambda_context
    @functools.wraps(handle)
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            return handle(event, context)
        except ClientError as error:
            if meaning(error) is Meaning.TRANSIENT:
                raise as_transient(error, f"{error.operation_name}: {message(error)}") from error
            raise
        except (ConnectionError, HTTPClientError) as error:
            raise TransientError(str(error)) from error

    decorated: Handler = handler
    return decorated
