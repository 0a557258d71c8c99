"""The common parts of the SageMaker API's operations, which replace moto's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from embedded_aws.kernel import validation
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError


@dataclasses.dataclass(frozen=True)
class Call:
    """One request, already validated by botocore's model."""

    account: str
    region: str
    request: dict[str, Any]

    @property
    def backend(self) -> SageMakerModelBackend:
        """Return moto's backend of the account and region."""
        return sagemaker_backends[self.account][self.region]

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a resource, in which SageMaker converts the name to lower case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"


Operation = Callable[[Call], dict[str, Any] | None]


class Record(Protocol):
    """A resource in the response of a List operation."""

    creation_time: datetime
    last_modified_time: datetime

    @property
    def name(self) -> str:
        """Return the name, for NameContains and SortBy."""

    @property
    def status(self) -> str:
        """Return the status, for StatusEquals and SortBy."""

    def summary(self) -> dict[str, Any]:
        """Return the entry of the List operation's response."""


def invalid(message: str) -> ApiError:
    """Return a ValidationException, SageMaker's error for most problems: also not found and already exists."""
    return ApiError("ValidationException", message)


def now() -> datetime:
    """Return the time in milliseconds, as AWS stores it."""
    exact = datetime.now(UTC)
    return exact.replace(microsecond=exact.microsecond // 1000 * 1000)


def implement(patches: Patches, operations: Mapping[str, Operation], reason: str, *, adds: bool = False) -> None:
    """Declare functions as the implementations of API operations, by name, instead of moto's methods."""
    for name, operation in operations.items():
        method = _method(name, operation)
        patches.replace(SageMakerResponse, camelcase_to_underscores(name), method, reason, adds=adds)


def _method(name: str, operation: Operation) -> Callable[[SageMakerResponse], ActionResult]:
    def respond(response: SageMakerResponse) -> ActionResult:
        request = json.loads(response.body or "{}")
        validation.check("sagemaker", name, request)
        return ActionResult(operation(Call(response.current_account, response.region, request)))

    return respond


def listing(
    call: Call, key: str, records: Iterable[Record], ascending: bool = False, default_size: int = 100
) -> dict[str, Any]:
    """Return a page of a List operation. All operations have the same filters, orders and tokens."""
    request = call.request
    matching = [record for record in records if _passes(record, request)]
    orders: dict[str, Callable[[Record], Any]] = {
        "Name": lambda record: record.name,
        "CreationTime": lambda record: record.creation_time,
        "Status": lambda record: record.status,
    }
    order = request.get("SortOrder", "Ascending" if ascending else "Descending")
    matching.sort(key=orders[request.get("SortBy", "CreationTime")], reverse=order == "Descending")
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise invalid(f'Invalid pagination token "{token}".')
    start, size = int(token), request.get("MaxResults", default_size)
    page: dict[str, Any] = {key: [record.summary() for record in matching[start : start + size]]}
    if start + size < len(matching):
        page["NextToken"] = str(start + size)
    return page


def _passes(record: Record, request: dict[str, Any]) -> bool:
    if request.get("NameContains", "").lower() not in record.name.lower():
        return False
    if request.get("StatusEquals", record.status) != record.status:
        return False
    for time, member in (
        (record.creation_time, "CreationTime"),
        (record.last_modified_time, "LastModifiedTime"),
    ):
        after, before = request.get(f"{member}After"), request.get(f"{member}Before")
        if (after is not None and time <= _time(after)) or (before is not None and time >= _time(before)):
            return False
    return True


def _time(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)
