"""The meaning of a model's error for its owner, with no text of the model."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

# By the status of the container. 507 and 503 are those of TorchServe and Multi Model Server ("Inference API") for a
# model that cannot be loaded into memory and for workers that are all busy.
_BY_STATUS = {
    400: "The container rejects the body of the request",
    404: "The container serves no POST /invocations, or not the requested model",
    405: "The container serves no POST /invocations",
    413: "The container rejects a request of this size",
    415: "The container does not support the content type of the request, or that of accept",
    422: "The container rejects the body of the request",
    429: "The container has too many requests",
    500: "The code of the model failed, and its log says why",
    503: "The container has no free worker, or its workers have died",
    507: "The container has too little memory for the model",
}
# By a part of SageMaker's message about a container without a response.
_BY_MESSAGE = (
    ("Your invocation timed out", "A response must end within 60 seconds, or within 8 minutes with stream"),
    ("did not complete sending the inference response", "A response stream must end within 8 minutes"),
)


def explanation(error: ClientError) -> str:
    """Return the meaning of a ModelError or ModelStreamError as a sentence without its period, or ""."""
    response: dict[str, Any] = dict(error.response)
    message = str(response.get("OriginalMessage") or response["Error"].get("Message", ""))
    for part, meaning in _BY_MESSAGE:
        if part in message:
            return meaning
    return _BY_STATUS.get(response.get("OriginalStatusCode", 0), "")
