"""EventBridge: events of AWS services, the checks of PutEvents and PutTargets, and delivery to all targets.

moto stores buses, rules and targets, but delivers events only to queues, log groups and buses, and synchronously.
"""

from __future__ import annotations

import copy
import datetime
import json
import uuid
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.events.exceptions import InvalidEventPatternException, ValidationException
from moto.events.models import EventBus, EventPattern, EventPatternParser, EventsBackend, Rule, events_backends
from moto.events.responses import EventsHandler

from embedded_aws.gateway import headers
from embedded_aws.iam import decisions
from embedded_aws.kernel import accounts
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudwatch import metrics
from embedded_aws.services.events import delivery, input_transformer, patterns
from embedded_aws.services.events import targets as event_targets
from embedded_aws.services.events.targets import Delivery, Event

# Quotas of PutEvents and of rules: "Amazon EventBridge quotas" (eb-quota) and "Calculating event entry size".
_MOST_ENTRIES = 10
_MOST_BYTES = 1024 * 1024
_LONGEST_DETAIL_TYPE = 128
_MOST_TARGETS = 5

patches = Patches("5.2.5")
_background = Background("event delivery")
_pace = 1.0
_put_targets_in_moto = EventsBackend.put_targets
_delete_event_bus_in_moto = EventsBackend.delete_event_bus


def install(host: Host) -> None:
    """Start the delivery of events."""
    global _background, _pace
    _background, _pace = Background("event delivery"), host.pace.waiting
    host.exits.callback(_background.end)
    patches.apply()


@patches.replaces(
    EventBus, "_remove_principals_statements", "moto removes a bus's other statements for the same principal."
)
def _remove_principals_statements(bus: EventBus, *principals: Any) -> None:
    """Remove nothing: on AWS, a statement replaces only the one with the same Sid."""


def emit(
    account: str,
    source: str,
    detail_type: str,
    detail: dict[str, Any],
    resources: list[str],
    region: str = accounts.REGION,
) -> None:
    """Put an event of an AWS service on the account's default bus; return before it is delivered."""
    bus = events_backends[account][region].event_buses["default"]
    _receive(bus, event(account, region, source, detail_type, detail, resources))


def _receive(bus: EventBus, event: Event) -> None:
    for rule in list(bus.rules.values()):
        _offer(rule, event)


def _offer(rule: Rule, event: Event) -> None:
    # A rule without a pattern has a schedule.
    pattern = rule.event_pattern.get_pattern()
    if rule.state == "DISABLED" or not pattern or not patterns.matches(pattern, event.envelope):
        return
    trigger(rule, event)


def trigger(rule: Rule, event: Event) -> None:
    """Deliver an event to all targets of a rule; return before it is delivered."""
    # The metrics of a rule of the default bus have only the dimension RuleName (eb-monitoring).
    bus = {} if rule.event_bus_name == "default" else {"EventBusName": rule.event_bus_name}
    metrics.report(rule.account_id, rule.region_name, "AWS/Events", "TriggeredRules", 1, RuleName=rule.name, **bus)
    for target in copy.deepcopy(rule.targets):
        _background.run(delivery.deliver, Delivery(event, target, rule.name, rule.arn), _background, _pace)


def event(
    account: str,
    region: str,
    source: str,
    detail_type: str,
    detail: dict[str, Any],
    resources: list[str],
    time: str | None = None,
) -> Event:
    """Return an event with the envelope of "AWS service event metadata" (eb-events-structure)."""
    envelope = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": time or _now(),
        "region": region,
        "resources": resources,
        # A copy: later changes of `detail` must not change the event.
        "detail": json.loads(json.dumps(detail)),
    }
    return Event(envelope, _now())


def _now() -> str:
    return _iso(datetime.datetime.now(datetime.UTC))


def _iso(time: datetime.datetime | float | str) -> str:
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    if isinstance(time, int | float):
        time = datetime.datetime.fromtimestamp(time, datetime.UTC)
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@patches.replaces(EventsHandler, "put_events", "moto omits the errors of entries and does not retry a delivery.")
def _put_events(handler: EventsHandler) -> str:
    """Answer PutEvents; the error codes of entries are from "Troubleshooting" (eb-troubleshooting)."""
    entries = handler._get_param("Entries") or []
    if not 1 <= len(entries) <= _MOST_ENTRIES:
        bound = "less than or equal to 10" if entries else "greater than or equal to 1"
        raise ValidationException(
            "1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed to satisfy constraint: "
            f"Member must have length {bound}"
        )
    if sum(_size(entry) for entry in entries) > _MOST_BYTES:
        raise ValidationException("Total size of the entries in the request is over the limit.")
    forwarded = event_targets.take_forwarded(handler.headers.get(headers.FORWARDED_EVENT, ""))
    results = []
    for entry in entries:
        bus_arn = _bus_arn(entry.get("EventBusName") or "default", handler.current_account, handler.region)
        if refusal := _refusal(entry, forwarded is not None):
            results.append({"ErrorCode": refusal[0], "ErrorMessage": refusal[1]})
            continue
        if forwarded:
            # Only the ID changes: each bus assigns a new one. AWS does not document this.
            received = Event({**forwarded.envelope, "id": str(uuid.uuid4())}, _now(), forwarded=True)
        else:
            received = event(
                handler.current_account,
                handler.region,
                entry["Source"],
                entry["DetailType"],
                json.loads(entry["Detail"]),
                entry.get("Resources") or [],
                _iso(entry["Time"]) if entry.get("Time") else None,
            )
        results.append({"EventId": received.envelope["id"]})
        # An event for a bus that does not exist is accepted and dropped.
        if bus := _bus(bus_arn):
            _receive(bus, received)
    return json.dumps({"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results})


def _size(entry: dict[str, Any]) -> int:
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")] + (entry.get("Resources") or [])
    return sum(len(text.encode()) for text in texts) + (14 if entry.get("Time") else 0)


def _refusal(entry: dict[str, Any], forwarded: bool) -> tuple[str, str] | None:
    """Return the code and message of the error with which EventBridge refuses an entry, or None."""
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            return "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
    if entry["Source"].startswith("aws.") and not forwarded:
        return "NotAuthorizedForSourceException", "Not authorized for the source."
    if len(entry["DetailType"]) > _LONGEST_DETAIL_TYPE:
        return "InvalidArgument", "Parameter DetailType is not valid. Reason: Length must not exceed 128 characters."
    try:
        detail = json.loads(entry["Detail"])
    except ValueError:
        detail = None
    return None if isinstance(detail, dict) else ("MalformedDetail", "Detail is malformed.")


def _bus_arn(name_or_arn: str, account: str, region: str) -> str:
    return (
        name_or_arn if name_or_arn.startswith("arn:") else f"arn:aws:events:{region}:{account}:event-bus/{name_or_arn}"
    )


def _bus(arn: str) -> EventBus | None:
    buses = events_backends[accounts.account_of(arn)][arn.split(":")[3]].event_buses
    return buses.get(arn.partition(":event-bus/")[2])


def _allows(bus_arn: str, account: str, role_arn: str) -> bool:
    """Return whether a bus accepts events of an account ("Permissions for event buses", eb-event-bus-permissions)."""
    if accounts.account_of(bus_arn) == account:
        return True
    return decisions.resource_admits(decisions.Caller(account, role_arn, role_arn), "events:PutEvents", bus_arn)


@patches.replaces(EventsBackend, "put_targets", "moto accepts targets that EventBridge refuses.")
def _put_targets(backend: EventsBackend, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]) -> None:
    """Check the targets as PutTargets does."""
    for target in targets:
        _check_target(target, backend.account_id)
    rule = backend.describe_rule(name, event_bus_arn)
    if len({target["Id"] for target in [*rule.targets, *targets]}) > _MOST_TARGETS:
        raise JsonRESTError(
            "LimitExceededException", "The requested resource exceeds the maximum number allowed for targets of a rule."
        )
    _put_targets_in_moto(backend, name, event_bus_arn, targets)


@patches.replaces(EventsBackend, "delete_event_bus", "moto deletes a bus that has rules.")
def _delete_event_bus(backend: EventsBackend, name: str) -> None:
    if (bus := backend.event_buses.get(name)) and bus.rules:
        raise ValidationException("EventBus can't be deleted since it has rules.")
    _delete_event_bus_in_moto(backend, name)


def _check_target(target: dict[str, Any], account: str) -> None:
    arn = target["Arn"]
    if arn.count(":") < 5:
        raise ValidationException(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
    if not event_targets.is_supported(arn):
        raise ValidationException(f"The embedded EventBridge does not support the target {arn}.")
    try:
        input_transformer.check(target)
    except input_transformer.InvalidInputError as error:
        raise ValidationException(str(error)) from None
    if event_targets.needs_role(arn, account) and not target.get("RoleArn"):
        raise ValidationException(f"RoleArn is required for target {arn}.")
    if event_targets.is_event_bus(arn) and input_transformer.changes_event(target):
        raise ValidationException(f"Modifying the input for target {target['Id']} is not supported.")
    # AWS checks the policy of the other account's bus when the target is added, so the policy must exist before it.
    if event_targets.is_event_bus(arn) and not _allows(arn, account, target.get("RoleArn", "")):
        raise JsonRESTError(
            "AccessDeniedException",
            f"Access to the resource {arn} is denied. Reason: Adding cross-account target is not permitted.",
        )


@patches.replaces(EventPatternParser, "parse", "moto accepts patterns that EventBridge refuses.")
def _parse_pattern(parser: EventPatternParser) -> dict[str, Any]:
    if not parser.pattern:
        return {}
    try:
        return patterns.parse(parser.pattern)
    except patterns.InvalidPatternError as error:
        raise InvalidEventPatternException(reason=str(error)) from None


@patches.replaces(EventsHandler, "test_event_pattern", "moto does not implement TestEventPattern.")
def _test_event_pattern(handler: EventsHandler) -> str:
    """Answer TestEventPattern."""
    pattern = EventPattern.load(handler._get_param("EventPattern")).get_pattern()
    try:
        event = json.loads(handler._get_param("Event"))
    except ValueError:
        raise ValidationException("Parameter Event is not valid.") from None
    for field in ("id", "account", "source", "time", "region", "resources", "detail-type"):
        if field not in event:
            raise ValidationException(f"Parameter Event is not valid. Reason: {field} is a required field.")
    return json.dumps({"Result": patterns.matches(pattern, event)})


@patches.replaces(Rule, "send_to_targets", "moto sends events of S3 to the rules of every bus.")
def _offer_s3_event(rule: Rule, original_event: dict[str, Any], transform_input: bool = True) -> None:
    """Send an event of S3 only to the rules of the default bus, as AWS services do."""
    if rule.event_bus_name == "default":
        envelope = {**original_event, "id": str(uuid.uuid4()), "time": _iso(original_event["time"])}
        _offer(rule, Event(envelope, _now()))
