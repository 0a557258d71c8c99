"""A planned deployment: everything that decides whether SageMaker accepts it, and how long it takes."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.endpoint import state
from promotion.endpoint.config import with_names
from promotion.plan.time_budget import MAXIMUM_SECONDS


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A planned deployment: the settings, the model, the smoke test, and the live endpoint.

    `mode` is that of the model's InferenceExecutionConfig, `isolated` its network isolation. `suite` is the smoke test
    ("skip" for none), `body_sizes` the size of the body of each case in bytes. `live` is the DescribeEndpointConfig
    response for the live config of `endpoint` (None without an endpoint), `alarms` are the existing alarms of the
    DeploymentConfig. `description` is the DescribeEndpoint response, `seconds` the time for a deployment in the stage.
    """

    settings: dict[str, Any]
    containers: list[dict[str, Any]]
    mode: str
    isolated: bool
    suite: dict[str, Any] | str
    body_sizes: list[int]
    endpoint: str
    live: dict[str, Any] | None
    alarms: set[str]
    description: dict[str, Any] | None = None
    seconds: int = MAXIMUM_SECONDS

    @property
    def config(self) -> dict[str, Any]:
        """The EndpointConfig of the settings."""
        config: dict[str, Any] = self.settings["EndpointConfig"]
        return config

    @property
    def variants(self) -> list[dict[str, Any]]:
        """The production variants of the settings."""
        variants: list[dict[str, Any]] = self.config["ProductionVariants"]
        return variants

    @property
    def is_component(self) -> bool:
        """Whether the model is served by an inference component."""
        return "InferenceComponent" in self.settings

    @property
    def called(self) -> tuple[list[int], list[dict[str, Any]], str, dict[str, Any]]:
        """What the smoke test calls, as arguments of `suite_rules.refusals`."""
        return self.body_sizes, self.containers, self.mode, self.config

    @property
    def fleet(self) -> list[dict[str, Any]]:
        """The production variants with the number of instances that they have after the deployment.

        An endpoint that was scaled out keeps its size.
        """
        if self.is_component:
            return self.variants
        named = with_names(self.config, "")
        if not (self.description and self.live and state.is_scaled_out(self.description, self.live, named)):
            return self.variants
        counts = {v["VariantName"]: v.get("DesiredInstanceCount") for v in self.description["ProductionVariants"]}
        return [
            variant | ({"InitialInstanceCount": count} if (count := counts.get(variant["VariantName"])) else {})
            for variant in named["ProductionVariants"]
        ]

    @property
    def size(self) -> int:
        """The largest number of instances of a variant."""
        return max(int(variant.get("InitialInstanceCount", 1)) for variant in self.fleet)

    @property
    def update(self) -> dict[str, Any]:
        """The DeploymentConfig of the endpoint's update; empty for a first deployment, and for that of a component."""
        config: dict[str, Any] = self.settings.get("DeploymentConfig", {})
        return config if self.description and not self.is_component else {}

    @property
    def is_multi_model(self) -> bool:
        """Whether the model is a multi-model one."""
        return any(container.get("Mode") == "MultiModel" for container in self.containers)
