"""The reader of a promotion's source: it builds the candidate from SageMaker's descriptions in the upstream account."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import denials, responses
from promotion.aws.aws_errors import Meaning, meaning, message, none_if_not_found
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import admission, auto_ml, candidate, model_package, promoted
from promotion.source.admission import UNKNOWN, Applications, Refusal, Source
from promotion.source.candidate import Candidate
from promotion.source.request import Promote
from promotion.source.tags import APPLICATION_TAG, misspelled, of_properties


@dataclasses.dataclass(frozen=True)
class Upstream:
    """The source account. `connect` returns a service's client with the credentials of `role_arn`.

    `stage` is the name of the upstream stage, or "" if the account is not that of a stage.
    """

    connect: Callable[[str], Any]
    account: str
    region: str
    role_arn: str
    stage: str = ""

    @functools.cached_property
    def sagemaker(self) -> Any:
        """The client for SageMaker."""
        return self.connect("sagemaker")

    @property
    def state_machine(self) -> str:
        """The ARN of the upstream stage's state machine."""
        partition = self.role_arn.split(":")[1]
        return f"arn:{partition}:states:{self.region}:{self.account}:stateMachine:model-promotion-{self.stage}"


def read(upstream: Upstream, request: Promote, applications: Applications) -> Candidate | Refusal | str:
    """Return the candidate, or the refusal or the reason why the source of an event is not for promotion.

    Raise InvalidRequestError if the source does not exist, PromotionRefusedError if the role has no permission to read
    it, the error of a refusal if an operator started the promotion, and the errors of `promotion.source.candidate`.
    """
    readers = {
        "training_job": _training_job,
        "tuning_job": _tuning_job,
        "automl_job": _automl_job,
        "model": _model,
        "model_package": _model_package,
    }
    try:
        found = readers[request.kind](upstream, request, applications)
    except ClientError as error:
        raise _explained(error, upstream, request) from error
    if isinstance(found, Refusal) and not request.by_event:
        raise found.error
    return found


def why_withdrawn(sagemaker: Any, package: str, settings: dict[str, Any], *, is_rollback: bool) -> str | None:
    """Return why a model package can no longer go live (deleted, or no longer approved), or None if it can.

    A rollback ignores the package's stage in its life cycle, which may have advanced since the promotion.
    """
    life_cycle = admission.life_cycle(settings)
    description = none_if_not_found(sagemaker.describe_model_package, ModelPackageName=package)
    if description is None:
        return f"The model package {package} no longer exists in its account."
    return model_package.not_approved(description, {} if is_rollback and life_cycle else life_cycle)


def _explained(error: ClientError, upstream: Upstream, request: Promote) -> Exception:
    kind, account = request.kind.replace("_", " ").replace("automl", "AutoML"), upstream.account
    if meaning(error) is Meaning.NOT_FOUND:
        return InvalidRequestError(
            f"The {kind} {request.name} does not exist in account {account} in {upstream.region}. Check its name and "
            "its region."
        )
    if meaning(error) is Meaning.DENIED:
        denial, where = denials.read(error), f"account {account}"
        advice = denial and denial.advice(f"the role {upstream.role_arn}", where, where)
        return PromotionRefusedError(
            f"The role {upstream.role_arn} has no permission to read the {kind} {request.name}: {message(error)}. "
            f"{advice or f'Deploy upstream.yaml in {where} for this stage.'}"
        )
    unknown: Exception = error
    return unknown


def _training_job(upstream: Upstream, request: Promote, applications: Applications) -> Candidate | Refusal | str:
    description = _described_job(upstream, request.name)
    tags = _tags(upstream, description["TrainingJobArn"])
    if request.by_event and (why_not := candidate.not_for_promotion(description, tags)):
        return _not_for_promotion(why_not, tags, description["TrainingJobArn"])
    return _of_job(upstream, request, description, tags, applications)


def _tuning_job(upstream: Upstream, request: Promote, applications: Applications) -> Candidate | Refusal | str:
    """Read the best training job, with its own tags and the current tags of the tuning job."""
    response = upstream.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=request.name)
    members = ("HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus")
    operation = "DescribeHyperParameterTuningJob"
    tuning = responses.checked("sagemaker", operation, response, f"the tuning job {request.name}", members)
    tags = _tags(upstream, tuning["HyperParameterTuningJobArn"])
    best = tuning.get("BestTrainingJob", {})
    if best.get("TrainingJobArn"):
        tags = _tags(upstream, best["TrainingJobArn"]) | tags
    if request.by_event and APPLICATION_TAG not in tags:
        why_not = f"The tuning job {request.name} has no tag {APPLICATION_TAG}.{misspelled(tags)}"
        return _not_for_promotion(why_not, tags, tuning["HyperParameterTuningJobArn"])
    name = candidate.best_training_job(tuning)
    found = _of_job(upstream, request, _described_job(upstream, name), tags, applications)
    # The order of candidates follows their ends. The best trial may have ended long before the tuning job.
    ended = tuning.get("HyperParameterTuningEndTime")
    return (
        dataclasses.replace(found, created_at=candidate.iso(ended)) if ended and isinstance(found, Candidate) else found
    )


def _automl_job(upstream: Upstream, request: Promote, applications: Applications) -> Candidate | Refusal:
    response = upstream.sagemaker.describe_auto_ml_job_v2(AutoMLJobName=request.name)
    members = ("AutoMLJobName", "AutoMLJobArn", "AutoMLJobStatus", "CreationTime", "RoleArn")
    operation, what = "DescribeAutoMLJobV2", f"the AutoML job {request.name}"
    description = responses.checked("sagemaker", operation, response, what, members)
    tags = _tags(upstream, description["AutoMLJobArn"])
    settings = _settings(request, tags, admission.of_auto_ml_job(description), applications)
    if isinstance(settings, Refusal):
        return settings
    return auto_ml.from_job(description, tags, request.application, settings)


def _of_job(
    upstream: Upstream,
    request: Promote,
    description: dict[str, Any],
    tags: dict[str, str],
    applications: Applications,
) -> Candidate | Refusal:
    settings = _settings(request, tags, admission.of_training_job(description), applications)
    if isinstance(settings, Refusal):
        return settings
    return candidate.from_training_job(description, tags, request.application, upstream.region, settings)


def _model(upstream: Upstream, request: Promote, applications: Applications) -> Candidate | Refusal | str:
    if request.by_event and not upstream.stage:
        return "This stage has no upstream stage (UpstreamStage), whose events start a promotion."
    response = upstream.sagemaker.describe_model(ModelName=request.name)
    members = ("ModelName", "ModelArn", "CreationTime")
    description = responses.checked("sagemaker", "DescribeModel", response, f"the model {request.name}", members)
    tags, promotion = _tags(upstream, description["ModelArn"]), None
    if upstream.stage:
        promotion = promoted.read(upstream.connect("stepfunctions"), upstream.state_machine, description, tags)
        tags |= {APPLICATION_TAG: promotion.application}
    source_arn = promotion.source_arn if promotion else description["ModelArn"]
    settings = _settings(request, tags, Source(f"The model {request.name}", source_arn), applications)
    if isinstance(settings, Refusal):
        return settings
    containers = candidate.containers_of(description)
    packages = {
        name: _described_package(upstream, name)
        for name in model_package.names(containers, f"The model {request.name}", upstream.account)
    }
    return candidate.from_model(description, tags, request.application, packages, promotion)


def _model_package(upstream: Upstream, request: Promote, applications: Applications) -> Candidate | Refusal | str:
    description = _described_package(upstream, request.name)
    group = model_package.group_arn(description)
    # A version cannot have tags, only its group.
    tags = _tags(upstream, group or description["ModelPackageArn"])
    if group:
        tags |= of_properties(description.get("CustomerMetadataProperties", {}))
    if request.by_event and (why_not := candidate.package_without_application(description, tags)):
        return _not_for_promotion(why_not, tags, description["ModelPackageArn"])
    source = admission.of_model_package(description["ModelPackageArn"], group)
    settings = _settings(request, tags, source, applications)
    life_cycle = None if isinstance(settings, Refusal) else admission.life_cycle(settings)
    if request.by_event and (
        why_not := candidate.package_not_for_promotion(description, life_cycle, by_life_cycle=request.by_life_cycle)
    ):
        return why_not
    if isinstance(settings, Refusal):
        return settings
    return candidate.from_model_package(description, tags, request.application, life_cycle)


def _not_for_promotion(why_not: str, tags: dict[str, str], arn: str) -> Refusal | str:
    """Return the reason, which nobody is notified of, or a refusal if it is a misspelled tag."""
    hint = misspelled(tags)
    return Refusal(UNKNOWN, InvalidRequestError(why_not), arn) if hint and why_not.endswith(hint) else why_not


def _settings(
    request: Promote, tags: dict[str, str], source: Source, applications: Applications
) -> dict[str, Any] | Refusal:
    application = admission.application_of(request.application, tags, source.what)
    return applications.settings_for(application, source)


def _described_job(upstream: Upstream, name: str) -> dict[str, Any]:
    response = upstream.sagemaker.describe_training_job(TrainingJobName=name)
    members = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime")
    return responses.checked("sagemaker", "DescribeTrainingJob", response, f"the training job {name}", members)


def _described_package(upstream: Upstream, name: str) -> dict[str, Any]:
    response = upstream.sagemaker.describe_model_package(ModelPackageName=name)
    members = ("ModelPackageArn", "ModelPackageStatus", "CreationTime")
    return responses.checked("sagemaker", "DescribeModelPackage", response, f"the model package {name}", members)


def _tags(upstream: Upstream, arn: str) -> dict[str, str]:
    pages = upstream.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    found = [responses.checked("sagemaker", "ListTags", page, f"the tags of {arn}") for page in pages]
    return {tag["Key"]: tag.get("Value", "") for page in found for tag in page.get("Tags", []) if "Key" in tag}
