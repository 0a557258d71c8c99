"""Changes of endpoints and inference components in background threads: their starts, pauses and baking periods."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Pace
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker.hosting import guardrails
from embedded_aws.services.sagemaker.hosting.fleet import Fleet

# The time limit of an invocation: "Your model container must respond within 60 seconds" (InvokeEndpoint).
INVOCATION_SECONDS = 60.0
# "60 seconds for regular responses and 8 minutes for streaming responses" (hosting-faqs.html)
STREAMING_SECONDS = 480.0
_ALARM_POLL_SECONDS = 0.2


class EndedError(Exception):
    """The embedded AWS stops during a change."""


class RolledBackError(Exception):
    """The deployment must be rolled back. The message is the FailureReason."""


class Changes:
    """The changes of all resources of a kind, in background threads. `name` is the kind of change."""

    def __init__(self, pace: Pace, directory: Path, name: str) -> None:
        self.pace = pace
        self._directory = directory
        self._background = Background(name)

    def end(self) -> None:
        """Stop all changes."""
        self._background.end()

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        def unless_ended() -> None:
            try:
                work(*arguments)
            except EndedError:
                return

        self._background.run(unless_ended)

    def _pause(self, seconds: float) -> None:
        if not self._background.pause(max(seconds, 0)):
            raise EndedError

    def _start(self, fleet: Fleet, at_least: float) -> None:
        """Start a fleet, which takes `at_least` some seconds, as on AWS."""
        begun = time.monotonic()
        try:
            fleet.start(self.pace.health_check)
        finally:
            if self._background.ending:
                fleet.stop()
            self._pause(at_least - (time.monotonic() - begun))

    def _monitor_alarms(self, step: guardrails.Step, deployment_config: Mapping[str, Any], role_arn: str) -> None:
        """Wait for the baking period of a step. Raise RolledBackError if an alarm goes into ALARM."""
        until = time.monotonic() + min(step.wait, self.pace.guardrail_wait)
        while True:
            try:
                alarm = guardrails.alarm_in_alarm(dict(deployment_config), role_arn)
            except ApiError as error:
                raise RolledBackError(error.message) from error
            if alarm:
                raise RolledBackError(
                    f"The deployment was rolled back: alarm {alarm} of AutoRollbackConfiguration is in state ALARM."
                )
            left = until - time.monotonic()
            if left <= 0:
                return
            self._pause(min(left, _ALARM_POLL_SECONDS))
