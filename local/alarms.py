"""CloudWatch alarms that keep their state when they are put again.

"When you update an existing alarm, its state is left unchanged"
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html); moto makes a new one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend

if TYPE_CHECKING:
    from local.aws import EmbeddedAws

_STATE = ("state_reason", "state_reason_data", "state_updated_timestamp", "state_value", "history")


def install(_: EmbeddedAws) -> None:
    original = CloudWatchBackend.put_metric_alarm
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def put_metric_alarm(backend: CloudWatchBackend, **members: Any) -> Alarm:
        before = backend.alarms.get(members["name"])
        alarm = original(backend, **members)
        for attribute in _STATE if before else ():
            setattr(alarm, attribute, getattr(before, attribute))
        return alarm

    CloudWatchBackend.put_metric_alarm = put_metric_alarm
