"""How an endpoint moves: from nothing to a config, from one config to the next and back, and out of existence.

The statuses: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html (EndpointStatus).
A new fleet is started beside the old one and takes its place once it serves (deployment-guardrails-blue-green.html), so
an endpoint that is updated never stops answering.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Pace
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker.hosting import guardrails
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint, variant_summaries
from embedded_aws.services.sagemaker.hosting.fleet import Fleet, FleetError

# The longest that an invocation may take: InvokeEndpoint's "Your model container must respond within 60 seconds".
INVOCATION_SECONDS = 60.0
_ALARM_POLL_SECONDS = 0.2


class EndedError(Exception):
    """The embedded AWS stops in the middle of a deployment."""


class RolledBackError(Exception):
    """The deployment is to be undone: the FailureReason."""


class Deployments:
    """What goes on with all endpoints; `end` stops their containers."""

    def __init__(self, pace: Pace, directory: Path) -> None:
        self.pace = pace
        self._directory = directory
        self._background = Background("endpoint deployment")

    def create(self, endpoint: Endpoint, config: dict[str, Any], models: dict[str, Any]) -> None:
        endpoint.config = config
        endpoint.variants = variant_summaries(config, [])
        endpoint.announce(config, endpoint.variants)
        endpoint.move("Creating")
        self._run(self._create, endpoint, Fleet(endpoint.name, config, models, self._directory))

    def update(
        self,
        endpoint: Endpoint,
        config: dict[str, Any],
        models: dict[str, Any],
        variants: list[dict[str, Any]],
        deployment_config: dict[str, Any],
    ) -> None:
        """`variants` are the new config's as they shall be, their retained counts and weights included."""
        fleet = Fleet(endpoint.name, config, models, self._directory)
        endpoint.claimed = True
        lag = self.pace.endpoint_status_lag
        if not lag:
            endpoint.announce(config, variants)
            endpoint.move("Updating")
        self._run(self._update, endpoint, fleet, variants, deployment_config, lag)

    def reweigh(self, endpoint: Endpoint, variants: list[dict[str, Any]]) -> None:
        """Take on other weights and instance counts with the fleet that serves."""
        endpoint.variants = variants
        endpoint.move("Updating")
        self._run(self._reweigh, endpoint)

    def delete(self, endpoint: Endpoint, forget: Callable[[], None]) -> None:
        endpoint.move("Deleting")
        self._run(self._delete, endpoint, forget)

    def maintain(self, endpoint: Endpoint, seconds: float) -> None:
        """Patch the endpoint as SageMaker does of its own accord: the same config on new instances, where it can."""
        endpoint.move("SystemUpdating")
        self._run(self._maintain, endpoint, seconds)

    def end(self) -> None:
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
        """Start a fleet, and take as long over it as AWS would seem to take here."""
        begun = time.monotonic()
        try:
            fleet.start(self.pace.health_check)
        finally:
            if self._background.ending:
                fleet.stop()
            self._pause(at_least - (time.monotonic() - begun))

    def _create(self, endpoint: Endpoint, fleet: Fleet) -> None:
        try:
            self._start(fleet, self.pace.endpoint_change)
        except FleetError as error:
            endpoint.settle()
            endpoint.move("Failed", str(error))
            return
        endpoint.settle(fleet, endpoint.variants)
        endpoint.move("InService")

    def _update(
        self,
        endpoint: Endpoint,
        fleet: Fleet,
        variants: list[dict[str, Any]],
        deployment_config: dict[str, Any],
        lag: float,
    ) -> None:
        if lag:
            self._pause(lag)
            endpoint.announce(fleet.config, variants)
            endpoint.move("Updating")
        rolling = "RollingUpdatePolicy" in deployment_config
        shifted = False
        try:
            self._start(fleet, self.pace.endpoint_change)
            capacity = sum(variant["DesiredInstanceCount"] for variant in variants)
            for step in guardrails.steps(deployment_config, capacity) if deployment_config else ():
                self._bake(endpoint, fleet, step, deployment_config)
                shifted = True
        except (FleetError, RolledBackError) as error:
            self._roll_back(endpoint, fleet, str(error), replaced=rolling and shifted)
            return
        leaving = endpoint.settle(fleet, variants)
        endpoint.move("InService")
        for old in leaving:
            old.drain(INVOCATION_SECONDS)

    def _bake(self, endpoint: Endpoint, fleet: Fleet, step: guardrails.Step, deployment_config: dict[str, Any]) -> None:
        """Give the new fleet its share and watch the alarms."""
        message = f"Baking for {step.wait} seconds with traffic enabled on {step.share:.0%} of the capacity."
        endpoint.route(fleet, step.share, "Baking", message)
        role_arn = next(iter(fleet.models.values()))["ExecutionRoleArn"]
        until = time.monotonic() + min(step.wait, self.pace.guardrail_wait)
        while True:
            try:
                alarm = guardrails.alarm_in_alarm(deployment_config, role_arn)
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

    def _roll_back(self, endpoint: Endpoint, fleet: Fleet, reason: str, replaced: bool) -> None:
        """Back to the old fleet.

        A blue/green deployment still has all of it. A rolling one has already `replaced` instances, so it has to load
        the old config's models again. Where that fails both fleets stay, each with its part of the traffic:
        UpdateRollbackFailed.
        """
        endpoint.move("RollingBack", reason)
        restored = None
        if replaced and endpoint.fleet:
            restored = endpoint.fleet.again()
            try:
                self._start(restored, self.pace.endpoint_change)
            except FleetError as error:
                endpoint.remain_mixed()
                endpoint.move("UpdateRollbackFailed", f"{reason} The rollback failed too: {error}")
                return
        else:
            endpoint.route(fleet, 0.0, "Deleting")
            self._pause(self.pace.endpoint_change)
        leaving = endpoint.settle(restored)
        endpoint.move("InService", reason)
        for other in leaving:
            other.drain(INVOCATION_SECONDS)

    def _reweigh(self, endpoint: Endpoint) -> None:
        self._pause(self.pace.endpoint_change)
        with endpoint.lock:
            for variant in endpoint.variants:
                variant["CurrentWeight"] = variant["DesiredWeight"]
                variant["CurrentInstanceCount"] = variant["DesiredInstanceCount"]
                if "DesiredServerlessConfig" in variant:
                    variant["CurrentServerlessConfig"] = variant["DesiredServerlessConfig"]
        endpoint.move("InService")

    def _delete(self, endpoint: Endpoint, forget: Callable[[], None]) -> None:
        fleets = [*endpoint.settle(), *([endpoint.fleet] if endpoint.fleet else [])]
        self._pause(self.pace.endpoint_change)
        forget()
        for fleet in fleets:
            fleet.stop()

    def _maintain(self, endpoint: Endpoint, seconds: float) -> None:
        leaving: list[Fleet] = []
        if endpoint.fleet:
            patched = endpoint.fleet.again()
            try:
                self._start(patched, seconds)
                leaving = endpoint.settle(patched)
            except FleetError:
                leaving = []  # what cannot be patched stays as it is
        endpoint.move("InService")
        for old in leaving:
            old.drain(INVOCATION_SECONDS)
