"""The source of a promotion in the upstream account: SageMaker's descriptions of it, read into a candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import responses
from promotion.aws.aws_errors import Meaning, meaning, message, none_if_not_found
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import candidate, model_package
from promotion.source.candidate import Candidate
from promotion.source.request import Promote


@dataclasses.dataclass(frozen=True)
class Upstream:
    """The account that models come from, and `sagemaker`, a client there with the role of `role_arn`."""

    sagemaker: Any
    account: str
    region: str
    role_arn: str


def read(upstream: Upstream, asked: Promote, settings_of: Callable[[str], dict[str, Any]]) -> Candidate | str:
    """Return the candidate that the source is, or why it is none.

    `settings_of` returns the settings in force of an application. Raise InvalidRequestError if there is no such source,
    PromotionRefusedError if the role may not read it, and what `promotion.source.candidate` raises.
    """
    readers = {
        "training_job": _training_job,
        "tuning_job": _tuning_job,
        "model": _model,
        "model_package": _model_package,
    }
    try:
        return readers[asked.kind](upstream, asked, settings_of)
    except ClientError as error:
        raise _explained(error, upstream, asked) from error


def why_withdrawn(sagemaker: Any, package: str) -> str | None:
    """Return why a model package must not go live any more: it was deleted, or its approval withdrawn; None if not."""
    description = none_if_not_found(sagemaker.describe_model_package, ModelPackageName=package)
    if description is None:
        return f"The model package {package} was deleted meanwhile."
    return model_package.not_approved(description)


def _explained(error: ClientError, upstream: Upstream, asked: Promote) -> Exception:
    kind, account = asked.kind.replace("_", " "), upstream.account
    if meaning(error) is Meaning.NOT_FOUND:
        return InvalidRequestError(
            f"There is no {kind} {asked.name} in account {account}. Check the name, and that it is in this region."
        )
    if meaning(error) is Meaning.DENIED:
        return PromotionRefusedError(
            f"The {kind} {asked.name} may not be read as {upstream.role_arn}: {message(error)}. Deploy upstream.yaml "
            f"in account {account} for this stage."
        )
    unknown: Exception = error
    return unknown


def _training_job(upstream: Upstream, asked: Promote, settings_of: Callable[[str], dict[str, Any]]) -> Candidate | str:
    description = _described_job(upstream, asked.name)
    tags = _tags(upstream, description["TrainingJobArn"])
    if asked.by_event and (why_not := candidate.not_for_promotion(description, tags)):
        return why_not
    return _of_job(upstream, asked, description, tags, settings_of)


def _tuning_job(upstream: Upstream, asked: Promote, settings_of: Callable[[str], dict[str, Any]]) -> Candidate | str:
    """The best training job of it. SageMaker gives the tuning job's tags to each; what was tagged later counts too."""
    answer = upstream.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=asked.name)
    members = ("HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus")
    operation = "DescribeHyperParameterTuningJob"
    tuning = responses.checked("sagemaker", operation, answer, f"the tuning job {asked.name}", members)
    tags = _tags(upstream, tuning["HyperParameterTuningJobArn"])
    best = tuning.get("BestTrainingJob", {})
    if best.get("TrainingJobArn"):
        tags = _tags(upstream, best["TrainingJobArn"]) | tags
    if asked.by_event and candidate.APPLICATION_TAG not in tags:
        return f"The tuning job {asked.name} has no tag {candidate.APPLICATION_TAG}."
    name = candidate.best_training_job(tuning)
    description = _described_job(upstream, name)
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
    answer = upstream.sagemaker.describe_model(ModelName=asked.name)
    members = ("ModelName", "ModelArn", "CreationTime")
    description = responses.checked("sagemaker", "DescribeModel", answer, f"the model {asked.name}", members)
    containers = candidate.containers_of(description)
    packages = {
        name: _described_package(upstream, name)
        for name in model_package.names(containers, f"The model {asked.name}", upstream.account)
    }
    tags = _tags(upstream, description["ModelArn"])
    return candidate.from_model(description, tags, asked.application, packages)


def _model_package(upstream: Upstream, asked: Promote, _: Callable[[str], dict[str, Any]]) -> Candidate | str:
    description = _described_package(upstream, asked.name)
    tags = _tags(upstream, description["ModelPackageArn"])
    if group := model_package.group_arn(description):
        tags = _tags(upstream, group) | tags
    if asked.by_event and (why_not := candidate.package_not_for_promotion(description, tags)):
        return why_not
    return candidate.from_model_package(description, tags, asked.application)


def _described_job(upstream: Upstream, name: str) -> dict[str, Any]:
    answer = upstream.sagemaker.describe_training_job(TrainingJobName=name)
    members = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime")
    return responses.checked("sagemaker", "DescribeTrainingJob", answer, f"the training job {name}", members)


def _described_package(upstream: Upstream, name: str) -> dict[str, Any]:
    answer = upstream.sagemaker.describe_model_package(ModelPackageName=name)
    members = ("ModelPackageArn", "ModelPackageStatus", "CreationTime")
    return responses.checked("sagemaker", "DescribeModelPackage", answer, f"the model package {name}", members)


def _tags(upstream: Upstream, arn: str) -> dict[str, str]:
    pages = upstream.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    found = [responses.checked("sagemaker", "ListTags", page, f"the tags of {arn}") for page in pages]
    return {tag["Key"]: tag.get("Value", "") for page in found for tag in page.get("Tags", []) if "Key" in tag}
