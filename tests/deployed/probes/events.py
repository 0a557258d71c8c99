"""EventBridge: the policy of a bus, events that pass several buses, duplicates, and the text of an email."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from tests.deployed.account import Account, allow, document, trusting
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost

_COSTS = [Cost("EventBridge event", 5), Cost("SQS request", 100)]
_EVENTS = 200
_SETTLES_SECONDS = 60
_TEXT = 'It says "no".\nThen it ends.'


def _bus(account: Account, label: str) -> str:
    name = account.name(label)
    account.ledger.add("events", "delete_event_bus", Name=name)
    account.client("events").create_event_bus(Name=name)
    return name


def _put(account: Account, bus: str, detail: object, times: int = 1, source: str = "probe") -> None:
    entry = {"EventBusName": bus, "Source": source, "DetailType": "Probe", "Detail": json.dumps(detail)}
    for first in range(0, times, 10):
        account.client("events").put_events(Entries=[entry] * min(10, times - first))


def _settle(account: Account) -> None:
    """Wait until a new rule matches."""
    account.pause(0 if account.is_embedded else _SETTLES_SECONDS)


@probe(
    "PutTargets refuses a bus of another account whose policy does not admit the caller's role",
    documented="assumed: docs/deploying.md, order of the stacks; reported by two users, not documented",
    believed="AccessDeniedException",
)
def a_bus_of_another_account_is_checked(account: Account) -> str:
    """Add a bus in an account of AWS's documentation, which admits nobody here, as a target."""
    other = "111122223333"
    bus, events = _bus(account, "from"), account.client("events")
    name = account.name("foreign")
    account.ledger.add("events", "delete_rule", Name=name, EventBusName=bus)
    events.put_rule(Name=name, EventBusName=bus, EventPattern='{"source": ["probe"]}')
    role = account.role("foreign", [allow("events:PutEvents")], trusting("events"))
    arn = account.arn("events", "event-bus/default").replace(account.number, other)
    try:
        answer = events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "bus", "Arn": arn, "RoleArn": role}])
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(answer["FailedEntries"][0]["ErrorCode"] if answer["FailedEntryCount"] else "accepted")


@probe(
    "EventBridge evaluates the policy of a bus when a rule delivers to it; events:source is a key of several values",
    documented="EventBridge user guide, Permissions for event buses; key assumed: template.yaml, PromotionBusPolicy",
    believed="probe is delivered, other is not",
    costs=_COSTS,
)
def the_policy_at_delivery(account: Account) -> str:
    """Forward events of two sources to a bus whose policy denies one of them."""
    first, second = _bus(account, "sender"), _bus(account, "guarded")
    target = account.arn("events", f"event-bus/{second}")
    denial = allow("events:PutEvents", target, Principal="*", Sid="OnlyProbe") | {
        "Effect": "Deny",
        "Condition": {"ForAnyValue:StringNotEquals": {"events:source": "probe"}},
    }
    account.client("events").put_permission(EventBusName=second, Policy=document(denial))
    url, arn = account.queue("guarded")
    pattern = {"source": ["probe", "other"]}
    role = account.role("guarded", [allow("events:PutEvents", target)], trusting("events"))
    account.rule("guarded", pattern, {"Arn": arn}, second)
    account.settling(
        lambda: account.rule("sender", pattern, {"Arn": target, "RoleArn": role}, first), "cannot be assumed"
    )
    _settle(account)
    for source in ("other", "probe"):
        _put(account, first, {}, source=source)
    arrived = {json.loads(body)["source"] for body in account.messages(url, 2, 5 if account.is_embedded else 60)}
    return ", ".join(f"{each} is {'' if each in arrived else 'not '}delivered" for each in ("probe", "other")).replace(
        "not delivered", "not"
    )


@probe(
    "An event that a rule forwards to another bus keeps everything but its ID",
    documented="assumed: embedded_aws/services/events/api.py",
    believed="differs in id",
    costs=_COSTS,
)
def a_forwarded_event(account: Account) -> str:
    """Forward an event from one bus to another, and compare what both deliver."""
    first, second = _bus(account, "first"), _bus(account, "second")
    queues = [account.queue(label) for label in ("first", "second")]
    pattern = {"source": ["probe"]}
    target = account.arn("events", f"event-bus/{second}")
    role = account.role("forwards", [allow("events:PutEvents", target)], trusting("events"))
    account.rule("first", pattern, {"Arn": queues[0][1]}, first)
    account.rule("second", pattern, {"Arn": queues[1][1]}, second)
    account.settling(
        lambda: account.rule("forwards", pattern, {"Arn": target, "RoleArn": role}, first), "cannot be assumed"
    )
    _settle(account)
    _put(account, first, {})
    events = [json.loads(body) for url, _ in queues for body in account.messages(url, 1)]
    if len(events) < 2:
        return f"{len(events)} of 2 delivered"
    return f"differs in {', '.join(key for key in events[0] if events[0][key] != events[1].get(key))}"


@probe(
    f"Each of {_EVENTS} events is delivered, perhaps more than once",
    documented="EventBridge user guide, Event retry policy (at least once)",
    believed="none is missing",
    costs=[Cost("EventBridge event", _EVENTS), Cost("SQS request", 2 * _EVENTS)],
)
def every_event_is_delivered(account: Account) -> str:
    """Put many events, and count which arrive. The duplicates are printed, since they are permitted."""
    bus = _bus(account, "many")
    url, arn = account.queue("many")
    account.rule("many", {"source": ["probe"]}, {"Arn": arn}, bus)
    _settle(account)
    _put(account, bus, {}, _EVENTS)
    bodies = account.messages(url, _EVENTS)
    if not account.is_embedded:
        bodies += account.messages(url, 1, 30)
    identifiers = [json.loads(body)["id"] for body in bodies]
    missing, more = _EVENTS - len(set(identifiers)), len(identifiers) - len(set(identifiers))
    print(f"  events: {more} of {_EVENTS} were delivered more than once")
    return f"{missing} missing" if missing else "none is missing"


@probe(
    "The text of an email that an input template in quotes makes keeps these quotes, and the quotes and line breaks of "
    "a value",
    documented="EventBridge user guide, Input transformation; assumed for quotes: template.yaml, NotifyFailure",
    believed=json.dumps(f'"[qa] {_TEXT} End."'),
    costs=_COSTS,
)
def the_text_of_an_email(account: Account) -> str:
    """Deliver a summary with quotes and a line break with the template of the stage's emails."""
    bus = _bus(account, "mail")
    url, arn = account.queue("mail")
    transformer = {"InputPathsMap": {"summary": "$.detail.summary"}, "InputTemplate": '"[qa] <summary> End."'}
    account.rule("mail", {"source": ["probe"]}, {"Arn": arn, "InputTransformer": transformer}, bus)
    _settle(account)
    _put(account, bus, {"summary": _TEXT})
    bodies = account.messages(url, 1)
    return json.dumps(bodies[0]) if bodies else "nothing was delivered"


@probe(
    "In the predefined variable aws.events.event, the member detail-type is named detailType and detail is missing",
    documented="assumed: embedded_aws/services/events/input_transformer.py",
    believed="account, detailType, id, region, resources, source, time, version",
    costs=_COSTS,
)
def the_predefined_event(account: Account) -> str:
    """Deliver the predefined variable, and read its members."""
    bus = _bus(account, "whole")
    url, arn = account.queue("whole")
    transformer = {"InputPathsMap": {}, "InputTemplate": '{"event": <aws.events.event>}'}
    account.rule("whole", {"source": ["probe"]}, {"Arn": arn, "InputTransformer": transformer}, bus)
    _settle(account)
    _put(account, bus, {})
    bodies = account.messages(url, 1)
    return ", ".join(sorted(json.loads(bodies[0])["event"])) if bodies else "nothing was delivered"
