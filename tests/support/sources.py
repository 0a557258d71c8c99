"""The sources of candidates in the lab: training jobs, tuning jobs and model packages."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support.waiting import wait_until
from tests.support.world import DEV_BUCKET, ECR, ROLE, SKLEARN, Lab

SERVER_IMAGE = f"{ECR}/team/server:1.0"


def tags(application: str, suite: str) -> dict[str, str]:
    return {"model-promotion:application": application, "model-promotion:smoke-test": suite}


def training_request(output: dict[str, Any]) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {"TrainingImage": SERVER_IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{DEV_BUCKET}", **output},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "EnableNetworkIsolation": True,
    }


# Its artifact is the value it was given; the middle one of three is the best.
TUNED = """
import os, pathlib, sys
value = float(sys.argv[sys.argv.index("--rate") + 1])
pathlib.Path(os.environ["SM_MODEL_DIR"], "rate.txt").write_text(str(value))
print(f"loss={abs(value - 0.5)}")
"""


def run_auto_ml(lab: Lab, tags: dict[str, str], artifacts: list[bytes]) -> str:
    """Run an AutoML job whose best candidate has these archives, one for each container; return its name."""
    name = f"automl-{uuid.uuid4().hex[:20]}"
    for number, content in enumerate(artifacts):
        lab.upload_as_sdk(f"{name}/{number}/model.tar.gz", content)
    sagemaker = lab.client("sagemaker")
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{DEV_BUCKET}/data/"}}
    sagemaker.create_auto_ml_job_v2(
        AutoMLJobName=name,
        AutoMLJobInputDataConfig=[{"ChannelType": "training", "DataSource": data}],
        OutputDataConfig={"S3OutputPath": f"s3://{DEV_BUCKET}"},
        AutoMLProblemTypeConfig={"TabularJobConfig": {"TargetAttributeName": "label"}},
        RoleArn=ROLE,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )

    def look() -> str | None:
        status = str(sagemaker.describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"])
        return status if status != "InProgress" else None

    assert wait_until(look, f"the end of {name}") == "Completed"
    return name


def tune(lab: Lab, name: str, tags: dict[str, str]) -> str:
    """A completed tuning job of three training jobs; its name."""
    code = lab.upload_as_sdk(f"{name}/sourcedir.tar.gz", lab.artifact("", TUNED))
    sagemaker = lab.client("sagemaker")
    definition = training_request({}) | {
        "StaticHyperParameters": {"sagemaker_program": "code/inference.py", "sagemaker_submit_directory": code},
        "EnableNetworkIsolation": False,
    }
    definition["AlgorithmSpecification"] |= {
        "TrainingImage": SKLEARN,
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
    }
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0", "MaxValue": "1"}],
            },
        },
        TrainingJobDefinition=definition,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )

    def look() -> str | None:
        found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        status = str(found["HyperParameterTuningJobStatus"])
        return status if status != "InProgress" else None

    assert wait_until(look, f"the end of {name}") == "Completed"
    return name


def approve(lab: Lab, package: str, status: str = "Approved") -> None:
    lab.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus=status)
