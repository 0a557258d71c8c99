"""Lambda under Step Functions: the errors and causes of failed functions, and the boto3 of the runtime."""

from __future__ import annotations

import json
from typing import Any

from tests.deployed.account import Account, allow, trusting
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost

_COSTS = [Cost("Lambda gigabyte-second", 1), Cost("state transition", 4)]
# What the functions call with members that an older boto3 does not know.
_MEMBERS = {
    "s3": {"CopyObject": ["IfNoneMatch"], "CompleteMultipartUpload": ["ChecksumCRC64NVME", "MpuObjectSize"]},
    "sagemaker": {"CreateModel": ["PrimaryContainer", "Containers"], "UpdateEndpoint": ["DeploymentConfig"]},
    "ssm": {"StartAutomationExecution": ["Tags"]},
}
_CODE = f"""
import time

def handler(event, context):
    kind = event["kind"]
    if kind == "slow":
        time.sleep(60)
    if kind == "memory":
        filled = bytearray(2_000_000_000)
        return len(filled)
    if kind == "long":
        raise ValueError("x" * 40_000)
    if kind == "sdk":
        import boto3, botocore
        missing = []
        for service, operations in {_MEMBERS!r}.items():
            model = boto3.client(service, region_name="us-east-1").meta.service_model
            for operation, members in operations.items():
                known = model.operation_model(operation).input_shape.members
                missing += [f"{{operation}}.{{member}}" for member in members if member not in known]
        return missing
"""


def _failure(account: Account, kind: str, timeout: int = 30) -> tuple[str, str]:
    """Return the error and the cause with which a state fails that invokes a function of this kind."""
    found = _run(account, kind, timeout)
    return str(found["Error"]), str(found["Cause"])


def _run(account: Account, kind: str, timeout: int) -> Any:
    role = account.role(f"fn-{kind}", [], trusting("lambda"))
    function = account.function(kind, _CODE, role, timeout, 256)
    states = account.role(f"st-{kind}", [allow("lambda:InvokeFunction", function)], trusting("states"))
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Invoke",
        "States": {
            "Invoke": {
                "Type": "Task",
                "Resource": f"arn:{account.partition}:states:::lambda:invoke",
                "Arguments": {"FunctionName": function, "Payload": {"kind": kind}},
                "Output": "{% $states.result.Payload %}",
                "Retry": [{"ErrorEquals": ["Lambda.AWSLambdaException"], "IntervalSeconds": 3, "MaxAttempts": 8}],
                "Catch": [
                    {
                        "ErrorEquals": ["States.ALL"],
                        "Output": "{% $states.errorOutput %}",
                        "Next": "Failed",
                    }
                ],
                "End": True,
            },
            "Failed": {"Type": "Succeed"},
        },
    }
    execution = account.execution(account.machine(kind, definition, states), {})
    return json.loads(execution["output"])


def _form(cause: str) -> str:
    """Return the form of a cause: JSON with its keys, or a sentence."""
    try:
        document = json.loads(cause)
    except ValueError:
        return "a sentence with JSON" if '{"errorMessage"' in cause else "a sentence"
    return f"JSON with {', '.join(sorted(document))}"


@probe(
    "A function that times out fails the state with Sandbox.Timedout, and the cause is JSON",
    documented="Step Functions developer guide, Handling errors; form assumed: template.yaml, ErrorMessage",
    believed="Sandbox.Timedout: JSON with errorMessage, errorType",
    costs=_COSTS,
)
def a_function_that_times_out(account: Account) -> str:
    """Invoke a function that takes longer than its time-out."""
    error, cause = _failure(account, "slow", 3)
    return f"{error}: {_form(cause)}"


@probe(
    "A function that exceeds its memory fails the state with Runtime.ExitError or OutOfMemory",
    documented="Lambda developer guide, Troubleshoot invocation; assumed: template.yaml, TransientErrors",
    believed="Runtime.OutOfMemory: JSON with errorMessage, errorType",
    not_modeled="The embedded Lambda does not limit memory.",
    costs=_COSTS,
)
def a_function_out_of_memory(account: Account) -> str:
    """Invoke a function that fills more memory than it has."""
    error, cause = _failure(account, "memory")
    return f"{error}: {_form(cause)}"


@probe(
    "The cause of an exception with a message of 40,000 characters is cut to 32,768 characters, so that it is not JSON",
    documented="Step Functions API reference, DescribeExecution (cause); assumed: template.yaml, ErrorMessage",
    believed="ValueError: 32768 characters",
    costs=_COSTS,
)
def a_cause_of_40_kilobytes(account: Account) -> str:
    """Invoke a function that raises an exception with a long message."""
    error, cause = _failure(account, "long")
    return f"{error}: {len(cause)} characters"


@probe(
    "The boto3 of Lambda's Python runtime knows every member that the functions send",
    documented="assumed: functions/requirements.txt has no boto3",
    believed="no member is missing",
    costs=_COSTS,
)
def boto3_of_the_runtime(account: Account) -> str:
    """Read the service models of the runtime's boto3."""
    missing = _run(account, "sdk", timeout=60)
    return f"missing: {missing}" if missing else "no member is missing"
