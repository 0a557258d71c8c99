"""The request rates that AWS does not publish: the bursts in embedded_aws/kernel/quotas.py, of calls that only read."""

from __future__ import annotations

import concurrent.futures
from typing import Any

from embedded_aws.kernel.quotas import RATES
from tests.deployed.account import Account, error_of
from tests.deployed.instrument import probe

_ID = "00000000-0000-0000-0000-000000000000"
# By the service and the operation of the table: the name of the client, the method, and a request that only reads.
_READS: dict[tuple[str, str], tuple[str, str, dict[str, Any]]] = {
    ("ssm", "GetAutomationExecution"): ("ssm", "get_automation_execution", {"AutomationExecutionId": _ID}),
    ("ssm", "DescribeAutomationExecutions"): ("ssm", "describe_automation_executions", {"MaxResults": 1}),
    ("sagemaker", "*"): ("sagemaker", "describe_endpoint", {"EndpointName": "there-is-no-such-endpoint"}),
    ("application-autoscaling", "*"): (
        "application-autoscaling",
        "describe_scalable_targets",
        {"ServiceNamespace": "sagemaker", "MaxResults": 1},
    ),
    ("iam", "GetRole"): ("iam", "get_role", {"RoleName": "there-is-no-such-role"}),
}


@probe(
    "AWS does not throttle the bursts of requests that the tests of many promotions assume",
    documented="assumed: embedded_aws/kernel/quotas.py, docs/limits.md",
    believed="none is throttled",
)
def bursts_of_requests(account: Account) -> str:
    """Send each burst at once, without retries."""
    throttled = []
    for (service, operation), (name, method, request) in _READS.items():
        rate = RATES[service, operation]
        burst = int(rate.burst)
        codes = _codes(getattr(account.client(name, retries=False), method), request, burst)
        refused = sum("Throttl" in code or "TooMany" in code or "RateExceeded" in code for code in codes)
        if refused:
            throttled.append(f"{method}: {refused} of {burst}")
    return "; ".join(throttled) or "none is throttled"


def _codes(call: Any, request: dict[str, Any], number: int) -> list[str]:
    """Return the error codes of so many equal requests at once."""
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: error_of(lambda: call(**request)), range(number)))
