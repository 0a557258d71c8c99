"""The calls to AWS and their answers, as values that can be compared and stored."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of an operation, by the names of boto3, with its request as JSON."""

    service: str
    operation: str
    text: str

    @classmethod
    def of(cls, service: str, operation: str, request: dict[str, Any]) -> Call:
        return cls(service, operation, dumps(request))

    @property
    def request(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    def __str__(self) -> str:
        request = self.request
        names = ("EndpointName", "EndpointConfigName", "executionArn", "TransactItems", "Item", "Key", "Entries")
        about = next((request[name] for name in names if name in request), "")
        return f"{self.service}.{self.operation} {dumps(about)[:90] if about else ''}".rstrip()


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to a call as JSON: a response, or an error with its `code`."""

    text: str
    code: str = ""


class NotModeledError(BaseException):
    """The search has no model of a state or a call, and ends. The code of a function does not catch this."""


class AwsError(Exception):
    """The error with which AWS answers a call."""

    def __init__(self, code: str, message: str = "", **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.content = {"Error": {"Code": code, "Message": message}, **more}


def dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
