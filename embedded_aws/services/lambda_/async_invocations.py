"""Lambda's asynchronous invocations: events that are queued, retried and finally reported to a destination.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html, invocation-async-retain-records.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.kernel.background import Background
from embedded_aws.services.lambda_.environments import Outcome, RoleNotAssumedError, ThrottledError

PRINCIPAL = "lambda.amazonaws.com"
# Lambda waits one minute before the second attempt and two minutes before the third.
_RETRY_SECONDS = (0.5, 1.0)
_THROTTLED_SECONDS = 0.5
# Lambda's queue has no such limit; a small machine needs one.
_MOST_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Invocation:
    """One call of a function."""

    function: Any
    function_arn: str
    request_id: str
    event: bytes


class EventQueue:
    """The queue of asynchronous invocations."""

    def __init__(self, run: Callable[[Invocation], Outcome]) -> None:
        self._run = run
        self._background = Background("event for a function")
        self._slots = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def put(self, invocation: Invocation) -> None:
        """Add an invocation to the queue."""
        self._background.run(self._deliver, invocation)

    def close(self) -> None:
        """Stop deliveries and wait for those that are running."""
        self._background.end()

    def _deliver(self, invocation: Invocation) -> None:
        function = invocation.function
        settings = function.event_invoke_config[-1].config if function.event_invoke_config else {}
        too_old = time.monotonic() + settings.get("MaximumEventAgeInSeconds", 21600)
        delays = list(_RETRY_SECONDS[: settings.get("MaximumRetryAttempts", len(_RETRY_SECONDS))])
        attempts, outcome = 0, None
        condition = "RetriesExhausted"
        while not self._background.ending:
            if time.monotonic() > too_old:
                condition = "EventAgeExceeded"
                break
            try:
                with self._slots:
                    outcome = self._run(invocation)
            except ThrottledError:
                if str(function.reserved_concurrency) == "0":
                    break  # without concurrency, events go to the dead-letter queue or destination without a retry
                self._background.pause(_THROTTLED_SECONDS)
                continue
            except (zipfile.BadZipFile, RoleNotAssumedError):
                break
            attempts += 1
            if not outcome.failed:
                condition = "Success"
                break
            if not delays:
                break
            self._background.pause(delays.pop(0))
        if not self._background.ending:
            _report(invocation, settings.get("DestinationConfig", {}), condition, attempts, outcome)


def _report(
    invocation: Invocation, destinations: dict[str, Any], condition: str, attempts: int, outcome: Outcome | None
) -> None:
    function = invocation.function
    side = "OnSuccess" if condition == "Success" else "OnFailure"
    if destination := destinations.get(side, {}).get("Destination"):
        record = {
            "version": "1.0",
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")[:23] + "Z",
            "requestContext": {
                "requestId": invocation.request_id,
                "functionArn": f"{function.function_arn}:{function.version}",
                "condition": condition,
                "approximateInvokeCount": attempts,
            },
            "requestPayload": json.loads(invocation.event),
        }
        if outcome:
            context = {"statusCode": 200, "executedVersion": str(function.version)}
            record["responseContext"] = context | ({"functionError": "Unhandled"} if outcome.failed else {})
            record["responsePayload"] = json.loads(outcome.payload)
        _send(function, destination, json.dumps(record), {}, side.removeprefix("On"))
    if side == "OnFailure" and (queue := function.dead_letter_config.get("TargetArn")):
        error = json.loads(outcome.payload).get("errorMessage", "") if outcome else condition
        attributes = {
            "RequestID": {"DataType": "String", "StringValue": invocation.request_id},
            "ErrorCode": {"DataType": "Number", "StringValue": "200" if outcome else "429"},
            "ErrorMessage": {"DataType": "String", "StringValue": error[:1024] or condition},
        }
        _send(function, queue, invocation.event.decode(), attributes, side)


def _send(function: Any, arn: str, body: str, attributes: dict[str, Any], result: str) -> None:
    service, region, account, name = arn.split(":", 5)[2:]
    # On AWS, a failed delivery is only counted in a metric (DestinationDeliveryFailures, DeadLetterErrors).
    with contextlib.suppress(ClientError):
        by = clients.ServiceCall(PRINCIPAL, function.function_arn)
        client = clients.client_as_role(service, function.role, function.function_name, by, region)
        match service:
            case "sqs":
                url = f"{accounts.endpoint_url()}/{account}/{name}"
                client.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
            case "sns":
                client.publish(TopicArn=arn, Message=body, MessageAttributes=attributes)
            case "lambda":
                client.invoke(FunctionName=arn, InvocationType="Event", Payload=body)
            case "events":
                entry = {
                    "Source": "lambda",
                    "DetailType": f"Lambda Function Invocation Result - {result}",
                    "Resources": [function.function_arn, arn],
                    "Detail": body,
                    "EventBusName": arn,
                }
                client.put_events(Entries=[entry])
