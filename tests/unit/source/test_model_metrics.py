import json
import math
from typing import Any

import pytest

from promotion.source.candidate import from_model, from_model_package, from_training_job
from promotion.source.model_metrics import (
    MAXIMUM_METRICS,
    UnreadableMetricsError,
    of_training_job,
    read,
    uri_of_package,
)
from tests.support.containers import container
from tests.support.descriptions import TAGS, model, training_job

STATISTICS = {"ContentType": "application/json", "S3Uri": "s3://artifacts/evaluation.json"}
PACKAGE = {
    "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:111111111111:model-package/reviews/3",
    "ModelPackageStatus": "Completed",
    "ModelApprovalStatus": "Approved",
    "InferenceSpecification": {"Containers": [container()]},
    "ModelMetrics": {"ModelQuality": {"Statistics": STATISTICS}},
    "CreationTime": model()["CreationTime"],
}


def described(*metrics: tuple[str, float]) -> dict[str, Any]:
    return {"FinalMetricDataList": [{"MetricName": name, "Value": value} for name, value in metrics]}


def test_the_metrics_of_a_training_job_come_from_sagemaker() -> None:
    candidate = from_training_job(training_job(**described(("loss", 0.25), ("f1", 0.5))), TAGS, None, "eu-west-1", {})

    assert candidate.metrics == {"f1": 0.5, "loss": 0.25}


def test_a_job_without_metrics_has_an_empty_result() -> None:
    assert of_training_job({}) == {}


def test_a_32_bit_value_is_rounded_to_its_significant_digits() -> None:
    assert of_training_job(described(("accuracy", 0.8999999761581421))) == {"accuracy": 0.9}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_must_be_a_finite_number(value: float) -> None:
    assert of_training_job(described(("loss", value))) == {}
    assert read(json.dumps({"loss": value}).encode()) == {}


def test_the_model_quality_file_comes_from_the_package() -> None:
    assert uri_of_package({}) is None
    assert from_model_package(PACKAGE, TAGS, None).metrics_uri == "s3://artifacts/evaluation.json"


def test_a_model_has_a_metrics_file_only_if_it_is_made_of_a_package() -> None:
    made_of_package = model(PrimaryContainer={"ModelPackageName": "reviews"})

    assert from_model(model(), TAGS, None).metrics_uri is None
    packages = {"reviews": PACKAGE}
    assert from_model(made_of_package, TAGS, None, packages).metrics_uri == "s3://artifacts/evaluation.json"


@pytest.mark.parametrize(
    ("document", "metrics"),
    [
        ({"accuracy": 0.9, "epochs": 3}, {"accuracy": 0.9, "epochs": 3.0}),
        (
            {"regression_metrics": {"mse": {"value": 4.9, "standard_deviation": 0.1}}},
            {"mse": 4.9, "mse.standard_deviation": 0.1},
        ),
        ({"binary_classification_metrics": {"auc": {"value": 0.8}}, "version": 0.0}, {"auc": 0.8, "version": 0.0}),
        ({"validation:f1": 0.5, "a.b": 1}, {"validation:f1": 0.5, "a.b": 1.0}),
        ({"value": 1, "my_metrics": 2}, {"value": 1.0, "my_metrics": 2.0}),
        ({"roc": {"tpr": [0.1, 0.9]}, "passed": True, "name": "x", "none": None, "": 1}, {}),
        ({"x" * 256: 1}, {}),
    ],
)
def test_the_numbers_of_a_file_are_named_by_their_paths(document: Any, metrics: dict[str, float]) -> None:
    assert read(json.dumps(document).encode()) == metrics


def test_the_metrics_that_a_stage_writes_can_be_read_again() -> None:
    metrics = read(json.dumps({"regression_metrics": {"mse": {"value": 4.9, "standard_deviation": 0.1}}}).encode())

    assert read(json.dumps(metrics).encode()) == metrics


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"accuracy,0.9", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[0.9]", "is not a JSON object"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
        (
            json.dumps({str(n): n for n in range(MAXIMUM_METRICS + 1)}).encode(),
            "has 101 numbers, above the maximum of 100",
        ),
    ],
)
def test_an_invalid_metrics_file_is_refused_with_the_reason(text: bytes, why: str) -> None:
    with pytest.raises(UnreadableMetricsError, match=why):
        read(text)
