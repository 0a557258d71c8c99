"""SageMaker's descriptions of sources in the upstream account: jobs, models, packages, their tags and images."""

from __future__ import annotations

import copy
import datetime
import functools
from collections.abc import Iterator
from typing import Any

from promotion.endpoint import model
from promotion.errors import PromotionRefusedError
from promotion.source import images
from promotion.source import reader as source
from promotion.source.admission import Applications, Refusal
from promotion.source.candidate import Candidate
from promotion.source.reader import Upstream
from promotion.source.request import Promote
from promotion.source.tags import CREATED_AT_TAG, IMAGE_TAG
from tests.hostile_inputs.trial import OWN, REGION, STRANGER, UPSTREAM, Hostile, Reader

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
IMAGE = f"{UPSTREAM}.dkr.ecr.{REGION}.amazonaws.com/reviews:1"
ARTIFACT = "s3://artifacts/reviews-1/output/model.tar.gz"
ROLE = f"arn:aws:iam::{UPSTREAM}:role/reader"
ARN = f"arn:aws:sagemaker:{REGION}:{UPSTREAM}"
TAGS = {"model-promotion:application": "reviews"}

JOB: dict[str, Any] = {
    "TrainingJobName": "reviews-1",
    "TrainingJobArn": f"{ARN}:training-job/reviews-1",
    "TrainingJobStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "HyperParameters": {
        "sagemaker_program": '"inference.py"',
        "sagemaker_submit_directory": '"s3://artifacts/source.tar.gz"',
        "sagemaker_container_log_level": "20",
    },
    "FinalMetricDataList": [{"MetricName": "f1", "Value": 0.9, "Timestamp": NOW}],
    "OutputDataConfig": {"S3OutputPath": "s3://artifacts", "CompressionType": "GZIP"},
    "CreationTime": NOW,
    "TrainingEndTime": NOW,
}
TUNING: dict[str, Any] = {
    "HyperParameterTuningJobName": "tuning",
    "HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/tuning",
    "HyperParameterTuningJobStatus": "Completed",
    "BestTrainingJob": {"TrainingJobName": "reviews-1", "TrainingJobArn": f"{ARN}:training-job/reviews-1"},
}
MODEL: dict[str, Any] = {
    "ModelName": "reviews-1",
    "ModelArn": f"{ARN}:model/reviews-1",
    "CreationTime": NOW,
    "PrimaryContainer": {
        "Image": IMAGE,
        "Mode": "SingleModel",
        "ModelDataSource": {
            "S3DataSource": {"S3Uri": "s3://artifacts/w/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        },
        "Environment": {"THREADS": "2", "TOKENS": "s3://artifacts/tokens/"},
    },
}
PACKAGE_ARN = f"{ARN}:model-package/reviews/3"
PACKAGE: dict[str, Any] = {
    "ModelPackageGroupName": "reviews",
    "ModelPackageArn": PACKAGE_ARN,
    "ModelPackageStatus": "Completed",
    "ModelApprovalStatus": "Approved",
    "CreationTime": NOW,
    "InferenceSpecification": {
        "Containers": [{"Image": IMAGE, "ImageDigest": f"sha256:{'a' * 64}", "ModelDataUrl": ARTIFACT}],
    },
    "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "json", "S3Uri": "s3://artifacts/quality.json"}}},
}
SETTINGS: dict[str, Any] = {}
NAMES = {"training_job": "reviews-1", "tuning_job": "tuning", "model": "reviews-1", "model_package": PACKAGE_ARN}


def read(
    kind: str,
    tags: Any = TAGS,
    *,
    job: Any = JOB,
    tuning: Any = TUNING,
    described: Any = MODEL,
    package: Any = PACKAGE,
    by_event: bool = False,
    settings: dict[str, Any] | None = SETTINGS,
) -> Candidate | Refusal | str:
    """Return the candidate of a source with these descriptions, or why it is not for promotion."""
    listed = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()] if isinstance(tags, dict) else tags}
    reader = Reader(
        describe_training_job=job,
        describe_hyper_parameter_tuning_job=tuning,
        describe_model=described,
        describe_model_package=package,
        list_tags=listed,
    )
    upstream = Upstream(reader, UPSTREAM, REGION, ROLE)
    return source.read(
        upstream, Promote(kind, NAMES[kind], by_event=by_event), Applications("qa", OWN, lambda _: settings)
    )


def changed(whole: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """Return `whole` with another value at a dotted path, or without it."""
    whole = copy.deepcopy(whole)
    *parts, last = path.split(".")
    place: Any = whole
    for part in parts:
        place = place[int(part) if part.isdigit() else part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return whole


_REQUIRED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "training_job": (JOB, ["TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime"]),
    "tuning_job": (TUNING, ["HyperParameterTuningJobName", "HyperParameterTuningJobStatus"]),
    "model": (MODEL, ["ModelName", "ModelArn", "CreationTime"]),
    "model_package": (PACKAGE, ["ModelPackageArn", "ModelPackageStatus", "CreationTime"]),
}


def read_as(kind: str, description: Any) -> Candidate | Refusal | str:
    """Return the candidate of a source of this kind with this description."""
    parts = {"training_job": "job", "tuning_job": "tuning", "model": "described", "model_package": "package"}
    return read(kind, **{parts[kind]: description})


def descriptions() -> Iterator[Hostile]:
    for kind, (whole, members) in _REQUIRED.items():
        entry = f"description of a {kind.replace('_', ' ')}"
        for member in members:
            act = functools.partial(read_as, kind, changed(whole, member))
            yield Hostile(entry, f"without {member}", act, f"{member} is missing", PromotionRefusedError)
            act = functools.partial(read_as, kind, changed(whole, member, ["x"]))
            yield Hostile(entry, f"whose {member} is a list", act, f"{member} is a list", PromotionRefusedError)
    for what, kind, given, says in (
        ("without artifacts", "training_job", changed(JOB, "ModelArtifacts"), "ModelArtifacts.S3ModelArtifacts"),
        (
            "whose artifacts are a number",
            "training_job",
            changed(JOB, "ModelArtifacts.S3ModelArtifacts", 7),
            "S3ModelArtifacts is 7",
        ),
        ("whose hyperparameters are a list", "training_job", changed(JOB, "HyperParameters", ["x"]), "HyperParameters"),
        (
            "with a hyperparameter that is a number",
            "training_job",
            changed(JOB, "HyperParameters.sagemaker_program", 7),
            "HyperParameters.sagemaker_program is 7",
        ),
        (
            "whose metrics are a string",
            "training_job",
            changed(JOB, "FinalMetricDataList", "f1=0.9"),
            "FinalMetricDataList is 'f1=0.9'",
        ),
        ("whose end is a string", "training_job", changed(JOB, "TrainingEndTime", "yesterday"), "TrainingEndTime"),
        (
            "whose best job is a string",
            "tuning_job",
            changed(TUNING, "BestTrainingJob", "reviews-1"),
            "BestTrainingJob",
        ),
        ("whose containers are a string", "model", changed(MODEL, "PrimaryContainer", "x"), "PrimaryContainer is 'x'"),
        ("without a container", "model", changed(MODEL, "PrimaryContainer"), "without an image"),
        ("without an image", "model", changed(MODEL, "PrimaryContainer.Image"), "without an image"),
        (
            "whose environment is a list",
            "model",
            changed(MODEL, "PrimaryContainer.Environment", ["x"]),
            "PrimaryContainer.Environment is a list",
        ),
        (
            "whose environment has a number",
            "model",
            changed(MODEL, "PrimaryContainer.Environment.THREADS", 2),
            "PrimaryContainer.Environment.THREADS is 2",
        ),
        (
            "whose environment has a key of the upstream account",
            "model",
            changed(MODEL, "PrimaryContainer.Environment.AWS_SECRET_ACCESS_KEY", "secret"),
            "AWS_SECRET_ACCESS_KEY of the model reviews-1 sets credentials",
        ),
        (
            "whose environment calls AWS elsewhere",
            "model",
            changed(MODEL, "PrimaryContainer.Environment.AWS_ENDPOINT_URL_S3", "http://169.254.169.254"),
            "AWS_ENDPOINT_URL_S3 of the model reviews-1 sets credentials",
        ),
        (
            "with a source without its type",
            "model",
            changed(MODEL, "PrimaryContainer.ModelDataSource.S3DataSource.S3DataType"),
            "S3DataSource.S3DataType",
        ),
        (
            "with a source without an address",
            "model",
            changed(MODEL, "PrimaryContainer.ModelDataSource.S3DataSource", {}),
            "S3DataSource.CompressionType",
        ),
        ("with a field that is not known", "model", MODEL | {"Quantum": {"Qubits": 2}}, "the field Quantum"),
        (
            "with a container's field that is not known",
            "model",
            changed(MODEL, "PrimaryContainer.Quantum", True),
            "the field Quantum",
        ),
        (
            "made of a package of a stranger's",
            "model",
            changed(
                MODEL,
                "PrimaryContainer.ModelPackageName",
                f"arn:aws:sagemaker:{REGION}:{STRANGER}:model-package/reviews/3",
            ),
            f"in account {STRANGER}",
        ),
        ("that is not completed", "model_package", changed(PACKAGE, "ModelPackageStatus", "Pending"), "is Pending"),
        (
            "that was rejected",
            "model_package",
            changed(PACKAGE, "ModelApprovalStatus", "Rejected"),
            "has the approval status Rejected",
        ),
        (
            "that waits for its approval",
            "model_package",
            changed(PACKAGE, "ModelApprovalStatus", "PendingManualApproval"),
            "has the approval status PendingManualApproval",
        ),
        (
            "without a specification",
            "model_package",
            changed(PACKAGE, "InferenceSpecification"),
            "no inference specification",
        ),
        (
            "whose specification has no containers",
            "model_package",
            changed(PACKAGE, "InferenceSpecification.Containers", []),
            "no containers",
        ),
        (
            "whose containers are strings",
            "model_package",
            changed(PACKAGE, "InferenceSpecification.Containers", ["x"]),
            "InferenceSpecification.Containers[0] is 'x'",
        ),
        (
            "without an image",
            "model_package",
            changed(PACKAGE, "InferenceSpecification.Containers", [{"ModelDataUrl": ARTIFACT}]),
            "without an image",
        ),
        ("of a Marketplace product", "model_package", changed(PACKAGE, "ManagedStorageType", "Restricted"), "Managed"),
    ):
        act = functools.partial(read_as, kind, given)
        yield Hostile(f"description of a {kind.replace('_', ' ')}", what, act, says, PromotionRefusedError)
    for what, kind, given, says in (
        ("that failed", "training_job", changed(JOB, "TrainingJobStatus", "Failed"), "is Failed"),
        ("that has no image", "training_job", changed(JOB, "AlgorithmSpecification"), "has no training image"),
        ("that found no best job", "tuning_job", changed(TUNING, "BestTrainingJob"), "no best training job"),
    ):
        act = functools.partial(read_as, kind, given)
        yield Hostile(f"description of a {kind.replace('_', ' ')}", what, act, says)
    stale = functools.partial(
        read, "model_package", package=changed(PACKAGE, "ModelApprovalStatus", "Rejected"), by_event=True
    )
    yield Hostile(
        "description of a model package",
        "rejected by now, whatever its event said",
        stale,
        "ignored with a reason",
        None,
        lambda found: isinstance(found, str) and "the approval status Rejected, not Approved" in found,
    )
    for what, program in (("a number", "5"), ("NaN", "NaN"), ("nested without end", "[" * 100_000), ("a list", "[1]")):
        act = functools.partial(read, "training_job", job=changed(JOB, "HyperParameters.sagemaker_program", program))

        def is_text(found: Any, program: str = program) -> bool:
            return bool(found.containers[0]["Environment"]["SAGEMAKER_PROGRAM"] == program)

        yield Hostile(
            "description of a training job", f"whose program is {what}", act, "copied as a string", None, is_text
        )


def tags() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "tag")
    name = "model-promotion:application"
    for what, value in (
        ("empty", ""),
        ("in upper case", "Reviews"),
        ("with ..", "../victim"),
        ("of 256 characters", "x" * 256),
        ("with a line break", "reviews\n"),
        ("with an emoji", "😀"),
        ("that is a JSONata expression", "{% $x %}"),
    ):
        act = functools.partial(read, "training_job", {name: value})
        yield hostile(f"an application {what}", act, f"tag {name} of the training job" if value else f"no tag {name}")
    for what, value, says in (
        ("no time", "yesterday", "is not a time with a time zone"),
        ("a time without its zone", "2026-01-01T00:00:00", "is not a time with a time zone"),
        ("a time before all times", "0001-01-01T00:00:00+14:00", "is not a time with a time zone"),
        ("a time after all times", "9999-12-31T23:59:59-14:00", "is not a time with a time zone"),
        (
            "a time to come, so that nothing would be newer",
            "9999-01-01T00:00:00Z",
            "is later than the model's own creation time",
        ),
        ("terminal escape codes", "\x1b[31m", "is not a time with a time zone"),
    ):
        act = functools.partial(read, "model", TAGS | {CREATED_AT_TAG: value})
        yield hostile(f"a first time that is {what}", act, says, PromotionRefusedError)
    bad_digest = functools.partial(read, "model", TAGS | {f"{IMAGE_TAG}0": "latest"})
    yield hostile("an image's digest that is none", bad_digest, "which is not a digest", PromotionRefusedError)
    for what, listed, says in (
        ("a list of strings", ["x"], "Tags[0] is 'x'"),
        ("a tag whose value is a number", [{"Key": "a", "Value": 7}], "Tags[0].Value is 7"),
    ):
        act = functools.partial(read, "training_job", listed)
        yield hostile(what, act, says, PromotionRefusedError)
    reserved = functools.partial(read, "training_job", TAGS | {"aws:createdBy": "x", "AWS:x": "y", "team": "search"})
    how = "AWS's tags are omitted, because they cannot be set"
    yield hostile("tags aws:*", reserved, how, None, lambda found: found.tags == {"team": "search"})
    ours = functools.partial(read, "training_job", TAGS | {"model-promotion:execution": "forged"})
    how = "omitted, and set by the promotion"
    yield hostile("a tag that says who made a resource", ours, how, None, lambda found: found.tags == {})

    def full() -> dict[str, str]:
        found = read("training_job", TAGS | {f"key-{number}": "x" for number in range(46)})
        assert isinstance(found, Candidate)
        return model.resource_tags(found, "d" * 64, "arn", "s3://x/y")

    yield hostile("46 tags of the owner's", full, "SageMaker allows 50", PromotionRefusedError)


def _pinned(image: str) -> Any:
    return images.pinned([{"Image": image}], REGION, lambda _: f"sha256:{'a' * 64}")


def of_images() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "image", refusal=PromotionRefusedError)
    registry = f"{UPSTREAM}.dkr.ecr.{REGION}.amazonaws.com"
    none = "is not in a private ECR registry"
    for what, uri, says in (
        ("of another registry", "docker.io/library/python:3.13", none),
        ("without a registry", "python", none),
        ("with a scheme", f"https://{registry}/reviews:1", none),
        ("with a query", f"{registry}/reviews:1?x=y", none),
        ("with a fragment", f"{registry}/reviews:1#x", none),
        ("with ..", f"{registry}/../reviews:1", none),
        ("with an account in other digits", "\u0661" * 12 + f".dkr.ecr.{REGION}.amazonaws.com/reviews:1", none),
        ("with a tag of other letters", f"{registry}/reviews:größe", none),
        ("with a digest of another kind", f"{registry}/reviews@md5:{'a' * 32}", none),
        ("with a digest too short", f"{registry}/reviews@sha256:{'a' * 63}", none),
        ("in upper case", f"{registry}/Reviews:1", none),
        ("with a line break", f"{registry}/reviews:1\n", none),
        ("of 4 KiB", "x" * 4096, none),
        ("of another region", f"{UPSTREAM}.dkr.ecr.us-east-1.amazonaws.com/reviews:1", "is in us-east-1"),
    ):
        yield hostile(what, functools.partial(_pinned, uri), says)
    for what, uri in (("by the tag latest", f"{registry}/reviews:latest"), ("without a tag", f"{registry}/reviews")):
        how = "pinned to the digest that its tag has now"
        act = functools.partial(_pinned, uri)
        yield Hostile("image", what, act, how, None, lambda found: found[0]["Image"].endswith(f"@sha256:{'a' * 64}"))


def every() -> Iterator[Hostile]:
    yield from descriptions()
    yield from tags()
    yield from of_images()
