"""What a promotion costs beyond SageMaker, at the list prices of eu-west-1 in US dollars, without free tiers.

The prices are those of the pricing pages of the services at the end of 2025. Storage, data transfer and the endpoint
itself are not included.
"""

from __future__ import annotations

from tests.scale.promotions import Result

_PER_TRANSITION = 0.000025
_PER_INVOCATION, _PER_GB_SECOND = 0.0000002, 0.0000133334  # Arm
_PER_READ_UNIT, _PER_WRITE_UNIT = 0.0000001415, 0.000000705
_PER_EVENT = 0.000001
_PER_ALARM_REQUEST = 0.00001
_PER_STEP_OF_AN_AUTOMATION = 0.002
_PER_S3_WRITE, _PER_S3_READ = 0.000005, 0.0000004
_WRITES = {"PutObject", "CopyObject", "ListObjectsV2"}


def per_promotion(result: Result, memory_mb: int = 1769) -> dict[str, float]:
    """Return the cost of a promotion in dollars by service. All functions are counted with the memory of most."""
    calls = result.account.counts.calls
    s3 = {operation: number for (service, operation), number in calls.items() if service == "s3"}
    writes = sum(number for operation, number in s3.items() if operation in _WRITES)
    reads = sum(number for operation, number in s3.items() if operation not in _WRITES and operation != "DeleteObjects")
    seconds = sum(result.functions.seconds.values())
    alarms = calls["monitoring", "PutMetricAlarm"] + calls["monitoring", "DescribeAlarms"]
    costs = {
        "Step Functions": sum(each.transitions for each in result.executions) * _PER_TRANSITION,
        "Lambda": sum(result.functions.invocations.values()) * _PER_INVOCATION
        + seconds * memory_mb / 1024 * _PER_GB_SECOND,
        "DynamoDB": result.services.read_units * _PER_READ_UNIT + result.services.write_units * _PER_WRITE_UNIT,
        "S3": writes * _PER_S3_WRITE + reads * _PER_S3_READ,
        "CloudWatch": alarms * _PER_ALARM_REQUEST,
        "EventBridge": calls["events", "PutEvents"] * _PER_EVENT,
        "Systems Manager": 2 * len(result.automations.known) * _PER_STEP_OF_AN_AUTOMATION,
    }
    return {service: cost / result.applications for service, cost in costs.items()}
