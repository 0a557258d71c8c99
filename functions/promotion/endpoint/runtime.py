"""The operations of SageMaker's runtime, with time-outs that fit SageMaker's own time limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config

# "60 seconds for regular responses and 8 minutes for streaming responses" (SageMaker developer guide, "Model hosting
# FAQs"); for the first, the API reference of InvokeEndpoint recommends a time-out of 70 seconds.
_REGULAR_SECONDS = 70
_STREAMING_SECONDS = 490


@dataclasses.dataclass(frozen=True)
class Runtime:
    """The operations that invoke an endpoint, as methods of boto3's clients."""

    invoke_endpoint: Callable[..., Any]
    invoke_endpoint_with_response_stream: Callable[..., Any]
    invoke_endpoint_async: Callable[..., Any]


def of_session(session: boto3.Session) -> Runtime:
    """Return the operations of a session, without retries: the smoke test judges errors."""
    regular, streaming = (_client(session, seconds) for seconds in (_REGULAR_SECONDS, _STREAMING_SECONDS))
    return Runtime(
        regular.invoke_endpoint, streaming.invoke_endpoint_with_response_stream, regular.invoke_endpoint_async
    )


def _client(session: boto3.Session, seconds: int) -> Any:
    retries = {"total_max_attempts": 1}
    config = Config(connect_timeout=5, read_timeout=seconds, retries=retries, max_pool_connections=100)
    return session.client("sagemaker-runtime", config=config)


def joined(response: dict[str, Any], maximum_bytes: int) -> bytes:
    """Return the joined parts of a streamed response, up to the first part with which they exceed `maximum_bytes`.

    Raises EventStreamError, a ClientError, if the model breaks off.
    """
    body = bytearray()
    for event in response["Body"]:
        body += event.get("PayloadPart", {}).get("Bytes", b"")
        if len(body) > maximum_bytes:
            break
    return bytes(body)
