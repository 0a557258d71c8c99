"""Responses of SageMaker that describe the sources of candidates."""

import datetime
from typing import Any

import pytest

from promotion.errors import PromotionRefusedError
from promotion.source.candidate import from_model
from tests.support.containers import ARTIFACT, IMAGE

JOB_ARN = "arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-1"
MODEL_ARN = "arn:aws:sagemaker:eu-west-1:111111111111:model/reviews-1"
ENDED = datetime.datetime(2026, 1, 2, 4, 4, 5, 678000, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
TAGS = {"model-promotion:application": "reviews"}


def training_job(**changes: Any) -> dict[str, Any]:
    """Build a response of DescribeTrainingJob, without the members changed to None."""
    job = {
        "TrainingJobName": "reviews-1",
        "TrainingJobArn": JOB_ARN,
        "TrainingJobStatus": "Completed",
        "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "CreationTime": ENDED - datetime.timedelta(hours=2),
        "TrainingEndTime": ENDED,
        "EnableNetworkIsolation": False,
    }
    return {key: value for key, value in (job | changes).items() if value is not None}


def model(**changes: Any) -> dict[str, Any]:
    """Build a response of DescribeModel, without the members changed to None."""
    description = {
        "ModelName": "reviews-1",
        "ModelArn": MODEL_ARN,
        "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": ARTIFACT, "Environment": {"THREADS": "2"}},
        "ExecutionRoleArn": "arn:aws:iam::111111111111:role/serving",
        "CreationTime": ENDED,
        "EnableNetworkIsolation": False,
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    return {key: value for key, value in (description | changes).items() if value is not None}


def model_refusal(**changes: Any) -> str:
    """Return the message with which the model is refused."""
    with pytest.raises(PromotionRefusedError) as error:
        from_model(model(**changes), TAGS, None)
    return str(error.value)
