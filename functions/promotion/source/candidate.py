"""The candidate for a promotion, built from SageMaker's description of its source.

Each field of the description is copied, replaced by the stage's own value, or rejected. A non-empty field that is not
listed here stops the promotion with the field's name, so that no new field of AWS's API is dropped silently.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import admission, images, inference_code, inference_image, model_metrics, model_package
from promotion.source.containers import assert_known, checked, refused_field, unknown_field
from promotion.source.promoted import PromotedUpstream
from promotion.source.tags import (
    APPLICATION_TAG,
    SMOKE_TEST_TAG,
    TAG,
    misspelled,
)

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
    """A model to promote.

    `source` is {"kind", "name", "arn"}; `created_at` is in ISO 8601 UTC; `containers` are SageMaker
    ContainerDefinitions with the upstream's URIs; `tags` are the source's tags, without AWS's and this project's;
    `smoke_test` is the `s3://` URI of the model's own test suite; `etags` are the required ETags of some artifacts, by
    the slot of their reference. `metrics` are from SageMaker, `metrics_uri` is the `s3://` URI of a file with them.
    `code` is the code to add to the model, as in `inference_code.Served`; `tested_upstream` is a `promoted` report.
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
    code: dict[str, str | None] | None = None
    tested_upstream: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the candidate as a JSON object for the state machine."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Candidate:
        """Build a candidate from the object that `to_json` returned."""
        return cls(**value)


def not_for_promotion(description: dict[str, Any], tags: dict[str, str]) -> str | None:
    """Return why the training job of an event is not for promotion, or None if it is.

    `description` is the response of DescribeTrainingJob, `tags` are the job's tags.
    """
    name = description["TrainingJobName"]
    if description.get("TuningJobArn"):
        return f"The training job {name} belongs to a tuning job. Only the tuning job's best training job is promoted."
    if APPLICATION_TAG not in tags:
        return f"The training job {name} has no tag {APPLICATION_TAG}.{misspelled(tags)}"
    return None


def package_not_for_promotion(
    package: dict[str, Any], life_cycle: dict[str, str] | None, *, by_life_cycle: bool
) -> str | None:
    """Return why the model package of an event is not for promotion, or None if it is.

    `package` is the response of DescribeModelPackage, since an event may be outdated; `life_cycle` is ModelLifeCycle in
    the setting Sources, and `by_life_cycle` whether the event reports only a change of the package's life cycle.
    """
    arn, approval, status = (
        package.get(member) for member in ("ModelPackageArn", "ModelApprovalStatus", "ModelPackageStatus")
    )
    if by_life_cycle and life_cycle is None:
        return (
            f"The event reports a change of the life cycle of the model package {arn}, which the settings do not use "
            "(Sources.ModelLifeCycle)."
        )
    if life_cycle is None and approval != "Approved":
        return f"The model package {arn} has the approval status {approval or 'none'}, not Approved."
    if why := model_package.not_approved(package, life_cycle):
        return why
    if status in ("InProgress", "Pending"):
        return f"The model package {arn} is {status}. The event of its completion starts the promotion."
    return None


def package_without_application(package: dict[str, Any], tags: dict[str, str]) -> str | None:
    """Return why the model package of an event has no application, or None; `tags` include those of its group."""
    if APPLICATION_TAG in tags:
        return None
    return (
        f"Neither the model package {package['ModelPackageArn']} nor its group has the tag "
        f"{APPLICATION_TAG}.{misspelled(tags)}"
    )


def from_training_job(
    description: dict[str, Any], tags: dict[str, str], application: str | None, region: str, settings: dict[str, Any]
) -> Candidate:
    """Build the candidate of a completed training job in the way that SageMaker's Python SDK builds a model.

    `description` is the response of DescribeTrainingJob; `settings` are those of the application. Raise
    InvalidRequestError if the job is not completed, or has no application or no inference image.
    """
    name = description["TrainingJobName"]
    status = description["TrainingJobStatus"]
    if status != "Completed":
        reason = f" ({description['FailureReason']})" if description.get("FailureReason") else ""
        raise InvalidRequestError(
            f"The training job {name} is {status}{reason}. Only a Completed training job can be promoted. "
            "Train the model again."
        )
    model = settings.get("Model", {})
    image = model.get("PrimaryContainer", {}).get("Image")
    container: dict[str, Any] = {
        "Image": image or inference_image.of_training_job(description, tags),
        **_model_data(description),
    }
    isolated = description.get("EnableNetworkIsolation", False)
    other = inference_code.named(tags, settings.get("InferenceCode", {}))
    served = inference_code.of_training_job(
        description, container["Image"], other, region, isolated=isolated or model.get("EnableNetworkIsolation", False)
    )
    if served.environment:
        container["Environment"] = served.environment
    return Candidate(
        application=admission.application_of(application, tags, f"The training job {name}"),
        source={"kind": "training_job", "name": name, "arn": description["TrainingJobArn"]},
        created_at=iso(description.get("TrainingEndTime") or description["CreationTime"]),
        containers=[container],
        enable_network_isolation=isolated,
        in_vpc=bool(description.get("VpcConfig")),
        tags=own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        metrics=model_metrics.of_training_job(description),
        code=served.code,
    )


def best_training_job(description: dict[str, Any]) -> str:
    """Return the name of the best training job from the response of DescribeHyperParameterTuningJob.

    Raise InvalidRequestError if the tuning job is not completed or has no best training job.
    """
    name, status = description["HyperParameterTuningJobName"], description["HyperParameterTuningJobStatus"]
    if status != "Completed":
        reason = f" ({description['FailureReason']})" if description.get("FailureReason") else ""
        raise InvalidRequestError(
            f"The tuning job {name} is {status}{reason}. Only a Completed tuning job can be promoted. Run it again."
        )
    best = description.get("BestTrainingJob", {}).get("TrainingJobName")
    if not best:
        raise InvalidRequestError(
            f"The tuning job {name} has no best training job: none of its jobs reported the objective metric. Fix the "
            "metric's definition, and run the tuning job again."
        )
    return str(best)


def from_model(
    description: dict[str, Any],
    tags: dict[str, str],
    application: str | None,
    packages: dict[str, dict[str, Any]] | None = None,
    promotion: PromotedUpstream | None = None,
) -> Candidate:
    """Build the candidate of an existing SageMaker model from the response of DescribeModel and its tags.

    `packages` are the responses of DescribeModelPackage for the packages in its containers. A model that the upstream
    stage has promoted keeps the source, time, metrics and smoke test of its `promotion`, and the images that its
    endpoint ran. Raise PromotionRefusedError if a field cannot be copied.
    """
    name = description["ModelName"]
    what = f"The model {name}"
    for field, value in description.items():
        if value and field not in CARRIED_FROM_MODEL | REPLACED_IN_MODEL:
            raise unknown_field(what, field)
    assert_known(what, "DescribeModel", description, "InferenceExecutionConfig")
    packages = packages or {}
    for package in packages.values():
        model_package.assert_usable(package)
    expanded, etags = model_package.expanded(containers_of(description), what, packages)
    containers = [checked(what, container) for container in expanded]
    of_packages = [model_metrics.uri_of_package(package) for package in packages.values()]
    candidate = Candidate(
        application=admission.application_of(application, tags, what),
        source={"kind": "model", "name": name, "arn": description["ModelArn"]},
        created_at=iso(description["CreationTime"]),
        containers=containers,
        inference_execution_config=description.get("InferenceExecutionConfig"),
        enable_network_isolation=description.get("EnableNetworkIsolation", False),
        in_vpc=bool(description.get("VpcConfig")),
        tags=own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        etags=etags,
        # An inference pipeline of several packages has no common metrics.
        metrics_uri=of_packages[0] if len(of_packages) == 1 else None,
    )
    if promotion is None:
        return candidate
    return dataclasses.replace(
        candidate,
        source=candidate.source | {"arn": promotion.source_arn},
        created_at=promotion.created_at,
        containers=[images.recorded(each, promotion.image_digest(n)) for n, each in enumerate(containers)],
        smoke_test=promotion.smoke_test_uri,
        metrics=promotion.metrics,
        metrics_uri=None,
        tested_upstream=promotion.report,
    )


def containers_of(description: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all containers of a model from the response of DescribeModel."""
    return description.get("Containers") or [description.get("PrimaryContainer", {})]


def from_model_package(
    description: dict[str, Any],
    tags: dict[str, str],
    application: str | None,
    life_cycle: dict[str, str] | None = None,
) -> Candidate:
    """Build the candidate of a model package from the response of DescribeModelPackage and the tags.

    `tags` are those of the package and its group, `life_cycle` is ModelLifeCycle in the setting Sources. Raise
    PromotionRefusedError if the package is not completed or not approved, or if a field cannot be copied.
    """
    model_package.assert_usable(description, life_cycle)
    arn = description["ModelPackageArn"]
    what = f"The model package {arn}"
    containers, etags = model_package.expanded([{"ModelPackageName": arn}], what, {arn: description})
    return Candidate(
        application=admission.application_of(application, tags, what),
        source={"kind": "model_package", "name": arn, "arn": arn},
        created_at=iso(description["CreationTime"]),
        containers=[checked(what, container) for container in containers],
        tags=own_tags(tags),
        smoke_test=tags.get(SMOKE_TEST_TAG),
        etags=etags,
        metrics_uri=model_metrics.uri_of_package(description),
    )


def _model_data(description: dict[str, Any]) -> dict[str, Any]:
    """Return the location of the job's artifacts: one archive, or a prefix if the job does not compress them."""
    what = f"The training job {description['TrainingJobName']}"
    for member in ("ModelArtifacts", "OutputDataConfig"):
        assert_known(what, "DescribeTrainingJob", description, member)
    artifacts = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if not artifacts:
        raise PromotionRefusedError(
            f"{what} has no model artifacts (ModelArtifacts.S3ModelArtifacts). Train the model again."
        )
    compression = description.get("OutputDataConfig", {}).get("CompressionType", "GZIP")
    if compression not in ("GZIP", "NONE"):
        why = f"this version of Model Promotion does not support its value {compression}"
        raise refused_field(what, "OutputDataConfig.CompressionType", why)
    if compression == "GZIP":
        return {"ModelDataUrl": artifacts}
    location = {"S3Uri": artifacts.rstrip("/") + "/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": location}}


def own_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags to copy: all but AWS's reserved tags and this project's, which each promotion sets itself."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(("aws:", TAG))}


def iso(time: datetime.datetime) -> str:
    """Return a time in ISO 8601 UTC, in milliseconds."""
    return time.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
