"""The quotas of an AWS account: request rates per API, concurrent functions and concurrent automations.

They are not enforced unless `EmbeddedAws(quotas=…)` is given a set of them. Each quota has its source. AWS does not
publish the request rates of some services; those are marked ASSUMED, and are chosen lower than what users report.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable

ASSUMED = "assumed"

_STATES = "Step Functions developer guide, Service quotas, API action throttling (eu-west-1)"
_CLOUDWATCH = "CloudWatch user guide, CloudWatch service quotas"
_PARAMETERS = "AWS General Reference, Systems Manager endpoints and quotas, Parameter Store throughput"
_EVENTS = "EventBridge user guide, EventBridge quotas (eu-west-1)"
_S3 = "S3 user guide, Best practices design patterns; per prefix, here per account"
_STS = "IAM user guide, IAM and AWS STS quotas, STS request limits"
_ECR = "ECR user guide, Amazon ECR service quotas"


@dataclasses.dataclass(frozen=True)
class Rate:
    """A token bucket: `burst` requests at once, refilled at `per_second`; `source` is the page, or ASSUMED."""

    per_second: float
    burst: float
    source: str


def _rates(service: str, source: str, rates: dict[str, tuple[float, float]]) -> dict[tuple[str, str], Rate]:
    return {(service, operation): Rate(*rate, source) for operation, rate in rates.items()}


# By the service in the signature and the operation; "*" is every other operation of the service, each with its own
# bucket. A service without an entry has no limit.
RATES: dict[tuple[str, str], Rate] = {
    **_rates(
        "states",
        _STATES,
        {
            "StartExecution": (300, 1300),
            "StopExecution": (200, 1000),
            "DescribeExecution": (15, 300),
            "GetExecutionHistory": (20, 400),
            "ListExecutions": (5, 200),
            "StateTransition": (5000, 5000),
        },
    ),
    **_rates(
        "monitoring",
        _CLOUDWATCH,
        {"PutMetricAlarm": (3, 3), "DescribeAlarms": (9, 9), "DeleteAlarms": (3, 3), "PutMetricData": (500, 500)},
    ),
    **_rates("ssm", _PARAMETERS, {"GetParameter": (40, 40), "GetParametersByPath": (40, 40), "PutParameter": (3, 3)}),
    **_rates(
        "ssm",
        ASSUMED,
        {
            "StartAutomationExecution": (5, 10),
            "GetAutomationExecution": (10, 20),
            "DescribeAutomationExecutions": (5, 10),
            "StopAutomationExecution": (5, 10),
            "SendAutomationSignal": (5, 10),
        },
    ),
    **_rates("sts", _STS, {"AssumeRole": (600, 600)}),
    **_rates("events", _EVENTS, {"PutEvents": (10_000, 10_000)}),
    **_rates("ecr", _ECR, {"BatchGetImage": (2000, 2000)}),
    **_rates(
        "s3",
        _S3,
        {
            "GetObject": (5500, 5500),
            "HeadObject": (5500, 5500),
            "GetObjectTagging": (5500, 5500),
            "ListObjectsV2": (5500, 5500),
            "PutObject": (3500, 3500),
            "CopyObject": (3500, 3500),
            "UploadPartCopy": (3500, 3500),
            "DeleteObjects": (3500, 3500),
        },
    ),
    **_rates(
        "sagemaker",
        ASSUMED,
        {
            "CreateEndpoint": (2, 5),
            "UpdateEndpoint": (2, 5),
            "DeleteEndpoint": (2, 5),
            "CreateModel": (5, 10),
            "CreateEndpointConfig": (5, 10),
            "InvokeEndpoint": (1000, 1000),
            "*": (10, 20),
        },
    ),
    **_rates("application-autoscaling", ASSUMED, {"*": (10, 20)}),
    **_rates("iam", ASSUMED, {"GetRole": (15, 30)}),
}

# Lambda developer guide, Lambda quotas: "10 x concurrent executions" invocations a second, for each function.
INVOCATIONS_PER_CONCURRENT_EXECUTION = 10


@dataclasses.dataclass(frozen=True)
class Quotas:
    """The quotas of an account. `functions` and `automations` run at once; `queued` automations wait for their turn."""

    name: str
    functions: int
    functions_source: str
    automations: int = 100
    queued: int = 1000
    automations_source: str = (
        "AWS General Reference, Systems Manager endpoints and quotas (concurrently executing automations, additional "
        "automation queue)"
    )
    rates: dict[tuple[str, str], Rate] = dataclasses.field(default_factory=lambda: RATES)


NEW_ACCOUNT = Quotas(
    "new account",
    10,
    "Lambda developer guide, Lambda quotas: new accounts have reduced quotas; 10 is reported by users",
)
ESTABLISHED_ACCOUNT = Quotas(
    "established account", 1000, "Lambda developer guide, Lambda quotas, concurrent executions"
)


class Limiter:
    """The token buckets of accounts. `clock` returns seconds; a test can pass a clock of its own."""

    def __init__(self, rates: dict[tuple[str, str], Rate], clock: Callable[[], float] = time.monotonic) -> None:
        self._rates, self._clock = rates, clock
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}
        self._lock = threading.Lock()
        self.throttled: collections.Counter[tuple[str, str]] = collections.Counter()

    def take(self, account: str, service: str, operation: str) -> bool:
        """Take a token for a call; return False, and count it as throttled, if there is none."""
        rate = self._rate(service, operation)
        if rate is None:
            return True
        with self._lock:
            tokens = self._tokens(rate, key := (account, service, operation))
            has_token = tokens >= 1
            self._buckets[key] = (tokens - has_token, self._clock())
            self.throttled[service, operation] += not has_token
        return has_token

    def delay(self, account: str, service: str, operation: str) -> float:
        """Take a token, and return the seconds until it exists: for requests that AWS delays instead of refusing."""
        rate = self._rate(service, operation)
        if rate is None:
            return 0.0
        with self._lock:
            tokens = self._tokens(rate, key := (account, service, operation)) - 1
            self._buckets[key] = (tokens, self._clock())
        return max(0.0, -tokens / rate.per_second)

    def _rate(self, service: str, operation: str) -> Rate | None:
        return self._rates.get((service, operation)) or self._rates.get((service, "*"))

    def _tokens(self, rate: Rate, key: tuple[str, str, str]) -> float:
        now = self._clock()
        tokens, at = self._buckets.get(key, (rate.burst, now))
        return min(rate.burst, tokens + (now - at) * rate.per_second)
