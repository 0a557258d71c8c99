"""Tuning jobs of the embedded AWS: training jobs and the best of them."""

from __future__ import annotations

from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.sagemaker.training.tuning import sampled
from tests.embedded_aws.support.sagemaker_account import IMAGE, Account, archive, refused
from tests.support.waiting import wait_for

SCRIPT = """
import os, pathlib, sys
rate = float(sys.argv[sys.argv.index("--rate") + 1])
if rate > 0.9:
    raise ValueError("this one fails")
pathlib.Path(os.environ["SM_MODEL_DIR"], "rate.txt").write_text(str(rate))
print(f"accuracy={rate}")
"""


@pytest.fixture
def dev(aws: EmbeddedAws, name: str) -> Account:
    return Account("dev", name)


RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}


def start(dev: Account, low: float, high: float, script: str = SCRIPT, **resources: Any) -> None:
    """Start a tuning job with three training jobs."""
    code = dev.put("sourcedir.tar.gz", archive({"train.py": script}))
    dev.sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=dev.name,
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "accuracy"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 3},
            "ParameterRanges": {
                "ContinuousParameterRanges": [{"Name": "rate", "MinValue": str(low), "MaxValue": str(high)}]
            },
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {"sagemaker_program": "train.py", "sagemaker_submit_directory": code},
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}],
            },
            "RoleArn": dev.role_arn,
            "OutputDataConfig": {"S3OutputPath": f"s3://{dev.bucket}/out"},
            **(resources or {"ResourceConfig": RESOURCES}),
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
        Tags=[{"Key": "team", "Value": "search"}],
    )


def tune(dev: Account, low: float, high: float) -> dict[str, Any]:
    """Run a tuning job, and return its final description."""
    start(dev, low, high)
    return dict(wait_for(lambda: ended(dev)))


def jobs_of(dev: Account) -> list[dict[str, Any]]:
    response = dev.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=dev.name)
    return list(response["TrainingJobSummaries"])


def ended(dev: Account) -> dict[str, Any] | None:
    description = dict(dev.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=dev.name))
    return description if description["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped") else None


def test_the_best_training_job_is_the_one_with_the_best_metric(dev: Account) -> None:
    tuning = tune(dev, 0.0, 0.9)

    best = tuning["BestTrainingJob"]
    job = dev.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert tuning["HyperParameterTuningJobStatus"] == "Completed"
    assert tuning["TrainingJobStatusCounters"]["Completed"] == 3
    assert float(best["TunedHyperParameters"]["rate"]) == pytest.approx(0.75)
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.75)
    assert job["TuningJobArn"] == tuning["HyperParameterTuningJobArn"]
    assert job["HyperParameters"]["_tuning_objective_metric"] == "accuracy"
    assert dev.get(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert dev.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "search"}]


def test_a_failed_training_job_is_never_the_best(dev: Account) -> None:
    tuning = tune(dev, 0.0, 1.2)

    assert tuning["HyperParameterTuningJobStatus"] == "Completed"
    assert float(tuning["BestTrainingJob"]["TunedHyperParameters"]["rate"]) == pytest.approx(0.6)
    assert tuning["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert sorted(job["TrainingJobStatus"] for job in jobs_of(dev)) == ["Completed", "Completed", "Failed"]


def test_a_tuning_job_fails_without_a_best_job_if_all_training_jobs_fail(dev: Account) -> None:
    tuning = tune(dev, 1.0, 2.0)

    assert tuning["HyperParameterTuningJobStatus"] == "Failed"
    assert "BestTrainingJob" not in tuning


def test_stopping_a_tuning_job_stops_its_training_jobs(dev: Account) -> None:
    slow = SCRIPT.replace("print(f", "import time; time.sleep(60)\nprint(f")
    stop = dev.sagemaker.stop_hyper_parameter_tuning_job
    assert refused(stop, HyperParameterTuningJobName=dev.name) == ("ResourceNotFound", "Requested resource not found.")

    start(dev, 0.0, 0.5, script=slow)
    wait_for(lambda: len(jobs_of(dev)) == 3)
    stop(HyperParameterTuningJobName=dev.name)

    assert wait_for(lambda: ended(dev))["HyperParameterTuningJobStatus"] == "Stopped"
    assert {job["TrainingJobStatus"] for job in jobs_of(dev)} == {"Stopped"}


@pytest.mark.parametrize(
    "resources",
    [
        {"ResourceConfig": RESOURCES},
        {"HyperParameterTuningResourceConfig": RESOURCES},
        {"HyperParameterTuningResourceConfig": {"InstanceConfigs": [RESOURCES, RESOURCES | {"InstanceCount": 2}]}},
    ],
)
def test_the_training_jobs_have_the_resources_of_the_tuning_job(dev: Account, resources: dict[str, Any]) -> None:
    start(dev, 0.1, 0.2, "raise SystemExit(1)", **resources)

    job = wait_for(
        lambda: dev.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=dev.name)[
            "TrainingJobSummaries"
        ],
        "the training jobs",
    )[0]
    described = dev.sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])

    assert described["ResourceConfig"] == RESOURCES
    assert described["OutputDataConfig"]["KmsKeyId"] == ""


def test_values_are_distributed_evenly_over_their_ranges() -> None:
    ranges = {
        "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}],
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "10"}],
        "ContinuousParameterRanges": [
            {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1", "ScalingType": "Logarithmic"}
        ],
    }

    values = [sampled(ranges, number, 2) for number in range(2)]

    assert [value["optimizer"] for value in values] == ["sgd", "adam"]
    assert [value["depth"] for value in values] == ["4", "8"]
    assert [float(value["rate"]) for value in values] == pytest.approx([0.001, 0.1])
