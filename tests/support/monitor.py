"""The background monitor of a stage, and its alarms."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.events import schedules
from tests.support.waiting import wait_until
from tests.support.world import Stage

WATCH = "WatchPromotionsFunction"


def input_of_watch(stage: Stage) -> dict[str, Any]:
    """Return the input with which the schedule invokes the check."""
    rule = stage.physical_id(f"{WATCH}EveryQuarterOfAnHour")
    (target,) = stage.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    return dict(json.loads(target["Input"]))


def invoke_watch(stage: Stage) -> Any:
    """Run the quarter-hourly check now."""
    answer = stage.client("lambda").invoke(
        FunctionName=stage.physical_id(WATCH), Payload=json.dumps(input_of_watch(stage))
    )
    return json.loads(answer["Payload"].read())


@dataclasses.dataclass
class Alarm:
    """An alarm of a stage, by its name in the template, that has not gone into ALARM since the test began."""

    aws: EmbeddedAws
    stage: Stage
    logical_id: str

    def __post_init__(self) -> None:
        self.name = self.stage.physical_id(self.logical_id)
        self.mails = {state: self._mails(state) for state in ("ALARM", "INSUFFICIENT_DATA", "OK")}

    def state(self) -> str:
        (found,) = self.stage.client("cloudwatch").describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        return str(found["StateValue"])

    def wait_for(self, state: str) -> None:
        wait_until(lambda: True if self.state() == state else None, f"{self.logical_id} to be {state}")

    def has_new_mail(self, state: str = "ALARM") -> bool:
        """Return whether there are more emails than before."""
        return self._mails(state) > self.mails[state]

    def wait_for_mail(self, state: str = "ALARM") -> None:
        wait_until(lambda: self.has_new_mail(state) or None, f"a mail that {self.logical_id} is {state}")

    def _mails(self, state: str) -> int:
        log = self.aws.directory / "notifications.log"
        return log.read_text().count(f'{state}: "{self.name}"') if log.exists() else 0


def quiet_alarm(aws: EmbeddedAws, stage: Stage, logical_id: str) -> Alarm:
    """Return an alarm that is not in ALARM, whatever has happened in the stage before."""
    alarm = Alarm(aws, stage, logical_id)
    wait_until(lambda: True if alarm.state() != "ALARM" else None, f"{logical_id} to be over")
    return Alarm(aws, stage, logical_id)


def look(stage: Stage) -> None:
    """Run the monitor, as its schedule does every 15 minutes."""
    schedules.run(stage.account, stage.physical_id(f"{WATCH}EveryQuarterOfAnHour"))
