"""CloudWatch alarms: evaluation of their metrics, and their actions when the state changes.

Sources: "Alarm evaluation" (alarm-evaluation) and "Configuring how CloudWatch alarms treat missing data"
(alarms-and-missing-data) in the CloudWatch user guide. The embedded AWS's pace sets the length of a minute. Composite
alarms are not evaluated; SetAlarmState sets their state. That of any other alarm lasts until its next evaluation
(API_SetAlarmState). Actions that execute scaling policies do nothing.
"""

from __future__ import annotations

import datetime
import json
import logging
import operator
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudwatch import alarm_metrics, metrics
from embedded_aws.services.cloudwatch.alarm_metrics import CannotEvaluateError

PRINCIPAL = "cloudwatch.amazonaws.com"
INSUFFICIENT = "INSUFFICIENT_DATA"
_STATE = ("state_reason", "state_reason_data", "state_updated_timestamp", "state_value", "history")
# CloudWatch retrieves more data points than an alarm evaluates: in the guide, 5 for an alarm that evaluates 3.
_FURTHER_PERIODS = 2
_SNS, _SCALING = "arn:aws:sns:", "arn:aws:autoscaling:"
_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}

patches = Patches("5.2.5")
_put_in_moto = CloudWatchBackend.put_metric_alarm
_logger = logging.getLogger(__name__)
_minute = 60.0
_last_put = 0.0
_background = Background("alarms")


def install(host: Host) -> None:
    """Start the evaluation of alarms."""
    global _background, _minute
    _background, _minute = Background("alarms"), host.pace.minute
    host.exits.callback(_background.end)
    _background.run(_watch, _background)
    patches.apply()


@patches.replaces(CloudWatchBackend, "put_metric_alarm", "moto resets the state of an updated alarm.")
def _put_metric_alarm(backend: CloudWatchBackend, **members: Any) -> Alarm:
    global _last_put
    previous = backend.alarms.get(members["name"])
    alarm = _put_in_moto(backend, **members)
    try:
        _check(alarm)
    except ValidationError:
        backend.alarms.pop(alarm.name)
        if previous:
            backend.alarms[alarm.name] = previous
        raise
    # "When you update an existing alarm, its state is left unchanged" (API_PutMetricAlarm).
    alarm.state_value = INSUFFICIENT
    for attribute in _STATE if previous else ():
        setattr(alarm, attribute, getattr(previous, attribute))
    _last_put = time.time()
    return alarm


def evaluate(now: float) -> None:
    """Evaluate every alarm at the time `now`, in seconds since 1970, and update its state."""
    for account, alarm in _evaluated():
        expression, seconds = alarm_metrics.expression(alarm), _period_seconds(alarm)
        # The windows slide: the newest period ends now.
        ends = [now - number * seconds for number in range(_periods(alarm))]
        points = [expression.value(account, alarm.region_name, end - seconds, end) for end in ends]
        state, evaluated_points = evaluate_points(alarm, points)
        if state != alarm.state_value:
            _change(alarm, account, state, evaluated_points)


def _watch(background: Background) -> None:
    """Evaluate once a minute, as CloudWatch does, while there are data recent enough to change a state."""
    evaluated = 0.0
    while background.pause(_minute):
        metrics.report_queues()
        longest = max((_period_seconds(alarm) * _periods(alarm) for _, alarm in _evaluated()), default=0.0)
        if evaluated <= max(_last_put, metrics.newest()) + longest:
            evaluated = time.time()
            evaluate(evaluated)


def _evaluated() -> list[tuple[str, Alarm]]:
    """Return the alarms that are evaluated, each with its account."""
    backends = [
        (account, backend)
        for account, regions in list(cloudwatch_backends.items())
        for backend in list(regions.values())
    ]
    return [
        (account, alarm) for account, backend in backends for alarm in list(backend.alarms.values()) if not alarm.rule
    ]


def _check(alarm: Alarm) -> None:
    """Raise ValidationError if the alarm cannot be evaluated."""
    if alarm.rule:
        return
    actions = [*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_data_actions]
    try:
        alarm_metrics.expression(alarm)
        if alarm.comparison_operator not in _COMPARISONS:
            raise CannotEvaluateError(f"has the comparison operator {alarm.comparison_operator}")
        if alarm.datapoints_to_alarm not in (None, alarm.evaluation_periods):
            raise CannotEvaluateError("has a value of DatapointsToAlarm other than EvaluationPeriods")
        if unsupported := [action for action in actions if not action.startswith((_SNS, _SCALING))]:
            raise CannotEvaluateError(f"has the action {unsupported[0]}")
    except CannotEvaluateError as error:
        raise ValidationError(f"The embedded CloudWatch cannot evaluate the alarm {alarm.name}: it {error}.") from error


def _period_seconds(alarm: Alarm) -> float:
    return alarm_metrics.expression(alarm).period * _minute / 60


def _periods(alarm: Alarm) -> int:
    return int(alarm.evaluation_periods) + _FURTHER_PERIODS


def evaluate_points(alarm: Alarm, points: list[float | None]) -> tuple[str, list[float]]:
    """Return the state that the data points (newest first) result in, and the points that were evaluated."""
    count = int(alarm.evaluation_periods)
    known = [point for point in points if point is not None][:count]
    breaches = [bool(_COMPARISONS[alarm.comparison_operator](point, float(alarm.threshold))) for point in known]
    if not all(breaches):
        return "OK", known
    if len(known) == count:
        return "ALARM", known
    match alarm.treat_missing_data:
        case "breaching":
            return "ALARM", known
        case "notBreaching":
            return "OK", known
        case "ignore":
            return str(alarm.state_value), known
    return ("ALARM" if known else INSUFFICIENT), known


def _change(alarm: Alarm, account: str, state: str, points: list[float]) -> None:
    old = alarm.state_value
    data = f"datapoints {points}" if points else "no datapoints"
    reason = f"{data}, {alarm.comparison_operator} {float(alarm.threshold)}, missing data {alarm.treat_missing_data}"
    alarm.update_state(reason, "{}", state)
    if not alarm.actions_enabled:
        return
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account,
        "NewStateValue": state,
        "NewStateReason": reason,
        "StateChangeTime": datetime.datetime.now(datetime.UTC).isoformat(),
        "Region": alarm.region_name,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": old,
    }
    actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions, INSUFFICIENT: alarm.insufficient_data_actions}
    for topic in [action for action in actions[state] if action.startswith(_SNS)]:
        _background.run(_publish, alarm, topic, f'{state}: "{alarm.name}"', json.dumps(message, indent=2))


def _publish(alarm: Alarm, topic: str, subject: str, message: str) -> None:
    try:
        client = clients.client_as_service(
            "sns", PRINCIPAL, alarm.alarm_arn, accounts.account_of(topic), alarm.region_name
        )
        # SNS accepts subjects of up to 100 characters.
        client.publish(TopicArn=topic, Subject=subject[:100], Message=message)
    except (ClientError, BotoCoreError) as error:
        # On AWS, the alarm's history contains the failed action.
        _logger.info("The alarm %s cannot publish to %s: %s", alarm.name, topic, error)
