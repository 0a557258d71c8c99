"""Error responses, of IAM or of a fault, with the code and in the protocol of each service.

The codes are those in each API reference's "Common Errors"; the messages are those of "Troubleshoot access denied error
messages" (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html).
"""

from __future__ import annotations

import dataclasses
import http
import json
import uuid
from typing import Any
from xml.sax.saxutils import escape

# Services whose code is neither AccessDenied (XML) nor AccessDeniedException (JSON).
_CODES = {"sns": "AuthorizationError"}
# The codes for a denied KMS key.
_KEY_CODES = {"sns": "KMSAccessDenied", "sqs": "KMS.AccessDeniedException"}
# The code of the query protocol, which SQS used before JSON.
_COMPATIBLE = {"sqs": "AccessDenied"}
_QUERY_ERROR = "x-amzn-query-error"

# The status and the code for a throttled call, if not 400 and ThrottlingException: API references, "Common Errors".
_THROTTLED = {
    "s3": (503, "SlowDown"),
    "lambda": (429, "TooManyRequestsException"),
    "sts": (400, "Throttling"),
    "iam": (400, "Throttling"),
    "monitoring": (400, "Throttling"),
}

_CHUNK = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def denied(service: str, protocol: str, message: str, action: str = "") -> Answer:
    """Return a service's response to a call that IAM denies; its code may depend on the denied action."""
    codes = _KEY_CODES if action.startswith("kms:") and service in _KEY_CODES else _CODES
    return answer(service, protocol, codes.get(service, "AccessDenied"), message)


def unimplemented(service: str, operation: str, protocol: str, reason: str) -> Answer:
    """Return the response to an operation that the embedded AWS lacks: clients do not retry a status of 400.

    The codes are those with which AWS answers an operation that does not exist.
    """
    codes = {"query": "InvalidAction", "ec2": "InvalidAction", "rest-xml": "NotImplemented"}
    code = codes.get(protocol, "UnknownOperationException")
    message = f"The embedded AWS does not implement {service}:{operation}"
    refusal = answer(service, protocol, code, f"{message}: {reason}" if reason else f"{message}.")
    return Answer(400, [header for header in refusal.headers if header[0] != _QUERY_ERROR], refusal.body)


def answer(service: str, protocol: str, code: str, message: str, **members: Any) -> Answer:
    """Return an error response. `members` are the other members of the error's shape, in JSON only."""
    request_id = str(uuid.uuid4())
    if protocol == "rest-xml":
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
        )
        headers = [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
        return Answer(403, headers, text.encode())
    if protocol in ("query", "ec2"):
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Answer(403, [("Content-Type", "text/xml")], text.encode())
    name = "AccessDeniedException" if code == "AccessDenied" else code
    body = json.dumps({"__type": name, "message": message, "Message": message, **members}).encode()
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", name)]
    headers.append(("x-amzn-RequestId", request_id))
    if service in _COMPATIBLE:
        headers.append((_QUERY_ERROR, f"{_COMPATIBLE[service]};Sender"))
    return Answer(403 if protocol == "rest-json" else 400, headers, body)


def throttled(service: str, protocol: str) -> Answer:
    """Return a service's response to a call that exceeds its request rate."""
    status, code = _THROTTLED.get(service, (400, "ThrottlingException"))
    return dataclasses.replace(answer(service, protocol, code, "Rate exceeded"), status=status)


def send(refusal: Answer, environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Send the response through WSGI."""
    read_to_the_end(environ)
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else refusal.body
    status = f"{refusal.status} {http.HTTPStatus(refusal.status).phrase}"
    start_response(status, [*refusal.headers, ("Content-Length", str(len(refusal.body)))])
    return [body]


def read_to_the_end(environ: dict[str, Any]) -> None:
    """Read the rest of the request: otherwise the sender gets a broken connection instead of the response."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (chunk := environ["wsgi.input"].read(min(left, _CHUNK))):
        left -= len(chunk)
