"""AutoML jobs as a source: the containers and the metrics of the best candidate."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import auto_ml
from promotion.source.candidate import Candidate
from tests.hostile_inputs.sources import ARTIFACT, AUTO_ML, IMAGE, TAGS

ONE, TWO = ({"Image": IMAGE, "ModelDataUrl": ARTIFACT, "Environment": {"N": n}} for n in "12")


def found(settings: dict[str, Any] | None = None, best: dict[str, Any] | None = None, **changes: Any) -> Candidate:
    description = copy.deepcopy(AUTO_ML) | changes
    description["BestCandidate"] |= best or {}
    return auto_ml.from_job(description, TAGS | {"team": "reviews"}, None, settings or {})


def test_the_best_candidate_of_an_automl_job_is_promoted() -> None:
    candidate = found(best={"InferenceContainers": [ONE, TWO]})

    assert candidate.application == "reviews"
    assert candidate.source == {"kind": "automl_job", "name": "automl", "arn": AUTO_ML["AutoMLJobArn"]}
    assert candidate.created_at == "2026-01-02T03:04:05.000Z"
    assert candidate.containers == [ONE, TWO]
    assert candidate.tags == {"team": "reviews"}
    assert candidate.metrics == {"F1": 0.9, "train:F1": 0.8}
    assert not candidate.in_vpc


@pytest.mark.parametrize(
    ("instance_types", "expected"),
    [
        ([], ONE),
        (["ml.m5.large"], ONE),
        (["ml.g5.xlarge", "ml.p4d.24xlarge"], TWO),
        (["ml.g5.xlarge", "ml.c6i.large"], ONE),
    ],
)
def test_the_instance_types_of_the_settings_decide_between_containers_for_cpu_and_gpu(
    instance_types: list[str], expected: dict[str, Any]
) -> None:
    variants = [{"InstanceType": each} for each in instance_types]
    units = {"InferenceContainers": [], "InferenceContainerDefinitions": {"CPU": [ONE], "GPU": [TWO]}}

    candidate = found({"EndpointConfig": {"ProductionVariants": variants}}, units)

    assert candidate.containers == [expected]


def test_a_job_with_containers_for_one_processing_unit_has_these() -> None:
    units = {"InferenceContainers": [], "InferenceContainerDefinitions": {"GPU": [TWO]}}

    assert found(best=units).containers == [TWO]


def test_a_job_in_a_vpc_requires_the_vpc_of_the_stage() -> None:
    assert found(SecurityConfig={"VpcConfig": {"Subnets": ["s"], "SecurityGroupIds": ["g"]}}).in_vpc


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopped", "Stopping"])
def test_a_job_that_is_not_completed_is_refused_with_its_status(status: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"The AutoML job automl is {status} \(no data\)\. Only a Completed"):
        found(AutoMLJobStatus=status, FailureReason="no data")


def test_a_job_without_a_candidate_that_serves_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="has no best candidate with inference containers"):
        found(best={"InferenceContainers": []})


def test_an_unknown_field_of_a_container_stops_the_promotion() -> None:
    with pytest.raises(PromotionRefusedError, match="has the field New, which this version"):
        found(best={"InferenceContainers": [ONE | {"New": "1"}]})
