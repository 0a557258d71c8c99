"""The source of a promotion in the upstream account: what SageMaker says of it, read into a candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from promotion import candidate, model_package
from promotion.candidate import Candidate
from promotion.errors import InvalidRequestError
from promotion.request import Promote


@dataclasses.dataclass(frozen=True)
class Upstream:
    """The account that models are taken from, and `sagemaker`, a client there."""

    sagemaker: Any
    account: str
    region: str


def read(upstream: Upstream, asked: Promote, settings_of: Callable[[str], dict[str, Any]]) -> Candidate | str:
    """The candidate that the source is, or why it is none.

    `settings_of` gives the settings in force of an application. Raises ClientError where SageMaker does not tell, and
    what `promotion.candidate` raises.
    """
    readers = {
        "training_job": _training_job,
        "tuning_job": _tuning_job,
        "model": _model,
        "model_package": _model_package,
    }
    return readers[asked.kind](upstream, asked, settings_of)


def _training_job(upstream: Upstream, asked: Promote, settings_of: Callable[[str], dict[str, Any]]) -> Candidate | str:
    description = upstream.sagemaker.describe_training_job(TrainingJobName=asked.name)
    tags = _tags(upstream, description["TrainingJobArn"])
    if asked.by_event and (why_not := candidate.not_for_promotion(description, tags)):
        return why_not
    return _of_job(upstream, asked, description, tags, settings_of)


def _tuning_job(upstream: Upstream, asked: Promote, settings_of: Callable[[str], dict[str, Any]]) -> Candidate | str:
    """The best training job of it. SageMaker gives the tuning job's tags to each; what was tagged later counts too."""
    tuning = upstream.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=asked.name)
    tags = _tags(upstream, tuning["HyperParameterTuningJobArn"])
    best = tuning.get("BestTrainingJob")
    if best:
        tags = _tags(upstream, best["TrainingJobArn"]) | tags
    if asked.by_event and candidate.APPLICATION_TAG not in tags:
        return f"The tuning job {asked.name} has no tag {candidate.APPLICATION_TAG}."
    name = candidate.best_training_job(tuning)
    description = upstream.sagemaker.describe_training_job(TrainingJobName=name)
    return _of_job(upstream, asked, description, tags, settings_of)


def _of_job(
    upstream: Upstream,
    asked: Promote,
    description: dict[str, Any],
    tags: dict[str, str],
    settings_of: Callable[[str], dict[str, Any]],
) -> Candidate:
    application = asked.application or tags.get(candidate.APPLICATION_TAG)
    settings = settings_of(application) if application else {}
    image = settings.get("Model", {}).get("PrimaryContainer", {}).get("Image")
    return candidate.from_training_job(description, tags, asked.application, upstream.region, image)


def _model(upstream: Upstream, asked: Promote, _: Callable[[str], dict[str, Any]]) -> Candidate:
    description = upstream.sagemaker.describe_model(ModelName=asked.name)
    containers = candidate.containers_of(description)
    packages = {
        name: upstream.sagemaker.describe_model_package(ModelPackageName=name)
        for name in model_package.names(containers, f"The model {asked.name}", upstream.account)
    }
    tags = _tags(upstream, description["ModelArn"])
    return candidate.from_model(description, tags, asked.application, packages)


def _model_package(upstream: Upstream, asked: Promote, _: Callable[[str], dict[str, Any]]) -> Candidate | str:
    region = asked.name.split(":")[3]
    if region != upstream.region:
        raise InvalidRequestError(
            f"The model package {asked.name} is in the region {region}; this stage takes models of {upstream.region}."
        )
    description = upstream.sagemaker.describe_model_package(ModelPackageName=asked.name)
    tags = _tags(upstream, description["ModelPackageArn"])
    if group := model_package.group_arn(description):
        tags = _tags(upstream, group) | tags
    if asked.by_event and (why_not := candidate.package_not_for_promotion(description, tags)):
        return why_not
    return candidate.from_model_package(description, tags, asked.application)


def _tags(upstream: Upstream, arn: str) -> dict[str, str]:
    pages = upstream.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
