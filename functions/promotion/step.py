"""The common part of every handler: its log lines, and the classification of transient AWS errors.

Every line names the execution as its `correlation_id` and the application, as far as the event contains them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from promotion.aws.aws_errors import Meaning, as_transient, meaning, message
from promotion.errors import PromotionError, TransientError

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

logger = Logger()


def step(handle: Handler) -> Handler:
    """Return `handle` as a handler, which logs its context and its errors, and converts transient AWS errors.

    The state machine expects each PromotionError, whose message is for the operator. So it is logged at the level INFO
    and without a traceback, and any other exception is an error with a traceback.
    """

    @logger.inject_lambda_context(clear_state=True)
    @functools.wraps(handle)
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(**_subject(event))
        try:
            return _converting(handle, event, context)
        except PromotionError as error:
            logger.info("Not completed", error=type(error).__name__, reason=str(error))
            # Lambda's runtime logs the exception, too, with the traceback that it has from here on.
            raise error.with_traceback(None) from error.__cause__
        except Exception:
            logger.exception("Failed")
            raise

    decorated: Handler = handler
    return decorated


def _converting(handle: Handler, event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        return handle(event, context)
    except ClientError as error:
        if meaning(error) is Meaning.TRANSIENT:
            raise as_transient(error, f"{error.operation_name}: {message(error)}") from error
        raise
    except (ConnectionError, HTTPClientError) as error:
        raise TransientError(str(error)) from error


def _subject(event: dict[str, Any]) -> dict[str, str | None]:
    """Return the keys of the log lines that say what the event of a task, or an event of EventBridge, is about."""
    about = event.get("promotion") or event.get("candidate") or event.get("detail") or {}
    arn = event.get("execution") or about.get("execution") or about.get("executionArn") or ""
    application = event.get("application") or about.get("application")
    return {"correlation_id": arn.rpartition(":")[2] or None, "application": application}
