"""The creation, update, rollback, maintenance and deletion of endpoints.

The statuses: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html (EndpointStatus). A
new fleet starts while the old one serves, and replaces it when it is ready (deployment-guardrails-blue-green.html), so
an update never interrupts an endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedded_aws.kernel.host import Pace
from embedded_aws.services.sagemaker.hosting import changes, guardrails
from embedded_aws.services.sagemaker.hosting.changes import Changes, RolledBackError
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint, variant_summaries
from embedded_aws.services.sagemaker.hosting.fleet import Fleet, FleetError


class Deployments(Changes):
    """The deployments of all endpoints, in background threads."""

    def __init__(self, pace: Pace, directory: Path) -> None:
        super().__init__(pace, directory, "endpoint deployment")

    def create(self, endpoint: Endpoint, config: dict[str, Any], models: dict[str, Any]) -> None:
        """Start the first fleet of an endpoint."""
        endpoint.config = config
        endpoint.variants = variant_summaries(config, [])
        endpoint.begin_deployment(config, endpoint.variants)
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
        """Deploy a config. `variants` are those of the new config with their retained counts and weights."""
        fleet = Fleet(endpoint.name, config, models, self._directory)
        endpoint.change_pending = True
        lag = self.pace.endpoint_status_lag
        if not lag:
            endpoint.begin_deployment(config, variants)
            endpoint.move("Updating")
        self._run(self._update, endpoint, fleet, variants, deployment_config, lag)

    def change_weights(self, endpoint: Endpoint, variants: list[dict[str, Any]]) -> None:
        """Change the weights and instance counts of the current fleet."""
        endpoint.variants = variants
        endpoint.move("Updating")
        self._run(self._change_weights, endpoint)

    def delete(self, endpoint: Endpoint, remove: Callable[[], None]) -> None:
        """Stop an endpoint's fleets, and call `remove` when it no longer exists."""
        endpoint.move("Deleting")
        self._run(self._delete, endpoint, remove)

    def maintain(self, endpoint: Endpoint, seconds: float) -> None:
        """Replace the instances with the same config, as SageMaker's automatic maintenance does."""
        endpoint.move("SystemUpdating")
        self._run(self._maintain, endpoint, seconds)

    def _create(self, endpoint: Endpoint, fleet: Fleet) -> None:
        try:
            self._start(fleet, self.pace.endpoint_change)
        except FleetError as error:
            endpoint.end_deployment()
            endpoint.move("Failed", str(error))
            return
        endpoint.end_deployment(fleet, endpoint.variants)
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
            endpoint.begin_deployment(fleet.config, variants)
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
        leaving = endpoint.end_deployment(fleet, variants)
        endpoint.move("InService")
        for old in leaving:
            old.drain(changes.INVOCATION_SECONDS)

    def _bake(self, endpoint: Endpoint, fleet: Fleet, step: guardrails.Step, deployment_config: dict[str, Any]) -> None:
        """Route a step's share of the traffic to the new fleet, and monitor the alarms for the baking period."""
        message = f"Baking for {step.wait} seconds with traffic enabled on {step.share:.0%} of the capacity."
        endpoint.route(fleet, step.share, "Baking", message)
        self._monitor_alarms(step, deployment_config, fleet.role_arn)

    def _roll_back(self, endpoint: Endpoint, fleet: Fleet, reason: str, replaced: bool) -> None:
        """Roll back to the old fleet.

        In a blue/green deployment, it is complete. A rolling deployment has already `replaced` instances and must load
        the old config's models again. If that fails, the endpoint is UpdateRollbackFailed: both fleets remain, each
        with its share of the traffic.
        """
        endpoint.move("RollingBack", reason)
        restored = None
        if replaced and endpoint.fleet:
            restored = endpoint.fleet.replica()
            try:
                self._start(restored, self.pace.endpoint_change)
            except FleetError as error:
                endpoint.keep_both_fleets()
                endpoint.move("UpdateRollbackFailed", f"{reason} The rollback failed too: {error}")
                return
        else:
            endpoint.route(fleet, 0.0, "Deleting")
            self._pause(self.pace.endpoint_change)
        leaving = endpoint.end_deployment(restored)
        endpoint.move("InService", reason)
        for other in leaving:
            other.drain(changes.INVOCATION_SECONDS)

    def _change_weights(self, endpoint: Endpoint) -> None:
        self._pause(self.pace.endpoint_change)
        with endpoint.lock:
            for variant in endpoint.variants:
                variant["CurrentWeight"] = variant["DesiredWeight"]
                variant["CurrentInstanceCount"] = variant["DesiredInstanceCount"]
                if "DesiredServerlessConfig" in variant:
                    variant["CurrentServerlessConfig"] = variant["DesiredServerlessConfig"]
        endpoint.move("InService")

    def _delete(self, endpoint: Endpoint, remove: Callable[[], None]) -> None:
        fleets = [*endpoint.end_deployment(), *([endpoint.fleet] if endpoint.fleet else [])]
        self._pause(self.pace.endpoint_change)
        remove()
        for fleet in fleets:
            fleet.stop()

    def _maintain(self, endpoint: Endpoint, seconds: float) -> None:
        leaving: list[Fleet] = []
        if endpoint.fleet:
            patched = endpoint.fleet.replica()
            try:
                self._start(patched, seconds)
                leaving = endpoint.end_deployment(patched)
            except FleetError:
                leaving = []  # the old fleet remains
        endpoint.move("InService")
        for old in leaving:
            old.drain(changes.INVOCATION_SECONDS)
