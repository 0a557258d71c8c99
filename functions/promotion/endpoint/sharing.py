"""The permission to serve on an endpoint that several applications share, each with an inference component.

Operators create such an endpoint and tag it. So no setting of an application can select the endpoint of another one.
"""

from __future__ import annotations

from typing import Any

from promotion.endpoint.sagemaker import tags as tags_of
from promotion.endpoint.target import Target
from promotion.errors import PromotionRefusedError
from promotion.source.tags import APPLICATION_TAG

SHARED_TAG = "model-promotion:shared"
"""The tag of an endpoint, with the value "true", on which every application of the stage may have a component."""


def assert_shared(sagemaker: Any, found: Target, host: str, application: str) -> None:
    """Raise PromotionRefusedError unless operators share the endpoint `host`, and no one else has the component."""
    if found.endpoint is None:
        raise PromotionRefusedError(
            f"The endpoint {host} of InferenceComponent.EndpointName does not exist. Create it with an endpoint config "
            f"that has an ExecutionRoleArn and a variant without a model, and the tag {SHARED_TAG}=true."
        )
    arn = found.endpoint["EndpointArn"]
    if tags_of(sagemaker, arn).get(SHARED_TAG) != "true":
        raise PromotionRefusedError(
            f"The endpoint {host} of InferenceComponent.EndpointName is not shared. To let the applications of the "
            f"stage serve on it: aws sagemaker add-tags --resource-arn {arn} --tags Key={SHARED_TAG},Value=true"
        )
    if found.component is None:
        return
    owner = tags_of(sagemaker, found.component["InferenceComponentArn"]).get(APPLICATION_TAG)
    if owner != application or found.component["EndpointName"] != host:
        raise PromotionRefusedError(
            f"The inference component {found.component_name} on the endpoint {found.component['EndpointName']} is not "
            f"one that a promotion of {application} created on {host}. Delete it, then start the promotion again."
        )
