"""The candidate: what is to be promoted, read from what SageMaker says of its source.

Everything the source's description holds is carried, replaced by this stage's own, or refused: a field that is not
listed here and is not empty stops the promotion with its name, so that nothing is lost when AWS adds one.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.naming import application_name
from promotion.source import images, model_metrics, model_package
from promotion.source.containers import checked, unknown_field

TAG = "model-promotion:"
APPLICATION_TAG = f"{TAG}application"
CREATED_AT_TAG = f"{TAG}created-at"
DIGEST_TAG = f"{TAG}digest"
EXECUTION_TAG = f"{TAG}execution"
IMAGE_TAG = f"{TAG}image-"  # with a container's number: the digest its endpoint ran, where the model itself has none
INFERENCE_IMAGE_TAG = f"{TAG}inference-image"
METRICS_TAG = f"{TAG}metrics"
SMOKE_TEST_TAG = f"{TAG}smoke-test"
SOURCE_TAG = f"{TAG}source"

CARRIED_FROM_MODEL = {"PrimaryContainer", "Containers", "InferenceExecutionConfig", "EnableNetworkIsolation"}
REPLACED_IN_MODEL = {
    "CreationTime",
    "DeploymentRecommendation",
    "ExecutionRoleArn",
    "ModelArn",
    "ModelName",
    "ResponseMetadata",
    "VpcConfig",
}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What is to be promoted.

    `source` is {"kind", "name", "arn"}; `created_at` ISO 8601 UTC; `containers` are SageMaker ContainerDefinitions
    with the upstream's addresses; `tags` the source's own, without AWS's and ours; `smoke_test` the `s3://` address of
    the suite that travels with it; `etags` what S3 has to call some artifacts, by the slot of their reference.
    `metrics` are those SageMaker says of it, `metrics_uri` the `s3://` address of a file that has them instead.
    """

    application: str
    source: dict[str, str]
    created_at: str
    containers: list[dict[str, Any]]
    inference_execution_config: dict[str, Any] | None = None
    enable_network_isolation: bool = False
    in_vpc: bool = False
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    smoke_test: str | None = None
    etags: dict[str, str] = dataclasses.field(default_factory=dict)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    metrics_uri: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Candidate:
        return cls(**value)


def not_for_promotion(description: dict[str, Any], tags: dict[str, str]) -> str | None:
    """Why the training job of an event is not for promotion, or None when it is.

    `description` is DescribeTrainingJob's answer, `tags` the job's.
    """
    name = description["TrainingJobName"]
    if description.get("TuningJobArn"):
        return f"The training job {name} belongs to a tuning job, which is promoted as a whole or not at all."
    if APPLICATION_TAG not in tags:
        return f"The training job {name} has no tag {APPLICATION_TAG}."
    return None


def package_not_for_promotion(package: dict[str, Any], tags: dict[str, str]) -> str | None:
    """Why the model package of an event is not for promotion, or None when it is.

    `package` is DescribeModelPackage's answer, since an event may be out of date; `tags` its own and its group's.
    """
    arn, approval = package["ModelPackageArn"], package.get("ModelApprovalStatus")
    if approval != "Approved":
        return f"The model package {arn} is {approval or 'without an approval'}, not Approved."
    if APPLICATION_TAG not in tags:
        return f"Neither the model package {arn} nor its group has the tag {APPLICATION_TAG}."
    return None


def from_training_job(
    description: dict[str, Any], tags: dict[str, str], application: str | None, region: str, image: str | None
) -> Candidate:
    """The candidate that a completed training job makes, as SageMaker's Python SDK would make a model of it.

    `description` is DescribeTrainingJob's answer; `image` what the settings say serves it, if they do. Raises
    InvalidRequestError when the job is not completed or names no application or image.
    """
    name = description["TrainingJobName"]
    status = description["TrainingJobStatus"]
    if status != "Completed":
        reason = f" ({description['FailureReason']})" if description.get("FailureReason") else ""
        raise InvalidRequestError(
            f"The training job {name} is {status}{reason}; only a Completed one can be promoted. Train it again."
        )
    environment = _framework_environment(description.get("HyperParameters", {}), region)
    container: dict[str, Any] = {
        "Image": image or tags.get(INFERENCE_IMAGE_TAG) or _serving_image(description),
        **_model_data(description),
    }
    if environment:
        container["Environment"] = environment
    return Candidate(
        application=_application(application, tags, f"The training job {name}"),
        source={"kind": "training_job", "name": name, "arn": description["TrainingJobArn"]},
        created_at=_iso(description.get("TrainingEndTime") or description["CreationTime"]),
        containers=[container],
        enable_network_isolation=description.get("EnableNetworkIsolation", False),
        in_vpc=bool(description.get("VpcConfig")),
        tags=_own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        metrics=model_metrics.of_training_job(description),
    )


def best_training_job(description: dict[str, Any]) -> str:
    """The name of a completed tuning job's best training job, by DescribeHyperParameterTuningJob's answer."""
    name, status = description["HyperParameterTuningJobName"], description["HyperParameterTuningJobStatus"]
    if status != "Completed":
        reason = f" ({description['FailureReason']})" if description.get("FailureReason") else ""
        raise InvalidRequestError(f"The tuning job {name} is {status}{reason}; only a Completed one can be promoted.")
    best = description.get("BestTrainingJob", {}).get("TrainingJobName")
    if not best:
        raise InvalidRequestError(
            f"The tuning job {name} has no best training job: none of its jobs came to a value of the objective metric."
        )
    return str(best)


def from_model(
    description: dict[str, Any],
    tags: dict[str, str],
    application: str | None,
    packages: dict[str, dict[str, Any]] | None = None,
) -> Candidate:
    """The candidate that an existing SageMaker model is: DescribeModel's answer and the model's tags.

    `packages` are DescribeModelPackage's answers for the packages that its containers name. A model that was promoted
    before keeps its first source and time, and its images are those that its endpoint ran. Raises PromotionRefusedError
    for what cannot be carried across.
    """
    name, made_at = description["ModelName"], _iso(description["CreationTime"])
    what = f"The model {name}"
    for field, value in description.items():
        if value and field not in CARRIED_FROM_MODEL | REPLACED_IN_MODEL:
            raise unknown_field(what, field)
    packages = packages or {}
    expanded, etags = model_package.expanded(containers_of(description), what, packages)
    containers = [checked(what, container) for container in expanded]
    of_packages = [model_metrics.uri_of_package(package) for package in packages.values()]
    return Candidate(
        application=_application(application, tags, what),
        source={"kind": "model", "name": name, "arn": tags.get(SOURCE_TAG, description["ModelArn"])},
        created_at=_first_created_at(name, tags, made_at) or made_at,
        containers=[images.recorded(each, tags.get(f"{IMAGE_TAG}{n}")) for n, each in enumerate(containers)],
        inference_execution_config=description.get("InferenceExecutionConfig"),
        enable_network_isolation=description.get("EnableNetworkIsolation", False),
        in_vpc=bool(description.get("VpcConfig")),
        tags=_own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        etags=etags,
        # A pipeline of several packages has no metrics as a whole.
        metrics_uri=tags.get(METRICS_TAG) or (of_packages[0] if len(of_packages) == 1 else None),
    )


def containers_of(description: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a model, whether it has one or several, by DescribeModel's answer."""
    return description.get("Containers") or [description.get("PrimaryContainer", {})]


def from_model_package(description: dict[str, Any], tags: dict[str, str], application: str | None) -> Candidate:
    """The candidate that a model package makes: DescribeModelPackage's answer, and its tags and its group's.

    Raises PromotionRefusedError when it is not completed, not approved, or cannot be carried across.
    """
    arn = description["ModelPackageArn"]
    what = f"The model package {arn}"
    containers, etags = model_package.expanded([{"ModelPackageName": arn}], what, {arn: description})
    return Candidate(
        application=_application(application, tags, what),
        source={"kind": "model_package", "name": arn, "arn": arn},
        created_at=_iso(description["CreationTime"]),
        containers=[checked(what, container) for container in containers],
        tags=_own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        etags=etags,
        metrics_uri=model_metrics.uri_of_package(description),
    )


def _first_created_at(model: str, tags: dict[str, str], made_at: str) -> str | None:
    """The time that travels with a model that was promoted before; upstream could write anything into a tag.

    `made_at` is that of the model itself, which is made of something older.
    """
    if CREATED_AT_TAG not in tags:
        return None
    try:
        time = datetime.datetime.fromisoformat(tags[CREATED_AT_TAG])
        # Of year 1 or 9999 it may have no equal in UTC.
        found = _iso(time) if time.tzinfo else None
    except (OverflowError, ValueError):
        found = None
    if found is None:
        raise PromotionRefusedError(
            f"The model {model} has the tag {CREATED_AT_TAG} = {tags[CREATED_AT_TAG]!a}, which is not a time with its "
            "zone (ISO 8601). Put it right or take it off."
        )
    if found > made_at:
        raise PromotionRefusedError(
            f"The model {model} has the tag {CREATED_AT_TAG} = {tags[CREATED_AT_TAG]!a}, which is later than the model "
            f"itself ({made_at}); with it nothing newer could ever take its place. Put it right or take it off."
        )
    return found


def _model_data(description: dict[str, Any]) -> dict[str, Any]:
    """Where the job's artifacts lie: one archive, or all that is below a prefix where it was told not to pack them."""
    artifacts = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if not artifacts:
        raise PromotionRefusedError(
            f"The training job {description['TrainingJobName']} has no artifacts (ModelArtifacts.S3ModelArtifacts), so "
            "there is nothing to promote. Train it again."
        )
    if description.get("OutputDataConfig", {}).get("CompressionType", "GZIP") == "GZIP":
        return {"ModelDataUrl": artifacts}
    location = {"S3Uri": artifacts.rstrip("/") + "/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": location}}


def _framework_environment(hyperparameters: dict[str, str], region: str) -> dict[str, str]:
    """What the SDK's framework models set (sagemaker.model.FrameworkModel); nothing for a container of one's own."""
    program = _decoded(hyperparameters.get("sagemaker_program"))
    if not program:
        return {}
    return {
        "SAGEMAKER_CONTAINER_LOG_LEVEL": _decoded(hyperparameters.get("sagemaker_container_log_level")) or "20",
        "SAGEMAKER_PROGRAM": program,
        "SAGEMAKER_REGION": region,
        "SAGEMAKER_SUBMIT_DIRECTORY": _decoded(hyperparameters.get("sagemaker_submit_directory"))
        or "/opt/ml/model/code",
    }


def _decoded(hyperparameter: str | None) -> str | None:
    """The SDK writes each of its hyperparameters as JSON; other clients write them plain."""
    try:
        value = json.loads(hyperparameter or '""')
    except (RecursionError, ValueError):
        return hyperparameter
    return value if isinstance(value, str) else hyperparameter


def _serving_image(description: dict[str, Any]) -> str:
    """The training image, where the same image serves; AWS's *-training images do not."""
    name, image = description["TrainingJobName"], description.get("AlgorithmSpecification", {}).get("TrainingImage")
    if not image:
        raise InvalidRequestError(
            f"The training job {name} has no training image of its own (it used an algorithm resource). Tag it with "
            f"{INFERENCE_IMAGE_TAG} = the image that serves it."
        )
    repository = image.split("@")[0].split(":")[0]
    if repository.endswith("-training"):
        raise InvalidRequestError(
            f"The training job {name} used the image {image}, which only trains. Tag the job with "
            f"{INFERENCE_IMAGE_TAG} = the image that serves it, or set Model.PrimaryContainer.Image in the settings."
        )
    return str(image)


def _application(given: str | None, tags: dict[str, str], what: str) -> str:
    name = given or tags.get(APPLICATION_TAG)
    if not name:
        raise InvalidRequestError(
            f'{what} has no tag {APPLICATION_TAG}, and the input has no "application". Give one of the two.'
        )
    return application_name(name, "the input" if given else f"the tag {APPLICATION_TAG} of {what[0].lower()}{what[1:]}")


def _own_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags that belong to the source's owner: AWS's reserved ones cannot be set, ours are set anew."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(("aws:", TAG))}


def _iso(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
