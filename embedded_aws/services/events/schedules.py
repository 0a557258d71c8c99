"""EventBridge rules with a schedule, as in "Creating a rule that runs on a schedule" (eb-create-rule-schedule).

The embedded AWS's pace sets the length of a minute. If its pace turns schedules off, only `run` triggers a rule.
"""

from __future__ import annotations

import re
import time
from typing import Any

from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend, Rule, events_backends

from embedded_aws.kernel import accounts
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.events import api as events

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60}
_POLL_SECONDS = 0.5

patches = Patches("5.2.5")
_put_rule_in_moto = EventsBackend.put_rule


def install(host: Host) -> None:
    """Start the schedules unless the pace turns them off."""
    if host.pace.schedules:
        background = Background("schedules")
        host.exits.callback(background.end)
        background.run(watch, background, host.pace.minute)
    patches.apply()


@patches.replaces(EventsBackend, "put_rule", "moto never runs schedules; here, rate expressions run.")
def _put_rule(backend: EventsBackend, *arguments: Any, **members: Any) -> Rule:
    expression = members.get("scheduled_expression")
    if expression and not _RATE.fullmatch(expression):
        raise ValidationException(f"The embedded EventBridge supports only rate expressions, not {expression}.")
    return _put_rule_in_moto(backend, *arguments, **members)


def run(account: str, rule_name: str, region: str = accounts.REGION) -> None:
    """Trigger a scheduled rule now."""
    _run(events_backends[account][region].event_buses["default"].rules[rule_name])


def watch(background: Background, minute: float) -> None:
    """Trigger rules at their rate, counted from their creation; a minute takes `minute` seconds."""
    due: dict[str, float] = {}
    while background.pause(_POLL_SECONDS):
        now = time.monotonic()
        for rule in _scheduled():
            interval = _minutes(rule) * minute
            if now >= due.setdefault(rule.arn, now + interval):
                due[rule.arn] = now + interval
                _run(rule)


def _scheduled() -> list[Rule]:
    # "You can create scheduled rules only on the default event bus."
    return [
        rule
        for regions in list(events_backends.values())
        for backend in list(regions.values())
        for rule in list(backend.event_buses["default"].rules.values())
        if rule.scheduled_expression
    ]


def _minutes(rule: Rule) -> int:
    rate = _RATE.fullmatch(rule.scheduled_expression)
    return int(rate[1]) * _MINUTES[rate[2]] if rate else 0


def _run(rule: Rule) -> None:
    if rule.state == "ENABLED":
        event = events.event(rule.account_id, rule.region_name, "aws.events", "Scheduled Event", {}, [rule.arn])
        events.trigger(rule, event)
