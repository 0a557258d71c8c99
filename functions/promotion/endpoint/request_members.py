"""The members of a request to an endpoint that a case of a smoke test can set, from botocore's model of the runtime."""

from __future__ import annotations

import dataclasses
import re

REGULAR, STREAM, ASYNCHRONOUS = "InvokeEndpoint", "InvokeEndpointWithResponseStream", "InvokeEndpointAsync"

NEW_SESSION = "NEW_SESSION"
"""The session ID with which InvokeEndpoint creates a session."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of the API: its name, its values, and the operations that have it.

    Their patterns in the model are Java's, so that they are repeated here as Python's.
    """

    name: str
    pattern: re.Pattern[str]
    meaning: str
    operations: frozenset[str]
    default: str | None = None


_ALL = frozenset((REGULAR, STREAM, ASYNCHRONOUS))
_AT_ONCE = frozenset((REGULAR, STREAM))
_REGULAR = frozenset((REGULAR,))

_HEADER = re.compile(r"[ -~]{1,1024}"), "a string of up to 1,024 printable ASCII characters"
_NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*"), "a string of up to 63 letters, digits and hyphens"
_ID = re.compile(r"[!-~][ -~]{0,63}"), "a string of up to 64 printable ASCII characters"

MEMBERS = {
    "content_type": Member("ContentType", *_HEADER, _ALL, "application/json"),
    "accept": Member("Accept", *_HEADER, _ALL, "application/json"),
    "custom_attributes": Member("CustomAttributes", *_HEADER, _ALL),
    "target_model": Member("TargetModel", re.compile(r"[!-~][ -~]{0,1023}"), _HEADER[1], _REGULAR),
    "target_variant": Member("TargetVariant", *_NAME, _AT_ONCE),
    "target_container_hostname": Member("TargetContainerHostname", *_NAME, _AT_ONCE),
    "inference_component_name": Member("InferenceComponentName", *_NAME, _AT_ONCE),
    "session_id": Member(
        "SessionId",
        re.compile(r"(?=.{1,256}\Z)(NEW_SESSION|[a-zA-Z0-9](-*[a-zA-Z0-9])*)"),
        f"{NEW_SESSION} or the ID of a session",
        _AT_ONCE,
    ),
    "enable_explanations": Member(
        "EnableExplanations", re.compile(r"[ -~]{1,64}"), "a JMESPath expression of up to 64 characters", _REGULAR
    ),
    "prefix_aware_id": Member("PrefixAwareId", *_ID, _AT_ONCE),
}
"""The members by the keys of a case."""


def lacking(case: dict[str, str | None], operation: str) -> dict[str, str]:
    """Return the members that `case` sets and `operation` lacks, by the keys of the case."""
    return {key: member.name for key, member in MEMBERS.items() if case.get(key) and operation not in member.operations}


def request(case: dict[str, str | None], operation: str) -> dict[str, str]:
    """Return the members of the request of `operation` that `case` sets."""
    return {
        member.name: str(case[key])
        for key, member in MEMBERS.items()
        if case.get(key) and operation in member.operations
    }
