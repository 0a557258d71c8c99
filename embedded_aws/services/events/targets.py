"""Calls of the targets of EventBridge rules.

EventBridge calls some targets with the target's role and others as a service principal. Sources: "Event bus targets in
Amazon EventBridge" (eb-targets) and "Using resource-based policies" (eb-use-resource-based) in the user guide.
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.gateway import headers
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts

PRINCIPAL = "events.amazonaws.com"


@dataclasses.dataclass(frozen=True)
class Event:
    """An event that a bus received; `forwarded` if another bus sent it."""

    envelope: dict[str, Any]
    ingestion_time: str
    forwarded: bool = False


@dataclasses.dataclass(frozen=True)
class Delivery:
    """One event for one target of one rule."""

    event: Event
    target: dict[str, Any]
    rule_name: str
    rule_arn: str

    @property
    def arn(self) -> str:
        """The ARN of the target."""
        return str(self.target["Arn"])


class DeliveryError(Exception):
    """A call to a target failed; `code` is an ERROR_CODE of "Using dead-letter queues" (eb-rule-dlq)."""

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


# Events in transit between two buses, by the token in the header of their PutEvents call. The call itself cannot
# contain the account of the event or a source that is reserved for AWS.
_in_transit: dict[str, Event] = {}


def take_forwarded(token: str) -> Event | None:
    """Remove and return the event in transit with this token, or None."""
    return _in_transit.pop(token, None)


def is_supported(arn: str) -> bool:
    """Return whether events can be delivered to a target."""
    return _sender(arn) is not None


def is_event_bus(arn: str) -> bool:
    """Return whether a target is an event bus."""
    return _kind(arn) == ("events", "event-bus")


def needs_role(arn: str, account: str) -> bool:
    """Return whether PutTargets requires a RoleArn for a target of a rule in `account`."""
    service, _ = _kind(arn)
    return service in ("states", "ssm") or accounts.account_of(arn) != account


def send(delivery: Delivery, text: str) -> None:
    """Call the target with the input `text`; raise DeliveryError."""
    sender = _sender(delivery.arn)
    if sender is None:
        raise DeliveryError("UNKNOWN", f"Events cannot be delivered to {delivery.arn}.")
    try:
        sender(delivery, text)
    except ClientError as error:
        raise _failure(error) from error
    except BotoCoreError as error:
        raise DeliveryError("CONNECTION_FAILURE", str(error), retryable=True) from error


def send_to_queue(client: Any, queue_arn: str, body: str, **options: Any) -> None:
    """Send a message to the queue with this ARN."""
    *_, account, name = queue_arn.split(":")
    client.send_message(QueueUrl=f"{accounts.endpoint_url()}/{account}/{name}", MessageBody=body, **options)


def rule_client(service: str, rule_arn: str, resource_arn: str) -> Any:
    """Return a client with EventBridge's service principal, which the resource's policy must allow."""
    return clients.client_as_service(service, PRINCIPAL, rule_arn, accounts.account_of(resource_arn), _region(rule_arn))


def _kind(arn: str) -> tuple[str, str]:
    """Return the service and the resource type of an ARN: ("events", "event-bus"), ("sqs", "")."""
    _, _, service, _, _, resource = arn.split(":", 5)
    kind, separator, _ = resource.replace(":", "/").partition("/")
    return service, kind if separator else ""


def _sender(arn: str) -> Callable[[Delivery, str], None] | None:
    return {
        ("states", "stateMachine"): _start_state_machine,
        ("ssm", "automation-definition"): _start_automation,
        ("events", "event-bus"): _put_on_bus,
        ("lambda", "function"): _invoke_function,
        ("sns", ""): _publish,
        ("sqs", ""): _send_message,
        ("logs", "log-group"): _log,
    }.get(_kind(arn))


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _client(service: str, delivery: Delivery) -> Any:
    """Return a client with the target's role or, without one, with EventBridge's service principal."""
    if role_arn := delivery.target.get("RoleArn"):
        try:
            service_call = clients.ServiceCall(PRINCIPAL, delivery.rule_arn)
            return clients.client_as_role(service, role_arn, uuid.uuid4().hex, service_call, _region(delivery.arn))
        except ClientError as error:
            raise DeliveryError("FAILED_TO_ASSUME_ROLE", str(error)) from error
    return rule_client(service, delivery.rule_arn, delivery.arn)


def _start_state_machine(delivery: Delivery, text: str) -> None:
    _client("stepfunctions", delivery).start_execution(
        stateMachineArn=delivery.arn, input=text, name=f"{delivery.event.envelope['id']}_{uuid.uuid4()}"
    )


def _start_automation(delivery: Delivery, text: str) -> None:
    """Start an automation ("Running automations based on EventBridge events", running-automations-event-bridge)."""
    name, _, version = delivery.arn.split(":automation-definition/")[1].partition(":")
    parameters = _decoded(text)
    if not isinstance(parameters, dict) or not all(
        isinstance(values, list) and all(isinstance(value, str) for value in values) for values in parameters.values()
    ):
        raise DeliveryError("SDK_CLIENT_ERROR", "The input of an automation must map parameters to arrays of strings.")
    _client("ssm", delivery).start_automation_execution(
        DocumentName=name, DocumentVersion=version or "$DEFAULT", **({"Parameters": parameters} if parameters else {})
    )


def _put_on_bus(delivery: Delivery, text: str) -> None:
    """Send the event to another bus; an event can be forwarded only once (eb-bus-to-bus)."""
    event = delivery.event
    if event.forwarded:
        raise DeliveryError(
            "THIRD_ACCOUNT_HOP_DETECTED",
            f"Event ingestion rejected for event {event.envelope['id']} because an event can be sent to an event bus "
            "target only once. This event was previously delivered to an event bus target.",
        )
    token = uuid.uuid4().hex
    client = _client("events", delivery)

    def add_token(request: Any, **_: object) -> None:
        request.headers[headers.FORWARDED_EVENT] = token

    client.meta.events.register("before-sign.events.PutEvents", add_token)
    _in_transit[token] = event
    try:
        client.put_events(
            Entries=[
                {
                    "EventBusName": delivery.arn,
                    "Source": event.envelope["source"],
                    "DetailType": event.envelope["detail-type"],
                    "Detail": json.dumps(event.envelope["detail"]),
                }
            ]
        )
    finally:
        _in_transit.pop(token, None)


def _invoke_function(delivery: Delivery, text: str) -> None:
    _client("lambda", delivery).invoke(FunctionName=delivery.arn, InvocationType="Event", Payload=text.encode())


def _publish(delivery: Delivery, text: str) -> None:
    _client("sns", delivery).publish(TopicArn=delivery.arn, Message=text)


def _send_message(delivery: Delivery, text: str) -> None:
    group = delivery.target.get("SqsParameters", {}).get("MessageGroupId")
    options = {"MessageGroupId": group} if group else {}
    send_to_queue(_client("sqs", delivery), delivery.arn, text, **options)


def _log(delivery: Delivery, text: str) -> None:
    group = delivery.arn.split(":log-group:")[1].removesuffix(":*")
    client = _client("logs", delivery)
    stream = str(uuid.uuid4())
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    client.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[{"timestamp": int(time.time() * 1000), "message": text}],
    )


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DeliveryError("INVALID_JSON", f"The input of the target is not valid JSON: {error}.") from None


def _failure(error: ClientError) -> DeliveryError:
    """Return the delivery error for a response; EventBridge retries only throttling and 5xx errors."""
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if "Throttl" in code or "TooManyRequests" in code or status == 429:
        return DeliveryError("THROTTLING", str(error), retryable=True)
    if status >= 500:
        return DeliveryError("ERROR_FROM_TARGET", str(error), retryable=True)
    if status == 403 or "AccessDenied" in code or "AuthorizationError" in code:
        return DeliveryError("NO_PERMISSIONS", str(error))
    if status == 404 or any(word in code for word in ("NotFound", "DoesNotExist", "NonExistent")):
        return DeliveryError("NO_RESOURCE", str(error))
    if "AlreadyExists" in code:
        return DeliveryError("RESOURCE_ALREADY_EXISTS", str(error))
    return DeliveryError("SDK_CLIENT_ERROR", str(error))
