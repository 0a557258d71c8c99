"""An inference component: a model, or an adapter of one, that runs in copies on the instances of an endpoint.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeInferenceComponent.html and
realtime-endpoints-deploy-models.html
"""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from moto.sagemaker.models import SageMakerModelBackend

from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint
from embedded_aws.services.sagemaker.hosting.fleet import Fleet, Variant
from embedded_aws.services.sagemaker.operations import now

# Assumed, like the statuses of an endpoint: in these, a component can be neither updated nor deleted.
BUSY = ("Creating", "Updating", "Deleting")

# The members of a request that have its specifications.
SPECIFICATIONS = ("Specification", "Specifications")


class Component:
    """An inference component. `lock` protects its state. An adapter has no fleet: its base component serves it."""

    def __init__(self, endpoint: Endpoint, name: str, arn: str, request: dict[str, Any]) -> None:
        self.endpoint = endpoint
        self.name = name
        self.arn = arn
        self.variant_name: str | None = request.get("VariantName")
        self.tags: list[dict[str, str]] = request.get("Tags", [])
        self.creation_time = self.last_modified_time = now()
        self.status = ""
        self.failure_reason: str | None = None
        self.last_deployment_config: dict[str, Any] | None = None
        self.specifications: dict[str, Any] = {}
        self.desired_copies = self.current_copies = 0
        self.lock = threading.RLock()
        self.fleet: Fleet | None = None
        self._candidate: Fleet | None = None
        self._candidate_share = 0.0

    @property
    def base(self) -> str | None:
        """Return the name of the base component of an adapter, None for a base component."""
        name: str | None = self.specifications.get("Specification", {}).get("BaseInferenceComponentName")
        return name

    @property
    def busy(self) -> bool:
        """Return whether the component can be neither updated nor deleted."""
        return self.status in BUSY

    def move(self, status: str, failure_reason: str | None = None) -> None:
        """Change the status."""
        with self.lock:
            self.status = status
            self.failure_reason = failure_reason[:1024] if failure_reason else None
            self.last_modified_time = now()

    def route(self, candidate: Fleet, share: float) -> None:
        """Route a share of the requests to the copies of the new specification."""
        with self.lock:
            self._candidate, self._candidate_share = candidate, share

    def end_update(self, fleet: Fleet | None) -> list[Fleet]:
        """End an update with `fleet`, and return the fleets to stop."""
        with self.lock:
            leaving = [other for other in (self.fleet, self._candidate) if other and other is not fleet]
            self.fleet, self._candidate, self._candidate_share = fleet, None, 0.0
            return leaving

    @contextmanager
    def variant(self) -> Iterator[Variant | None]:
        """Yield the containers that serve a request, or None without a copy."""
        with ExitStack() as use:
            with self.lock:
                fleet = self._candidate if random.random() < self._candidate_share else self.fleet  # noqa: S311
                if fleet:
                    use.enter_context(fleet.in_use())
            yield fleet.variants[self.name] if fleet else None

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeInferenceComponent.

        Assumed: during an update it has the old specification, and after a rollback the reason for it.
        """
        with self.lock:
            description = {
                **self.summary(),
                "FailureReason": self.failure_reason,
                "LastDeploymentConfig": self.last_deployment_config,
            }
            for member, specifications in self.specifications.items():
                summaries = [self._specification_summary(each) for each in _as_list(specifications)]
                description[member] = summaries if member == "Specifications" else summaries[0]
            if self.base is None:
                description["RuntimeConfig"] = {
                    "DesiredCopyCount": self.desired_copies,
                    "CurrentCopyCount": self.current_copies,
                }
            return copy.deepcopy({name: value for name, value in description.items() if value is not None})

    def summary(self) -> dict[str, Any]:
        """Return the entry of the component in ListInferenceComponents."""
        return {
            "InferenceComponentName": self.name,
            "InferenceComponentArn": self.arn,
            "EndpointName": self.endpoint.name,
            "EndpointArn": self.endpoint.arn,
            "VariantName": self.variant_name,
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
            "InferenceComponentStatus": self.status,
        }

    def _specification_summary(self, specification: dict[str, Any]) -> dict[str, Any]:
        """Return an InferenceComponentSpecificationSummary, which has the deployed image instead of the image."""
        summary = copy.deepcopy(specification)
        container = {name: value for name, value in summary.pop("Container", {}).items() if name != "Image"}
        if self.fleet and (deployed := self.fleet.variants[self.name].deployed_images):
            container["DeployedImage"] = deployed[0]
        return summary | ({"Container": container} if container else {})


def all_of(backend: SageMakerModelBackend) -> dict[str, Component]:
    """Return the components of an account and Region by their names in lower case. moto has no such store."""
    components: dict[str, Component] = backend.__dict__.setdefault("inference_components", {})
    return components


def on_endpoint(backend: SageMakerModelBackend, endpoint: Endpoint) -> list[Component]:
    """Return the components that an endpoint hosts."""
    return [component for component in list(all_of(backend).values()) if component.endpoint is endpoint]


def specifications_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the specifications of a request or a component, one per instance type."""
    return [each for member in SPECIFICATIONS if member in request for each in _as_list(request[member])]


def _as_list(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [value]
