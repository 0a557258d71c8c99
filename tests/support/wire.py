"""What the functions make of responses of SageMaker as they come over the wire, with the botocore that is installed.

Run as a script, it prints the results as JSON, so that a test can compare those of two versions of botocore. It needs
only the packages of a Lambda runtime and the functions.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

import botocore
from botocore.awsrequest import AWSRequest, AWSResponse

from promotion.aws import clients, sdk
from promotion.endpoint import scalable_targets
from promotion.errors import PromotionError
from promotion.plan import settings
from promotion.source import reader
from promotion.source.admission import Applications
from promotion.source.reader import Upstream
from promotion.source.request import Promote

REGION, ACCOUNT = "eu-west-1", "111111111111"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"
_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
_IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/server:1"


def _files(name: str) -> dict[str, Any]:
    return {"S3DataSource": {"S3Uri": f"s3://artifacts/{name}/", "S3DataType": "S3Prefix", "CompressionType": "None"}}


# Responses with every kind of structure that a promotion carries over. The old botocore lacks some of their members.
MODEL: dict[str, Any] = {
    "ModelName": "reviews-1",
    "ModelArn": f"{_ARN}:model/reviews-1",
    "CreationTime": 1767323045.678,
    "ExecutionRoleArn": ROLE,
    "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    "DeploymentRecommendation": {"RecommendationStatus": "COMPLETED"},
    "InferenceExecutionConfig": {"Mode": "Direct"},
    "Containers": [
        {
            "Image": _IMAGE,
            "ContainerHostname": "predictor",
            "Environment": {"THREADS": "2"},
            "ImageConfig": {"RepositoryAccessMode": "Platform"},
            "ContainerMetricsConfig": {"MetricsEndpoints": [{"MetricsEndpointPath": "/metrics"}]},
            "ModelDataSource": _files("weights"),
            "AdditionalModelDataSources": [{"ChannelName": "adapter", **_files("adapter")}],
        },
        {
            "Image": _IMAGE,
            "Mode": "MultiModel",
            "ModelDataUrl": "s3://artifacts/models/",
            "MultiModelConfig": {"ModelCacheSetting": "Disabled"},
        },
    ],
}
MODEL_PACKAGE: dict[str, Any] = {
    "ModelPackageArn": f"{_ARN}:model-package/reviews/1",
    "ModelPackageGroupName": "reviews",
    "ModelPackageStatus": "Completed",
    "ModelApprovalStatus": "Approved",
    "ModelLifeCycle": {"Stage": "Production", "StageStatus": "Approved"},
    "ManagedStorageType": "Customer",
    "CreationTime": 1767323045.678,
    "InferenceSpecification": {
        "SupportedContentTypes": ["application/json"],
        "Containers": [
            {
                "Image": _IMAGE,
                "Environment": {"THREADS": "2"},
                "ModelDataSource": _files("weights"),
                "AdditionalModelDataSources": [{"ChannelName": "adapter", **_files("adapter")}],
            }
        ],
    },
}
TRAINING_JOB: dict[str, Any] = {
    "TrainingJobName": "reviews-1",
    "TrainingJobArn": f"{_ARN}:training-job/reviews-1",
    "TrainingJobStatus": "Completed",
    "CreationTime": 1767323045.678,
    "ModelArtifacts": {"S3ModelArtifacts": "s3://artifacts/reviews-1/output/model.tar.gz"},
    "OutputDataConfig": {"S3OutputPath": "s3://artifacts/", "CompressionType": "GZIP"},
    "AlgorithmSpecification": {"TrainingImage": _IMAGE, "TrainingInputMode": "File"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
}
AUTO_ML_JOB: dict[str, Any] = {
    "AutoMLJobName": "reviews-1",
    "AutoMLJobArn": f"{_ARN}:automl-job/reviews-1",
    "AutoMLJobStatus": "Completed",
    "RoleArn": ROLE,
    "CreationTime": 1767323045.678,
    "BestCandidate": {
        "CandidateName": "best",
        "CandidateProperties": {"CandidateMetrics": [{"MetricName": "AUC", "Value": 0.9}]},
        "InferenceContainers": [
            {"Image": _IMAGE, "ModelDataUrl": f"s3://artifacts/{name}.tar.gz", "Environment": {"THREADS": "2"}}
            for name in ("transform", "predict")
        ],
    },
}
_TARGET: dict[str, Any] = {"ResourceId": "endpoint/reviews-qa/variant/AllTraffic"} | {
    "ServiceNamespace": "sagemaker",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
SCALING: dict[str, Any] = {
    "DescribeScalableTargets": {
        "ScalableTargets": [
            {
                **_TARGET,
                "MinCapacity": 1,
                "MaxCapacity": 4,
                "SuspendedState": {"DynamicScalingInSuspended": True},
            }
        ]
    },
    "DescribeScalingPolicies": {
        "ScalingPolicies": [
            {
                **_TARGET,
                "PolicyName": "load",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 70.0,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
                },
            }
        ]
    },
    "DescribeScheduledActions": {
        "ScheduledActions": [
            {
                **_TARGET,
                "ScheduledActionName": "morning",
                "Schedule": "cron(0 8 * * ? *)",
                "ScalableTargetAction": {"MinCapacity": 2},
            }
        ]
    },
}
_SOURCES = {
    "model": ("reviews-1", "DescribeModel", MODEL),
    "model_package": (MODEL_PACKAGE["ModelPackageArn"], "DescribeModelPackage", MODEL_PACKAGE),
    "training_job": ("reviews-1", "DescribeTrainingJob", TRAINING_JOB),
    "automl_job": ("reviews-1", "DescribeAutoMLJobV2", AUTO_ML_JOB),
}
NEW = "NewMember"
# Settings with members that the old botocore lacks, and one that no botocore has.
_SETTINGS: dict[str, dict[str, Any]] = {
    "pools": {"InstancePools": [{"InstanceType": "ml.g5.xlarge", "Priority": 1}]},
    "routing": {"RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}},
    "unknown": {"InstancePoolz": []},
}


def results() -> dict[str, Any]:
    """Return the results of all cases: a candidate, an autoscaling or settings, or the message of an error."""
    aws = _Wire()
    return {
        "version": botocore.__version__,
        **{kind: aws.source(kind, response) for kind, (_, _, response) in _SOURCES.items()},
        "scaling": aws.scaling(SCALING),
        "unknown": {
            kind: {path: aws.source(kind, changed) for path, changed in _with_new_member(response)}
            for kind, (_, _, response) in _SOURCES.items()
        }
        | {
            operation: {
                path: aws.scaling(SCALING | {operation: changed})
                for path, changed in _with_new_member(response)
                if path
            }
            for operation, response in SCALING.items()
        },
        "settings": {name: _settings(variant) for name, variant in _SETTINGS.items()},
        "sent": aws.sent(),
    }


def _with_new_member(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each structure's path in a response, and the response with another member in that structure."""
    for path in _structures(value, ()):
        changed = copy.deepcopy(value)
        place = changed
        for part in path:
            place = place[part]
        place[NEW] = {"Value": 1}
        yield "/".join(map(str, path)), changed


def _structures(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        yield path
        for name, each in value.items():
            if name != "Environment":  # a map, which can have any key
                yield from _structures(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _structures(each, (*path, index))


class _Body:
    """The body of a response, as urllib3 has it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


class _Wire:
    """SageMaker and Application Auto Scaling with the given responses, for the clients of a session of its own."""

    def __init__(self) -> None:
        self._responses: dict[str, Any] = {}
        self._requests: dict[str, Any] = {}
        self._clients = {name: self._client(name) for name in ("sagemaker", "application-autoscaling")}

    def _client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": REGION}
        client = sdk.session().client(service, config=clients.CONFIG, **keys)
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request: AWSRequest, **_: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        self._requests[operation] = json.loads(request.body)
        body = json.dumps(self._responses.get(operation, {})).encode()
        return AWSResponse(request.url, 200, {}, _Body(body))

    def source(self, kind: str, response: dict[str, Any]) -> Any:
        """Return the candidate of a source with this description."""
        name, operation, _ = _SOURCES[kind]
        self._responses = {operation: response, "ListTags": {"Tags": []}}
        upstream = Upstream(self._clients.__getitem__, ACCOUNT, REGION, ROLE)
        applications = Applications("qa", "222222222222", lambda _: {})
        return _result(lambda: reader.read(upstream, Promote(kind, name, "reviews"), applications))

    def scaling(self, responses: dict[str, Any]) -> Any:
        """Return the autoscaling of an endpoint with these descriptions."""
        self._responses = responses
        scaling = self._clients["application-autoscaling"]
        return _result(lambda: scalable_targets.read(scaling, "reviews-qa", None, to_restore_whole=True))

    def sent(self) -> Any:
        """Return the request that the client sends for members that the old botocore lacks."""
        variant = {"VariantName": "AllTraffic", "ModelName": "reviews", **_SETTINGS["pools"]}
        self._clients["sagemaker"].create_endpoint_config(EndpointConfigName="reviews", ProductionVariants=[variant])
        return self._requests["CreateEndpointConfig"]


def _settings(variant: dict[str, Any]) -> Any:
    text = json.dumps({"EndpointConfig": {"ProductionVariants": [variant]}})
    return _result(lambda: settings.read(text, "/model-promotion/qa/reviews", {}, ACCOUNT))


def _result(read: Any) -> Any:
    try:
        found = read()
    except PromotionError as error:
        return f"{type(error).__name__}: {error}"
    return dataclasses.asdict(found) if dataclasses.is_dataclass(found) and not isinstance(found, type) else found


if __name__ == "__main__":
    json.dump(results(), sys.stdout)
