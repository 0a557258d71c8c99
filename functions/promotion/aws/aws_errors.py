"""The meaning of an AWS error: the only module that reads error codes and messages.

SageMaker reports not-found, already-exists and busy as the same ValidationException, so its message decides. Only
exact codes and known message prefixes are classified. Any other error is UNKNOWN, and the caller raises it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.errors import ThrottledError, TransientError


class Meaning(enum.Enum):
    """The reaction that an error calls for."""

    NOT_FOUND = enum.auto()
    ALREADY_EXISTS = enum.auto()
    BUSY = enum.auto()
    DENIED = enum.auto()
    NOT_YET_VISIBLE = enum.auto()
    TRANSIENT = enum.auto()
    CHANGED = enum.auto()
    UNKNOWN = enum.auto()


_CODES = {
    "ResourceNotFound": Meaning.NOT_FOUND,
    "ResourceNotFoundException": Meaning.NOT_FOUND,
    "ParameterNotFound": Meaning.NOT_FOUND,
    "AutomationExecutionNotFoundException": Meaning.NOT_FOUND,
    "ExecutionDoesNotExist": Meaning.NOT_FOUND,
    "RepositoryNotFoundException": Meaning.NOT_FOUND,
    "LayersNotFoundException": Meaning.NOT_FOUND,
    "NoSuchEntity": Meaning.NOT_FOUND,
    "ObjectNotFoundException": Meaning.NOT_FOUND,
    "NoSuchBucket": Meaning.NOT_FOUND,
    "NoSuchKey": Meaning.NOT_FOUND,
    "NoSuchUpload": Meaning.NOT_FOUND,
    "NoSuchVersion": Meaning.NOT_FOUND,
    "404": Meaning.NOT_FOUND,
    "AccessDenied": Meaning.DENIED,
    "AccessDeniedException": Meaning.DENIED,
    "403": Meaning.DENIED,
    "KMS.AccessDeniedException": Meaning.DENIED,
    # Each retry requests new credentials.
    "ExpiredToken": Meaning.TRANSIENT,
    "ExpiredTokenException": Meaning.TRANSIENT,
    "Throttling": Meaning.TRANSIENT,
    "ThrottlingException": Meaning.TRANSIENT,
    "ThrottledException": Meaning.TRANSIENT,
    "RequestThrottled": Meaning.TRANSIENT,
    "RequestThrottledException": Meaning.TRANSIENT,
    "EC2ThrottledException": Meaning.TRANSIENT,
    "TooManyRequestsException": Meaning.TRANSIENT,
    "RequestLimitExceeded": Meaning.TRANSIENT,
    "BandwidthLimitExceeded": Meaning.TRANSIENT,
    "LimitExceededException": Meaning.TRANSIENT,
    "ProvisionedThroughputExceededException": Meaning.TRANSIENT,
    "AutomationExecutionLimitExceededException": Meaning.TRANSIENT,
    "SlowDown": Meaning.TRANSIENT,
    "PriorRequestNotComplete": Meaning.TRANSIENT,
    "TransactionConflictException": Meaning.TRANSIENT,
    "TransactionInProgressException": Meaning.TRANSIENT,
    "ServiceUnavailable": Meaning.TRANSIENT,
    "ServiceUnavailableException": Meaning.TRANSIENT,
    "InternalError": Meaning.TRANSIENT,
    "InternalFailure": Meaning.TRANSIENT,
    "InternalServerError": Meaning.TRANSIENT,
    "ServerException": Meaning.TRANSIENT,
    "UploadNotFoundException": Meaning.TRANSIENT,
    "InternalServiceException": Meaning.TRANSIENT,
    "InternalServiceError": Meaning.TRANSIENT,
    "InternalServiceFault": Meaning.TRANSIENT,
    "ConcurrentUpdateException": Meaning.TRANSIENT,
    "RequestTimeout": Meaning.TRANSIENT,
    "RequestTimeoutException": Meaning.TRANSIENT,
    "PreconditionFailed": Meaning.CHANGED,
    "ConditionalRequestConflict": Meaning.CHANGED,
    "ConditionalCheckFailedException": Meaning.CHANGED,
}

_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "EC2ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceededException",
    "AutomationExecutionLimitExceededException",
    "SlowDown",
}

_VALIDATION_MESSAGES = (
    ("Could not find ", Meaning.NOT_FOUND),
    ("Requested resource not found", Meaning.NOT_FOUND),
    ("Amazon SageMaker can't find ", Meaning.NOT_FOUND),
    ("Cannot create already existing ", Meaning.ALREADY_EXISTS),
    ("Cannot update in-progress ", Meaning.BUSY),
    # A scalable target blocks the update, or was deregistered a moment ago.
    ("The variant(s) ", Meaning.TRANSIENT),
    # A role that was created a moment ago: IAM is eventually consistent.
    ("Could not assume role ", Meaning.NOT_YET_VISIBLE),
    # The service-linked role, which the first scalable target of an account creates.
    ("Unable to assume IAM role", Meaning.NOT_YET_VISIBLE),
)


def meaning(error: ClientError) -> Meaning:
    """Return the meaning of `error`, or UNKNOWN; an unknown error with a status of 500 or more is TRANSIENT."""
    known = _known(error)
    is_server_error = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return Meaning.TRANSIENT if known is Meaning.UNKNOWN and is_server_error else known


def _known(error: ClientError) -> Meaning:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "ValidationException":
        if message.startswith("ModelPackage ") and message.endswith("does not exist."):
            return Meaning.NOT_FOUND
        return next((known for start, known in _VALIDATION_MESSAGES if message.startswith(start)), Meaning.UNKNOWN)
    return _CODES.get(code, Meaning.UNKNOWN)


def as_transient(error: ClientError, text: str) -> TransientError:
    """Return the exception for a transient `error`, with a message: ThrottledError if AWS throttled the call."""
    return ThrottledError(text) if is_throttled(error) else TransientError(text)


def is_throttled(error: ClientError) -> bool:
    """Return whether AWS throttled the call."""
    return error.response["Error"]["Code"] in _THROTTLED


def none_if_not_found[T](operation: Callable[..., T], **request: Any) -> T | None:
    """Return the response of a client's operation, or None if AWS does not find the resource in `request`."""
    try:
        return operation(**request)
    except ClientError as error:
        if meaning(error) is not Meaning.NOT_FOUND:
            raise
        return None


def message(error: ClientError) -> str:
    """Return the code and the message of `error`."""
    return f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', 'no message')}"
