"""The candidate: what is to be promoted, read from what SageMaker says of its source.

Everything the source's description holds is carried, replaced by this stage's own, or refused: a field that is not
listed here and is not empty stops the promotion with its name, so that nothing is lost when AWS adds one.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
from typing import Any

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.request import application_name

TAG = "model-promotion:"
APPLICATION_TAG = f"{TAG}application"
CREATED_AT_TAG = f"{TAG}created-at"
DIGEST_TAG = f"{TAG}digest"
EXECUTION_TAG = f"{TAG}execution"
INFERENCE_IMAGE_TAG = f"{TAG}inference-image"
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

CARRIED_FROM_CONTAINER = {
    "AdditionalModelDataSources",
    "ContainerHostname",
    "ContainerMetricsConfig",
    "Environment",
    "Image",
    "InferenceSpecificationName",
    "Mode",
    "ModelDataSource",
    "ModelDataUrl",
    "MultiModelConfig",
}
REFUSED_IN_CONTAINER = {
    "ImageConfig": "its image comes from a registry inside a VPC, which this stage cannot reach",
    "ModelPackageName": "it is tied to a model package of the upstream account",
}
CARRIED_FROM_S3_SOURCE = {"S3Uri", "S3DataType", "CompressionType"}
REPLACED_IN_S3_SOURCE = {"ETag", "ManifestEtag"}
REFUSED_IN_S3_SOURCE = {
    "HubAccessConfig": "it comes from a hub and may not be copied",
    "ManifestS3Uri": "its artifacts are listed in a manifest, whose addresses a copy would have to change",
    "ModelAccessConfig": "it is a gated model whose licence was accepted for the upstream account",
}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What is to be promoted.

    `source` is {"kind", "name", "arn"}; `created_at` ISO 8601 UTC; `containers` are SageMaker ContainerDefinitions
    with the upstream's addresses; `tags` the source's own, without AWS's and ours; `smoke_test` the `s3://` address of
    the suite that travels with it.
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
        "ModelDataUrl": description["ModelArtifacts"]["S3ModelArtifacts"],
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
    )


def from_model(description: dict[str, Any], tags: dict[str, str], application: str | None) -> Candidate:
    """The candidate that an existing SageMaker model is: DescribeModel's answer and the model's tags.

    A model that was promoted before keeps its first source and time. Raises PromotionRefusedError for what cannot be
    carried across.
    """
    name = description["ModelName"]
    for field, value in description.items():
        if value and field not in CARRIED_FROM_MODEL | REPLACED_IN_MODEL:
            raise PromotionRefusedError(_unknown_field(name, field))
    containers = description.get("Containers") or [description.get("PrimaryContainer", {})]
    return Candidate(
        application=_application(application, tags, f"The model {name}"),
        source={"kind": "model", "name": name, "arn": tags.get(SOURCE_TAG, description["ModelArn"])},
        created_at=_first_created_at(name, tags) or _iso(description["CreationTime"]),
        containers=[_checked_container(name, container) for container in containers],
        inference_execution_config=description.get("InferenceExecutionConfig"),
        enable_network_isolation=description.get("EnableNetworkIsolation", False),
        in_vpc=bool(description.get("VpcConfig")),
        tags=_own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
    )


def _first_created_at(model: str, tags: dict[str, str]) -> str | None:
    """The time that travels with a model that was promoted before; upstream could write anything into a tag."""
    if CREATED_AT_TAG not in tags:
        return None
    try:
        time = datetime.datetime.fromisoformat(tags[CREATED_AT_TAG])
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise PromotionRefusedError(
            f"The model {model} has the tag {CREATED_AT_TAG} = {tags[CREATED_AT_TAG]!a}, which is not a time with its "
            "zone (ISO 8601). Put it right or take it off."
        )
    return _iso(time)


def _framework_environment(hyperparameters: dict[str, str], region: str) -> dict[str, str]:
    """What the SDK's framework models set (sagemaker.model.FrameworkModel); nothing for a container of one's own."""
    program = _decoded(hyperparameters.get("sagemaker_program"))
    if not program:
        return {}
    return {
        "SAGEMAKER_CONTAINER_LOG_LEVEL": str(_decoded(hyperparameters.get("sagemaker_container_log_level")) or 20),
        "SAGEMAKER_PROGRAM": program,
        "SAGEMAKER_REGION": region,
        "SAGEMAKER_SUBMIT_DIRECTORY": _decoded(hyperparameters.get("sagemaker_submit_directory"))
        or "/opt/ml/model/code",
    }


def _decoded(hyperparameter: str | None) -> Any:
    """The SDK writes each of its hyperparameters as JSON; other clients write them plain."""
    if hyperparameter is None:
        return None
    try:
        return json.loads(hyperparameter)
    except json.JSONDecodeError:
        return hyperparameter


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


def _checked_container(model: str, container: dict[str, Any]) -> dict[str, Any]:
    for field, value in container.items():
        if not value or field in CARRIED_FROM_CONTAINER:
            continue
        if field in REFUSED_IN_CONTAINER:
            raise PromotionRefusedError(_refused_field(model, field, REFUSED_IN_CONTAINER[field]))
        raise PromotionRefusedError(_unknown_field(model, field))
    carried = copy.deepcopy({field: value for field, value in container.items() if value})
    if "Image" not in carried:
        raise PromotionRefusedError(f"The model {model} has a container without an Image, so nothing could serve it.")
    if carried.get("Mode") == "SingleModel":
        # DescribeModel says so of every container that is nothing else, whether it was asked for or not.
        del carried["Mode"]
    if "ModelDataSource" in carried:
        _check_s3_source(model, carried["ModelDataSource"])
        # DescribeModel gives both for one archive; CreateModel takes only one.
        if "ModelDataUrl" in carried and _is_one_archive(carried["ModelDataSource"]):
            del carried["ModelDataSource"]
        else:
            carried.pop("ModelDataUrl", None)
    for additional in carried.get("AdditionalModelDataSources", []):
        _check_s3_source(model, additional)
    return carried


def _is_one_archive(source: dict[str, Any]) -> bool:
    location = source["S3DataSource"]
    return bool(location["S3DataType"] == "S3Object" and location["CompressionType"] == "Gzip")


def _check_s3_source(model: str, source: dict[str, Any]) -> None:
    """Check one ModelDataSource or AdditionalModelDataSource, and take out of it what a copy has anew."""
    for field, value in source.items():
        if value and field not in {"S3DataSource", "ChannelName"}:
            raise PromotionRefusedError(_unknown_field(model, field))
    location = source["S3DataSource"]
    for field, value in location.items():
        if not value or field in CARRIED_FROM_S3_SOURCE | REPLACED_IN_S3_SOURCE:
            continue
        if field in REFUSED_IN_S3_SOURCE:
            raise PromotionRefusedError(_refused_field(model, field, REFUSED_IN_S3_SOURCE[field]))
        raise PromotionRefusedError(_unknown_field(model, field))
    for field in REPLACED_IN_S3_SOURCE & set(location):
        del location[field]


def _refused_field(model: str, field: str, why: str) -> str:
    return f"The model {model} cannot be promoted: {why} ({field})."


def _unknown_field(model: str, field: str) -> str:
    return (
        f"The model {model} has the field {field}, which this version of Model Promotion does not know. Nothing is "
        "dropped in silence: update Model Promotion, or make the model without that field."
    )


def _application(given: str | None, tags: dict[str, str], what: str) -> str:
    name = given or tags.get(APPLICATION_TAG)
    if not name:
        raise InvalidRequestError(
            f'{what} has no tag {APPLICATION_TAG}, and the input has no "application". Give one of the two.'
        )
    return application_name(name)


def _own_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags that belong to the source's owner: AWS's reserved ones cannot be set, ours are set anew."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(("aws:", TAG))}


def _iso(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
