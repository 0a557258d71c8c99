"""The target of a promotion: an endpoint that hosts a model, or an inference component on an endpoint.

The endpoint of a component is its own and has its name, or it is shared and created by operators
(`InferenceComponent.EndpointName` of the settings).

A deployment is identified by the name of its endpoint config, which an endpoint shows. An inference component shows the
name of its model instead. A promotion to a component gives its model and its endpoint config the same name, which
follows from everything that decides what the component runs (`plan.requests`). So a target of either kind has one
description, in the vocabulary of DescribeEndpoint, and the rules of `state` apply to both.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.endpoint.sagemaker import describe_endpoint
from promotion.naming import VARIANT
from promotion.record import PromotionRecord

_ANOTHER_SPECIFICATION = "a specification without a model"


@dataclasses.dataclass(frozen=True)
class Target:
    """The DescribeEndpoint response and, of a component, the DescribeInferenceComponent response.

    Both are None if the resource does not exist. `component_name` is None for an endpoint that hosts a model itself.
    """

    endpoint: dict[str, Any] | None
    component_name: str | None = None
    component: dict[str, Any] | None = None

    @property
    def host(self) -> str:
        """The name of the endpoint, which exists."""
        return str((self.endpoint or {})["EndpointName"])

    @property
    def description(self) -> dict[str, Any] | None:
        """The description of the target, as of DescribeEndpoint: for a component, with its name and status."""
        if self.component_name is None or self.endpoint is None:
            return self.endpoint
        if self.component is None:
            return None
        specification = self.component.get("Specification") or {}
        status = self.endpoint["EndpointStatus"]
        image = specification.get("Container", {}).get("DeployedImage")
        return {
            "EndpointName": self.component_name,
            "InferenceComponentName": self.component_name,
            "HostEndpointName": self.host,
            "EndpointArn": self.endpoint["EndpointArn"],
            "EndpointStatus": self.component["InferenceComponentStatus"] if status == "InService" else status,
            "EndpointConfigName": specification.get("ModelName", _ANOTHER_SPECIFICATION),
            "FailureReason": self.component.get("FailureReason"),
            "ProductionVariants": [{"VariantName": VARIANT, "DeployedImages": [image] if image else []}],
        }


def describe(sagemaker: Any, record: PromotionRecord) -> Target:
    """Return the target of a promotion as it is now."""
    return read(sagemaker, record["endpoint"], record.get("component"))


def read(sagemaker: Any, name: str, settings: dict[str, Any] | None) -> Target:
    """Return the target of that name as it is now; `settings` is `InferenceComponent`, empty or None without one."""
    if not settings:
        return Target(describe_endpoint(sagemaker, name))
    endpoint = describe_endpoint(sagemaker, settings.get("EndpointName", name))
    component = none_if_not_found(sagemaker.describe_inference_component, InferenceComponentName=name)
    return Target(endpoint, name, component)


def describe_target(sagemaker: Any, record: PromotionRecord) -> dict[str, Any] | None:
    """Return the description of the target of a promotion, or None if it does not exist."""
    return describe(sagemaker, record).description
