"""The creation, update, scaling and deletion of inference components.

The copies of a new specification start while the old ones serve: "SageMaker AI provisions capacity on the new endpoint
fleet, routes traffic to that fleet, and terminates capacity on the old endpoint fleet"
(API_InferenceComponentRollingUpdatePolicy.html). Assumed: the same happens at once without a DeploymentConfig. The
embedded AWS runs one set of containers for any number of copies, and instances have room for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedded_aws.kernel.host import Pace
from embedded_aws.services.sagemaker.hosting import changes, guardrails
from embedded_aws.services.sagemaker.hosting.changes import Changes, RolledBackError
from embedded_aws.services.sagemaker.hosting.components import Component
from embedded_aws.services.sagemaker.hosting.fleet import Fleet, FleetError


@dataclasses.dataclass(frozen=True)
class Content:
    """What the copies of a component run: its model, None for an adapter, and its StartupParameters."""

    model: dict[str, Any] | None
    startup: dict[str, Any]


class ComponentChanges(Changes):
    """The changes of all inference components, in background threads.

    `copies_changed` is called when the number of copies of a component has changed.
    """

    def __init__(self, pace: Pace, directory: Path, copies_changed: Callable[[Component], None]) -> None:
        super().__init__(pace, directory, "inference component change")
        self._copies_changed = copies_changed

    def create(self, component: Component, content: Content, copies: int) -> None:
        """Start the copies of a new component."""
        component.desired_copies = copies
        component.move("Creating")
        self._run(self._create, component, content)

    def update(
        self,
        component: Component,
        specifications: dict[str, Any],
        content: Content,
        copies: int,
        deployment_config: dict[str, Any],
    ) -> None:
        """Replace the copies of a component by those of other specifications."""
        component.move("Updating")
        self._run(self._update, component, specifications, content, copies, deployment_config)

    def scale(self, component: Component, content: Content, copies: int) -> None:
        """Change the number of copies."""
        component.desired_copies = copies
        component.move("Updating")
        self._run(self._scale, component, content)

    def delete(self, component: Component, remove: Callable[[], None]) -> None:
        """Stop the copies, and call `remove` when the component no longer exists."""
        component.move("Deleting")
        self._run(self._delete, component, remove)

    def _fleet(self, component: Component, content: Content) -> Fleet | None:
        """Return the fleet of a component's copies; None for an adapter."""
        if content.model is None:
            return None
        name = component.name
        config = {"ProductionVariants": [{"VariantName": name, "ModelName": name, **content.startup}]}
        return Fleet(name, config, {name: content.model}, self._directory, of_component=True)

    def _create(self, component: Component, content: Content) -> None:
        fleet = self._fleet(component, content) if component.desired_copies else None
        try:
            self._begin(fleet)
        except FleetError as error:
            component.move("Failed", str(error))
            return
        component.end_update(fleet)
        self._end(component)

    def _begin(self, fleet: Fleet | None) -> None:
        """Start a fleet, if any. A change takes its time without one, too."""
        if fleet:
            self._start(fleet, self.pace.endpoint_change)
        else:
            self._pause(self.pace.endpoint_change)

    def _update(
        self,
        component: Component,
        specifications: dict[str, Any],
        content: Content,
        copies: int,
        deployment_config: dict[str, Any],
    ) -> None:
        had_failed = component.current_copies < component.desired_copies
        fleet = self._fleet(component, content) if copies else None
        try:
            self._begin(fleet)
            if fleet and deployment_config:
                for step in guardrails.steps(deployment_config, copies):
                    component.route(fleet, step.share)
                    self._monitor_alarms(step, deployment_config, component.endpoint.config["ExecutionRoleArn"])
        except (FleetError, RolledBackError) as error:
            leaving = component.end_update(component.fleet)
            component.move("Failed" if had_failed else "InService", str(error))
        else:
            component.specifications, component.desired_copies = specifications, copies
            leaving = component.end_update(fleet)
            self._end(component)
        for other in leaving:
            other.drain(changes.INVOCATION_SECONDS)

    def _scale(self, component: Component, content: Content) -> None:
        is_started = component.fleet is not None or not component.desired_copies
        fleet = component.fleet if is_started else self._fleet(component, content)
        try:
            self._begin(None if is_started else fleet)
        except FleetError as error:
            component.move("Failed", str(error))
            return
        leaving = component.end_update(fleet if component.desired_copies else None)
        self._end(component)
        for other in leaving:
            other.drain(changes.INVOCATION_SECONDS)

    def _delete(self, component: Component, remove: Callable[[], None]) -> None:
        self._pause(self.pace.endpoint_change)
        remove()
        component.desired_copies = component.current_copies = 0
        for fleet in component.end_update(None):
            fleet.stop()
        self._copies_changed(component)

    def _end(self, component: Component) -> None:
        component.current_copies = component.desired_copies
        self._copies_changed(component)
        component.move("InService")
