"""Every kind of source and model, with every kind of artifact, is promoted completely.

Every row runs the deployed functions up to the model with the arguments of the state machine. No endpoint is created.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from embedded_aws.kernel import accounts
from tests.support.settings import configure
from tests.support.sources import SERVER_IMAGE, run_auto_ml, training_request, tune
from tests.support.steps import invoke, payload
from tests.support.world import DEV_BUCKET, ECR, ROLE, SKLEARN, Lab, Stage


@dataclasses.dataclass
class Steps:
    """The functions of a stage, invoked one after another."""

    stage: Stage

    def promote(self, given: dict[str, str], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the model for a manual input, and the plan of its copy."""
        execution = f"arn:aws:states:{accounts.REGION}:{self.stage.account}:execution:model-promotion-qa:{name}"
        resolve = payload(self.stage, "Resolve candidate", input=given, started_at="2026-01-01T00:00:00Z")
        found = invoke(self.stage, "ResolveCandidateFunction", resolve | {"execution": execution})
        assert found["outcome"] == "promote", found["reason"]
        copied = {key: found[key] for key in ("candidate", "settings", "approved")}
        planned = payload(self.stage, "Plan copy", **copied, execution=execution, image_copy=False, preview=False)
        plan = invoke(self.stage, "PlanCopyFunction", planned)
        names = ("bucket", "account", "upstream_role_arn", "external_id", "execution")
        where = {name: planned[name] for name in names}
        for batch in plan["batches"]:
            invoke(self.stage, "CopyArtifactsFunction", where | {"batch": batch, "manifest": plan["manifest"]})
        made = invoke(self.stage, "CreateModelFunction", {"request": plan["model"]})
        return self.stage.client("sagemaker").describe_model(ModelName=made["model_name"]), plan


@pytest.fixture
def steps(qa: Stage, application: str) -> Steps:
    configure(qa, application, SmokeTest="skip", AcceptEula=True)
    return Steps(qa)


def contents(client: Any, uri: str) -> dict[str, bytes]:
    """Return the objects under an S3 URI: their content by their relative key."""
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    assert keys, f"nothing at {uri}"
    names = {each: each.removeprefix(key).lstrip("/") for each in keys}
    return {name: client.get_object(Bucket=bucket, Key=each)["Body"].read() for each, name in names.items()}


def assert_equal(lab: Lab, qa: Stage, source: Any, promoted: Any, path: str = "model") -> None:
    """Assert that all fields are equal: images by digest, and S3 URIs by the bytes of their objects."""
    if isinstance(source, dict):
        assert source.keys() == promoted.keys(), path
        for key in source:
            assert_equal(lab, qa, source[key], promoted[key], f"{path}.{key}")
    elif isinstance(source, list):
        assert len(source) == len(promoted), path
        for index, (one, other) in enumerate(zip(source, promoted, strict=True)):
            assert_equal(lab, qa, one, other, f"{path}[{index}]")
    elif isinstance(source, str) and source.startswith("s3://"):
        assert promoted.startswith(f"s3://{qa.bucket}/models/"), path
        assert source.endswith("/") == promoted.endswith("/"), path
        assert contents(lab.client("s3"), source) == contents(qa.client("s3"), promoted), path
    elif path.endswith(".Image"):
        assert promoted == lab.by_digest(source), path
    else:
        assert source == promoted, path


REPLACED = {"ModelName", "ModelArn", "CreationTime", "ExecutionRoleArn", "ResponseMetadata"}


def kept(description: dict[str, Any]) -> dict[str, Any]:
    """Return a model's description without the members that a stage replaces, its containers as a list."""
    rest = {key: value for key, value in description.items() if key not in REPLACED}
    primary = rest.pop("PrimaryContainer", None)
    return rest | ({"Containers": [primary]} if primary else {})


# The artifacts of a container. Each is given an address nobody else has.
SHAPES: dict[str, Any] = {
    "none": lambda lab, at: {},
    "archive": lambda lab, at: {"ModelDataUrl": lab.upload(f"{at}/model.tar.gz", at.encode())},
    "object gzip": lambda lab, at: source(lab.upload(f"{at}/model.tar.gz", at.encode()), "S3Object", "Gzip"),
    "object": lambda lab, at: source(lab.upload(f"{at}/model.onnx", at.encode()), "S3Object", "None"),
    "prefix": lambda lab, at: source(folder(lab, f"{at}/weights"), "S3Prefix", "None"),
}


def source(uri: str, kind: str, compression: str) -> dict[str, Any]:
    return {"ModelDataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}}}


def folder(lab: Lab, at: str) -> str:
    for name in ("config.json", "shards/1.safetensors", "shards/2 of 2.safetensors"):
        uri = lab.upload(f"{at}/{name}", f"{at}{name}".encode())
    assert uri
    return f"s3://{DEV_BUCKET}/{at}/"


def environment(lab: Lab, at: str) -> dict[str, str]:
    return {
        "SAGEMAKER_SUBMIT_DIRECTORY": lab.upload(f"{at}/sourcedir.tar.gz", at.encode()),
        "TOKENIZER": folder(lab, f"{at}/tokenizer"),
        "LABELS": folder(lab, f"{at}/labels").rstrip("/"),
        "THREADS": "2",
        "SAGEMAKER_PROGRAM": "inference.py",
    }


def additional(lab: Lab, at: str) -> list[dict[str, Any]]:
    adapter = source(folder(lab, f"{at}/a"), "S3Prefix", "None")["ModelDataSource"]
    adapter["S3DataSource"]["ModelAccessConfig"] = {"AcceptEula": True}
    draft = source(lab.upload(f"{at}/d.bin", b"d"), "S3Object", "None")["ModelDataSource"]
    return [{"ChannelName": "adapter", **adapter}, {"ChannelName": "draft", **draft}]


def model_request(lab: Lab, kind: str, shape: str, at: str) -> dict[str, Any]:
    """Return the CreateModel request for a kind of model."""
    one = {"Image": SERVER_IMAGE, **SHAPES[shape](lab, f"{at}/0")}
    two = {"Image": f"{ECR}/team/second:2", **SHAPES[shape](lab, f"{at}/1")}
    match kind:
        case "plain":
            return {"PrimaryContainer": one}
        case "rich":
            rich = one | {
                "ContainerHostname": "predictor",
                "Environment": environment(lab, at),
                "AdditionalModelDataSources": additional(lab, at),
                "ImageConfig": {"RepositoryAccessMode": "Platform"},
                "ContainerMetricsConfig": {"MetricsEndpoints": [{"MetricsEndpointPath": "/metrics"}]},
            }
            return {"PrimaryContainer": rich, "EnableNetworkIsolation": True}
        case "serial":
            return {"Containers": [one, two, {"Image": SERVER_IMAGE}]}
        case "direct":
            named = [one | {"ContainerHostname": "one"}, two | {"ContainerHostname": "two"}]
            return {"Containers": named, "InferenceExecutionConfig": {"Mode": "Direct"}}
        case "fifteen":
            return {"Containers": [one, *[{"Image": SERVER_IMAGE, "Environment": {"N": str(n)}} for n in range(14)]]}
        case "multi-model":
            several = {"Mode": "MultiModel", "MultiModelConfig": {"ModelCacheSetting": "Disabled"}}
            return {"PrimaryContainer": {"Image": SERVER_IMAGE, "ModelDataUrl": folder(lab, at), **several}}
    raise AssertionError(kind)


MODELS = [
    *[("plain", shape) for shape in SHAPES],
    *[("rich", shape) for shape in ("archive", "prefix")],
    *[("serial", shape) for shape in ("archive", "prefix")],
    ("direct", "object"),
    ("fifteen", "archive"),
    ("multi-model", "prefix"),
]


@pytest.mark.parametrize(("kind", "shape"), MODELS)
def test_a_model(lab: Lab, qa: Stage, steps: Steps, application: str, kind: str, shape: str) -> None:
    lab.client("sagemaker").create_model(
        ModelName=application, ExecutionRoleArn=ROLE, **model_request(lab, kind, shape, application)
    )
    described = lab.client("sagemaker").describe_model(ModelName=application)

    promoted, _ = steps.promote({"model": application, "application": application}, application)

    assert_equal(lab, qa, kept(described), kept(promoted))


PACKAGED = [*[("plain", shape) for shape in SHAPES], ("serial", "archive")]


def package(lab: Lab, kind: str, shape: str, name: str, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """Register an approved model package with many other members; return its ARN and its containers."""
    request = model_request(lab, kind, shape, name)
    containers = [
        each | {"Environment": {"THREADS": str(index), "LABELS": lab.upload(f"{name}/{index}/labels.txt", b"l")}}
        for index, each in enumerate(request.get("Containers") or [request["PrimaryContainer"]])
    ]
    offered = [
        {
            **each,
            "ImageDigest": lab.by_digest(each["Image"]).partition("@")[2],
            "Framework": "PYTORCH",
            "FrameworkVersion": "2.6",
            "NearestModelName": "resnet18",
            "ModelInput": {"DataInputConfig": "{}"},
        }
        for each in containers
    ]
    sagemaker = lab.client("sagemaker")
    tags = [{"Key": "model-promotion:application", "Value": name}, {"Key": "team", "Value": "reviews"}]
    sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=tags)
    arn = sagemaker.create_model_package(
        ModelPackageGroupName=name,
        InferenceSpecification={
            "Containers": offered,
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
        },
        ModelApprovalStatus="PendingManualApproval",
        ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://elsewhere/x"}}},
        CustomerMetadataProperties={"reviewed": "yes"},
        **more,
    )["ModelPackageArn"]
    # Approval by the hand of a person comes last.
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="fine")
    return str(arn), [each | {"Image": lab.by_digest(each["Image"])} for each in containers]


def as_described(lab: Lab, containers: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return DescribeModel's response for a model with these containers."""
    sagemaker = lab.client("sagemaker")
    sagemaker.create_model(ModelName=f"{name}-of-containers", ExecutionRoleArn=ROLE, Containers=containers)
    return list(sagemaker.describe_model(ModelName=f"{name}-of-containers")["Containers"])


@pytest.mark.parametrize(("kind", "shape"), PACKAGED)
def test_a_model_package(lab: Lab, qa: Stage, steps: Steps, application: str, kind: str, shape: str) -> None:
    arn, containers = package(lab, kind, shape, application)

    promoted, _ = steps.promote({"model_package": arn}, application)

    assert_equal(lab, qa, as_described(lab, containers, application), kept(promoted)["Containers"])


@pytest.mark.parametrize(("kind", "shape"), [("plain", "archive"), ("plain", "prefix"), ("serial", "archive")])
def test_a_model_from_a_package_does_not_refer_to_the_package(
    lab: Lab, qa: Stage, steps: Steps, application: str, kind: str, shape: str
) -> None:
    arn, containers = package(lab, kind, shape, application)
    # Only where the package has one container can the model say of which it is.
    own = {"Environment": {"THREADS": "8"}} if len(containers) == 1 else {}
    lab.client("sagemaker").create_model(
        ModelName=application,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"ModelPackageName": arn, **own},
        EnableNetworkIsolation=True,
    )

    promoted, _ = steps.promote({"model": application, "application": application}, application)

    for each in containers:
        each["Environment"] |= own.get("Environment", {})
    assert_equal(lab, qa, as_described(lab, containers, application), kept(promoted)["Containers"])
    assert promoted["EnableNetworkIsolation"]
    assert "model-package" not in json.dumps(promoted, default=str)


@pytest.mark.parametrize("shape", ["archive", "prefix"])
def test_a_training_job(lab: Lab, qa: Stage, steps: Steps, application: str, shape: str) -> None:
    job = f"{application}-job"
    if shape == "archive":
        lab.upload(f"{job}/output/model.tar.gz", b"archive")
        output, data = {}, {"ModelDataUrl": f"s3://{DEV_BUCKET}/{job}/output/model.tar.gz"}
    else:
        output, data = {"CompressionType": "NONE"}, source(folder(lab, f"{job}/output/model"), "S3Prefix", "None")
    lab.client("sagemaker").create_training_job(TrainingJobName=job, **training_request(output))
    assert lab.ended(job) == "Completed"

    promoted, _ = steps.promote({"training_job": job, "application": application}, application)

    expected = as_described(lab, [{"Image": SERVER_IMAGE, **data}], application)
    assert_equal(lab, qa, expected, kept(promoted)["Containers"])
    assert promoted["EnableNetworkIsolation"]


def test_a_tuning_job_stands_for_its_best_training_job(lab: Lab, qa: Stage, steps: Steps, application: str) -> None:
    tuning = tune(lab, application, {"model-promotion:application": application})
    jobs = lab.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuning
    )["TrainingJobSummaries"]
    best = next(job for job in jobs if job["TunedHyperParameters"] == {"rate": "0.5"})

    promoted, _ = steps.promote({"tuning_job": tuning}, application)

    expected = {
        "Image": SKLEARN,
        "ModelDataUrl": f"s3://{DEV_BUCKET}/{best['TrainingJobName']}/output/model.tar.gz",
        "Environment": {
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
            "SAGEMAKER_PROGRAM": "code/inference.py",
            "SAGEMAKER_REGION": accounts.REGION,
            "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{DEV_BUCKET}/{application}/sourcedir.tar.gz",
        },
    }
    assert len(jobs) == 3
    assert_equal(lab, qa, as_described(lab, [expected], application), kept(promoted)["Containers"])


def test_an_automl_job_stands_for_all_containers_of_its_best_candidate(
    lab: Lab, qa: Stage, steps: Steps, application: str
) -> None:
    job = run_auto_ml(lab, {"model-promotion:application": application}, [b"transform", b"predict", b"labels"])
    best = lab.client("sagemaker").describe_auto_ml_job_v2(AutoMLJobName=job)["BestCandidate"]

    promoted, plan = steps.promote({"automl_job": job}, application)

    expected = as_described(lab, best["InferenceContainers"], application)
    assert len(expected) == 3
    assert_equal(lab, qa, expected, kept(promoted)["Containers"])
    assert plan["promotion"]["metrics"] == {"F1": 0.9, "validation:F1": 0.9}
