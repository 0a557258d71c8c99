"""SageMaker's descriptions of sources in the upstream account: jobs, models, packages, their tags and images."""

from __future__ import annotations

import copy
import datetime
import functools
import json
from collections.abc import Iterator
from typing import Any

from promotion.endpoint import model
from promotion.errors import EndpointBusyError, PromotionRefusedError
from promotion.source import images, promoted
from promotion.source import reader as source
from promotion.source.admission import Applications, Refusal
from promotion.source.candidate import Candidate
from promotion.source.reader import Upstream
from promotion.source.request import Promote
from tests.hostile_inputs.trial import OWN, REGION, STRANGER, UPSTREAM, Hostile, Reader
from tests.support.s3_faults import client_error

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
SKLEARN = f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
IMAGE = f"{UPSTREAM}.dkr.ecr.{REGION}.amazonaws.com/reviews:1"
AWS = f"763104351884.dkr.ecr.{REGION}.amazonaws.com"
ARTIFACT = "s3://artifacts/reviews-1/output/model.tar.gz"
ROLE = f"arn:aws:iam::{UPSTREAM}:role/reader"
ARN = f"arn:aws:sagemaker:{REGION}:{UPSTREAM}"
TAGS = {"model-promotion:application": "reviews"}

JOB: dict[str, Any] = {
    "TrainingJobName": "reviews-1",
    "TrainingJobArn": f"{ARN}:training-job/reviews-1",
    "TrainingJobStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
    "AlgorithmSpecification": {"TrainingImage": SKLEARN, "TrainingInputMode": "File"},
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
AUTO_ML: dict[str, Any] = {
    "AutoMLJobName": "automl",
    "AutoMLJobArn": f"{ARN}:automl-job/automl",
    "AutoMLJobStatus": "Completed",
    "RoleArn": f"arn:aws:iam::{UPSTREAM}:role/training",
    "CreationTime": NOW,
    "EndTime": NOW,
    "BestCandidate": {
        "CandidateName": "automl-001",
        "FinalAutoMLJobObjectiveMetric": {"MetricName": "F1", "Value": 0.9},
        "InferenceContainers": [{"Image": IMAGE, "ModelDataUrl": ARTIFACT, "Environment": {"THREADS": "2"}}],
        "CandidateProperties": {"CandidateMetrics": [{"MetricName": "F1", "Value": 0.8, "Set": "Train"}]},
    },
}
SETTINGS: dict[str, Any] = {}
NAMES = {
    "training_job": "reviews-1",
    "tuning_job": "tuning",
    "automl_job": "automl",
    "model": "reviews-1",
    "model_package": PACKAGE_ARN,
}


def read(
    kind: str,
    tags: Any = TAGS,
    *,
    job: Any = JOB,
    tuning: Any = TUNING,
    auto_ml: Any = AUTO_ML,
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
        describe_auto_ml_job_v2=auto_ml,
        describe_model=described,
        describe_model_package=package,
        list_tags=listed,
    )
    upstream = Upstream(lambda _: reader, UPSTREAM, REGION, ROLE)
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
    "automl_job": (AUTO_ML, ["AutoMLJobName", "AutoMLJobArn", "AutoMLJobStatus", "CreationTime", "RoleArn"]),
    "model": (MODEL, ["ModelName", "ModelArn", "CreationTime"]),
    "model_package": (PACKAGE, ["ModelPackageArn", "ModelPackageStatus", "CreationTime"]),
}


def read_as(kind: str, description: Any) -> Candidate | Refusal | str:
    """Return the candidate of a source of this kind with this description."""
    parts = {
        "training_job": "job",
        "tuning_job": "tuning",
        "automl_job": "auto_ml",
        "model": "described",
        "model_package": "package",
    }
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
            "with an artifact's field that is not known",
            "model",
            changed(MODEL, "PrimaryContainer.ModelDataSource.S3DataSource.Quantum", True),
            "the field Quantum",
        ),
        (
            "with a license's field that is not known",
            "model",
            changed(MODEL, "PrimaryContainer.ModelDataSource.S3DataSource.ModelAccessConfig", {"Quantum": True}),
            "the field ModelDataSource.S3DataSource.ModelAccessConfig.Quantum",
        ),
        (
            "of a private hub",
            "model",
            changed(MODEL, "PrimaryContainer.ModelDataSource.S3DataSource.HubAccessConfig", {"HubContentArn": "arn"}),
            "its field HubAccessConfig: it refers to a model of JumpStart",
        ),
        (
            "whose artifacts have a field that is not known",
            "training_job",
            changed(JOB, "ModelArtifacts.Quantum", "s3://artifacts/other"),
            "the field ModelArtifacts.Quantum",
        ),
        (
            "whose artifacts are compressed in a way that is not known",
            "training_job",
            JOB | {"OutputDataConfig": {"S3OutputPath": "s3://artifacts", "CompressionType": "ZSTD"}},
            "its field OutputDataConfig.CompressionType",
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
        (
            "with an AWS image that only trains",
            "training_job",
            changed(JOB, "AlgorithmSpecification.TrainingImage", f"{AWS}/pytorch-training:2.6.0-gpu-py312"),
            f"{AWS}/pytorch-inference:2.6.0-gpu-py312",
        ),
        (
            "with an AWS image of an unknown purpose",
            "training_job",
            changed(JOB, "AlgorithmSpecification.TrainingImage", f"{AWS}/brand-new:1"),
            "is not known to serve models",
        ),
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
    for what, listed, says in (
        ("a list of strings", ["x"], "Tags[0] is 'x'"),
        ("a tag whose value is a number", [{"Key": "a", "Value": 7}], "Tags[0].Value is 7"),
    ):
        act = functools.partial(read, "training_job", listed)
        yield hostile(what, act, says, PromotionRefusedError)
    reserved = functools.partial(read, "training_job", TAGS | {"aws:createdBy": "x", "AWS:x": "y", "team": "search"})
    how = "AWS's tags are omitted, because they cannot be set"
    yield hostile("tags aws:*", reserved, how, None, lambda found: found.tags == {"team": "search"})
    forged = {f"model-promotion:{name}": "forged" for name in ("source", "created-at", "metrics", "image-0", "digest")}
    how = "those of this project on a model of a training account are not believed"
    act = functools.partial(read, "model", TAGS | forged)
    yield hostile("forged tags model-promotion:*", act, how, None, lambda found: "forged" not in str(found.to_json()))
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
        ("of the public registry", "public.ecr.aws/docker/library/python:3.13", "in the public registry of ECR"),
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


MACHINE = f"arn:aws:states:{REGION}:{UPSTREAM}:stateMachine:model-promotion-qa"
EXECUTION = f"{MACHINE.replace(':stateMachine:', ':execution:')}:1"
CREATED_AT = MODEL["CreationTime"]
RECORD = {
    "status": "Succeeded",
    "execution": EXECUTION,
    "model_name": NAMES["model"],
    "digest": "ab" * 32,
    "source_kind": "training_job",
    "application": "reviews",
    "source_arn": f"arn:aws:sagemaker:{REGION}:{UPSTREAM}:training-job/reviews-1",
    "created_at": "2026-01-01T00:00:00.000Z",
    "smoke_test": "s3://stage/smoke-test.json",
    "metrics": {"f1": 0.9},
    "images": ["reviews@sha256:" + "c" * 64],
}


def promoted_upstream(output: Any = None, execution: str = EXECUTION, **changes: Any) -> promoted.PromotedUpstream:
    """Return the promotion of a model whose tag names `execution`, which ended with `output`."""
    answer = {
        "executionArn": execution,
        "status": "SUCCEEDED",
        "stopDate": CREATED_AT + datetime.timedelta(hours=1),
        "output": json.dumps(RECORD) if output is None else output,
    } | changes
    tags = {"model-promotion:execution": execution, "model-promotion:digest": "ab" * 32}
    return promoted.read(Reader(describe_execution=answer), MACHINE, MODEL, tags)


def of_promotions() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "promotion of the upstream stage", refusal=PromotionRefusedError)
    for what, execution in (
        ("of another account", EXECUTION.replace(UPSTREAM, STRANGER)),
        ("of another state machine", EXECUTION.replace("model-promotion-qa", "mine")),
        ("of a state machine with a longer name", EXECUTION.replace("model-promotion-qa", "model-promotion-qa2")),
        ("without a name", EXECUTION.removesuffix("1")),
        ("that is not named", ""),
        ("with a line break", f"{EXECUTION}\n"),
    ):
        act = functools.partial(promoted_upstream, execution=execution)
        yield hostile(what, act, "its tag model-promotion:execution does not name an execution of model-promotion-qa")
    missing = client_error("ExecutionDoesNotExist", "not found", "DescribeExecution")
    tags = {"model-promotion:execution": EXECUTION}
    act = functools.partial(promoted.read, Reader(describe_execution=missing), MACHINE, MODEL, tags)
    yield hostile("that is 90 days old", act, "does not exist. Step Functions keeps executions for 90 days")
    for status in ("FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"):
        act = functools.partial(promoted_upstream, status=status)
        yield hostile(f"with the status {status}", act, f"has the status {status}")
    running = functools.partial(promoted_upstream, status="RUNNING")
    yield hostile("that is running", running, "is still running. Start this promotion again", refusal=EndpointBusyError)
    for what, output, says in (
        ("without an output", "", "the status in the output"),
        ("with an output that is not valid JSON", "{", "the status in the output"),
        ("with an output 100,000 levels deep", "[" * 100_000, "the status in the output"),
        ("that was a preview", json.dumps({"outcome": "preview"}), "the status in the output"),
        ("that was a recovery", json.dumps(RECORD | {"status": "Failed"}), "the status in the output"),
        ("of another model", json.dumps(RECORD | {"model_name": "other"}), "the model_name in the output"),
        ("of another content", json.dumps(RECORD | {"digest": "cd" * 32}), "the digest in the output"),
        ("that was a rollback", json.dumps(RECORD | {"source_kind": "rollback"}), "was a rollback"),
        ("without a time", json.dumps(RECORD | {"created_at": "yesterday"}), "The created_at in the output"),
        ("with metrics that are a list", json.dumps(RECORD | {"metrics": []}), "The metrics in the output"),
        ("with a metric that is a string", json.dumps(RECORD | {"metrics": {"f1": "1"}}), "The metrics in the output"),
        ("without an application", json.dumps(RECORD | {"application": None}), "The application in the output"),
        ("with images that are numbers", json.dumps(RECORD | {"images": [1]}), "The images in the output"),
    ):
        yield hostile(what, functools.partial(promoted_upstream, output), says)
    earlier = CREATED_AT - datetime.timedelta(seconds=1)
    act = functools.partial(promoted_upstream, stopDate=earlier)
    yield hostile("that is older than the model", act, "was created after the execution")


def every() -> Iterator[Hostile]:
    yield from descriptions()
    yield from of_promotions()
    yield from tags()
    yield from of_images()
