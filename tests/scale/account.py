"""The stage's account: every call takes time and a token of its API's rate, and is counted.

The clients of functions retry as botocore does in its standard mode.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError

from embedded_aws.kernel.quotas import Limiter, Quotas
from tests.explorer.answers import AwsError
from tests.explorer.functions import Exceptions, error_class
from tests.scale.simulation import Simulation

STAGE_ACCOUNT, UPSTREAM_ACCOUNT = "222222222222", "111111111111"

# Assumed: what a call of an API takes within a region, and a call that AWS throttles.
CALL_SECONDS, COPY_SECONDS = 0.03, 0.15

# The names in signatures, by the names of boto3.
SIGNATURES = {"stepfunctions": "states", "cloudwatch": "monitoring", "sagemaker-runtime": "sagemaker"}

# botocore, retries.standard: `min(random * 2 ** (attempt - 1), 20)` seconds, here with 6 attempts (promotion.aws).
_ATTEMPTS, _LONGEST_PAUSE = 6, 20.0

Answer = Callable[[str, str, str, dict[str, Any]], dict[str, Any]]


@dataclasses.dataclass
class Counts:
    """Calls and throttled calls by service and operation, and the time that callers waited for a retry."""

    calls: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)
    throttled: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)


class Account:
    """The quotas of the accounts, which are the same, and the `answer` of their services."""

    def __init__(self, simulation: Simulation, quotas: Quotas, answer: Answer) -> None:
        self.simulation, self.quotas, self._answer = simulation, quotas, answer
        self.limiter = Limiter(quotas.rates, lambda: simulation.now)
        self.counts = Counts()
        self._in_transaction: set[str] = set()

    def call(
        self,
        service: str,
        operation: str,
        request: dict[str, Any],
        account: str = STAGE_ACCOUNT,
        attempts: int = _ATTEMPTS,
        sleep: Callable[[float], None] | None = None,
    ) -> dict[str, Any]:
        """Return the answer to a call; raise ClientError, as boto3 does. `operation` is the name of the API."""
        sleep = sleep or self.simulation.sleep
        for attempt in range(attempts):
            try:
                return self._once(service, operation, request, account, sleep)
            except AwsError as error:
                if error.code not in _RETRIED or attempt == attempts - 1:
                    raise error_class(error.code)(error.content, operation) from error
            sleep(min(_LONGEST_PAUSE, self.simulation.random.random() * 2**attempt))
        raise AssertionError

    def _once(
        self, service: str, operation: str, request: dict[str, Any], account: str, sleep: Callable[[float], None]
    ) -> dict[str, Any]:
        api = SIGNATURES.get(service, service), operation
        self.counts.calls[api] += 1
        if not self.limiter.take(account, *api):
            self.counts.throttled[api] += 1
            sleep(CALL_SECONDS)
            raise AwsError("SlowDown" if service == "s3" else "ThrottlingException", "Rate exceeded")
        seconds = COPY_SECONDS if operation == "CopyObject" else CALL_SECONDS
        if service != "dynamodb":
            sleep(seconds)
            return self._answer(service, operation, account, request)
        return self._isolated(operation, account, request, seconds, sleep)

    def _isolated(
        self, operation: str, account: str, request: dict[str, Any], seconds: float, sleep: Callable[[float], None]
    ) -> dict[str, Any]:
        """Answer a call of DynamoDB. It conflicts with a transaction on the same item that has not ended.

        DynamoDB developer guide, "Transaction conflict handling in DynamoDB".
        """
        items = _written_items(operation, request)
        if items & self._in_transaction:
            self.counts.throttled["dynamodb", "transaction conflict"] += 1
            sleep(seconds)
            if operation != "TransactWriteItems":
                raise AwsError("TransactionConflictException", "Transaction is ongoing for the item")
            reasons = [{"Code": "TransactionConflict"}]
            raise AwsError("TransactionCanceledException", "Transaction cancelled", CancellationReasons=reasons)
        own = items if operation == "TransactWriteItems" else set()
        self._in_transaction |= own
        try:
            sleep(seconds)
            return self._answer("dynamodb", operation, account, request)
        finally:
            self._in_transaction -= own


# What botocore retries: retries.standard, TransientRetryableChecker and ThrottledRetryableChecker.
_RETRIED = {"ThrottlingException", "SlowDown", "TransactionInProgressException"}


def _written_items(operation: str, request: dict[str, Any]) -> set[str]:
    if operation == "TransactWriteItems":
        writes = [body for write in request["TransactItems"] for body in write.values()]
    elif operation in ("PutItem", "UpdateItem", "DeleteItem"):
        writes = [request]
    else:
        return set()
    keys = [write.get("Key") or write["Item"] for write in writes]
    return {f"{key['kind']['S']}/{key['key']['S']}" for key in keys}


@functools.cache
def operations(service: str) -> dict[str, str]:
    """Return the operations of a service by the names of boto3's methods."""
    names = botocore.session.get_session().get_service_model(service).operation_names
    return {xform_name(name): name for name in names}


# The member of a page with the token of the next one, and the member of a request for it.
_TOKENS = {"dynamodb": ("LastEvaluatedKey", "ExclusiveStartKey"), "s3": ("NextContinuationToken", "ContinuationToken")}


class Client:
    """A client of a service that calls `Account.call` with the clock of the function that uses it."""

    exceptions = Exceptions()

    def __init__(self, service: str, call: Callable[..., dict[str, Any]], **options: Any) -> None:
        self._service, self._call, self._options = service, call, options

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        operation = operations(self._service)[method]
        return lambda **request: self._call(self._service, operation, request, **self._options)

    def get_paginator(self, method: str) -> Any:
        """Return a paginator that requests page after page."""

        def paginate(PaginationConfig: Any = None, **request: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
            given, wanted = _TOKENS.get(self._service, ("NextToken", "NextToken"))
            size = (PaginationConfig or {}).get("PageSize")
            limit = {"Limit" if self._service == "dynamodb" else "MaxResults": size} if size else {}
            while True:
                page = getattr(self, method)(**limit, **request)
                yield page
                if given not in page or (PaginationConfig or {}).get("MaxItems"):
                    return
                request[wanted] = page[given]

        return types.SimpleNamespace(paginate=paginate)


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
