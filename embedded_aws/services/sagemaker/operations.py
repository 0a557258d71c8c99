"""Operations of the SageMaker API in place of moto's: what they all share."""

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
    """One request, already valid by botocore's model."""

    account: str
    region: str
    request: dict[str, Any]

    @property
    def backend(self) -> SageMakerModelBackend:
        return sagemaker_backends[self.account][self.region]

    def arn(self, kind: str, name: str) -> str:
        """SageMaker's ARNs are in lower case whatever the name is."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"


Operation = Callable[[Call], dict[str, Any] | None]


class Record(Protocol):
    """What a listing needs to know."""

    creation_time: datetime
    last_modified_time: datetime

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...
    def summary(self) -> dict[str, Any]: ...


def invalid(message: str) -> ApiError:
    """SageMaker says most of what it refuses as a ValidationException, not-found and already-exists among them."""
    return ApiError("ValidationException", message)


def now() -> datetime:
    """The time as AWS keeps it, to the millisecond."""
    exact = datetime.now(UTC)
    return exact.replace(microsecond=exact.microsecond // 1000 * 1000)


def answer(patches: Patches, operations: Mapping[str, Operation], reason: str, *, adds: bool = False) -> None:
    """Declare that functions answer operations of the API, given by their names there, in place of moto's methods."""
    for name, operation in operations.items():
        method = _method(name, operation)
        patches.replace(SageMakerResponse, camelcase_to_underscores(name), method, reason, adds=adds)


def _method(name: str, operation: Operation) -> Callable[[SageMakerResponse], ActionResult]:
    def respond(response: SageMakerResponse) -> ActionResult:
        request = json.loads(response.body or "{}")
        validation.check("sagemaker", name, request)
        return ActionResult(operation(Call(response.current_account, response.region, request)))

    return respond


def listing(call: Call, key: str, records: Iterable[Record], ascending: bool = False) -> dict[str, Any]:
    """One page of a List operation: the filters, orders and tokens are the same in all of them."""
    request = call.request
    wanted = [record for record in records if _passes(record, request)]
    orders: dict[str, Callable[[Record], Any]] = {
        "Name": lambda record: record.name,
        "CreationTime": lambda record: record.creation_time,
        "Status": lambda record: record.status,
    }
    order = request.get("SortOrder", "Ascending" if ascending else "Descending")
    wanted.sort(key=orders[request.get("SortBy", "CreationTime")], reverse=order == "Descending")
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise invalid(f'Invalid pagination token "{token}".')
    start, size = int(token), request.get("MaxResults", 100)
    page: dict[str, Any] = {key: [record.summary() for record in wanted[start : start + size]]}
    if start + size < len(wanted):
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
