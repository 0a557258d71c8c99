"""AutoML jobs (SageMaker Autopilot and Canvas) as a source: the best candidate's inference containers.

AWS documents no event for these jobs ("Events that Amazon SageMaker AI sends to Amazon EventBridge"), so an operator or
a pipeline starts their promotion.
"""

from __future__ import annotations

import re
from typing import Any

from promotion.errors import InvalidRequestError
from promotion.source import admission, model_metrics
from promotion.source.candidate import Candidate, iso, own_tags
from promotion.source.containers import checked
from promotion.source.tags import SMOKE_TEST_TAG

# Families of instances with a GPU, such as ml.g5.xlarge and ml.p4d.24xlarge.
_GPU = re.compile(r"ml\.(g\d|p\d)")


def from_job(
    description: dict[str, Any], tags: dict[str, str], application: str | None, settings: dict[str, Any]
) -> Candidate:
    """Build the candidate of an AutoML job from the response of DescribeAutoMLJobV2 and its tags.

    `settings` are those of the application. Raise InvalidRequestError if the job is not completed or has no candidate
    that can serve, and PromotionRefusedError if a field cannot be copied.
    """
    name = description["AutoMLJobName"]
    what, status = f"The AutoML job {name}", description["AutoMLJobStatus"]
    if status != "Completed":
        reason = f" ({description['FailureReason']})" if description.get("FailureReason") else ""
        raise InvalidRequestError(
            f"{what} is {status}{reason}. Only a Completed AutoML job can be promoted. Run it again."
        )
    best = description.get("BestCandidate", {})
    containers = _containers(best, settings)
    if not containers:
        raise InvalidRequestError(
            f"{what} has no best candidate with inference containers. An AutoML job that only generates candidate "
            "definitions has none. Run it without GenerateCandidateDefinitionsOnly."
        )
    return Candidate(
        application=admission.application_of(application, tags, what),
        source={"kind": "automl_job", "name": name, "arn": description["AutoMLJobArn"]},
        created_at=iso(description.get("EndTime") or description["CreationTime"]),
        containers=[checked(what, container) for container in containers],
        in_vpc=bool(description.get("SecurityConfig", {}).get("VpcConfig")),
        tags=own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        metrics=model_metrics.of_auto_ml_candidate(best),
    )


def _containers(best: dict[str, Any], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the inference containers of a candidate.

    Jobs for images and texts have them by processing unit (InferenceContainerDefinitions: "CPU", "GPU"). The settings'
    instance types decide which ones are required.
    """
    found: list[dict[str, Any]] = best.get("InferenceContainers", [])
    units: dict[str, list[dict[str, Any]]] = best.get("InferenceContainerDefinitions", {})
    if found or not units:
        return found
    variants = settings.get("EndpointConfig", {}).get("ProductionVariants", [])
    types = [str(variant.get("InstanceType", "")) for variant in variants]
    unit = "GPU" if types and all(_GPU.match(each) for each in types) else "CPU"
    return units.get(unit) or next(iter(units.values()))
