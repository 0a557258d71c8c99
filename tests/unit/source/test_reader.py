"""Errors of SageMaker in the upstream account, as messages for the operator of this stage."""

import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import reader
from promotion.source.admission import Applications
from promotion.source.candidate import Candidate
from promotion.source.reader import Upstream
from promotion.source.request import Promote
from tests.support.s3_faults import client_error, not_found

ACCOUNT, ROLE = "111111111111", "arn:aws:iam::111111111111:role/model-promotion/reader-qa"
PACKAGE = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/reviews/3"

APPLICATIONS = Applications("qa", "222222222222", lambda _: {})


class SageMaker:
    def __init__(self, answer: dict[str, Any] | ClientError) -> None:
        self.answer = answer

    def describe(self, **_: str) -> dict[str, Any]:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return self.answer

    describe_model = describe_model_package = describe


def read(error: ClientError) -> None:
    upstream = Upstream(lambda _: SageMaker(error), ACCOUNT, "eu-west-1", ROLE)
    reader.read(upstream, Promote("model", "reviews-1"), APPLICATIONS)


def test_a_source_that_does_not_exist_is_an_invalid_request() -> None:
    with pytest.raises(
        InvalidRequestError, match=f"The model reviews-1 does not exist in account {ACCOUNT} in eu-west-1"
    ):
        read(not_found("model", "reviews-1"))


def test_a_denied_read_is_refused_with_the_role_and_the_stack_that_grants_it() -> None:
    with pytest.raises(PromotionRefusedError) as error:
        read(client_error("AccessDeniedException", "not authorized"))

    assert (
        f"The role {ROLE} has no permission to read the model reviews-1: AccessDeniedException: not authorized"
        in str(error.value)
    )
    assert f"Deploy upstream.yaml in account {ACCOUNT}" in str(error.value)


def test_an_event_of_a_promotion_is_ignored_without_an_upstream_stage() -> None:
    upstream = Upstream(lambda _: None, ACCOUNT, "eu-west-1", ROLE)

    reason = reader.read(upstream, Promote("model", "reviews-1", by_event=True), APPLICATIONS)

    assert reason == "This stage has no upstream stage (UpstreamStage), whose events start a promotion."


class TuningJob:
    """A tuning job whose best trial ended two hours before the tuning job."""

    def describe_hyper_parameter_tuning_job(self, **_: str) -> dict[str, Any]:
        return {
            "HyperParameterTuningJobName": "tuning",
            "HyperParameterTuningJobArn": "arn:tuning",
            "HyperParameterTuningJobStatus": "Completed",
            "HyperParameterTuningEndTime": datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC),
            "BestTrainingJob": {"TrainingJobName": "tuning-1", "TrainingJobArn": "arn:job"},
        }

    def describe_training_job(self, **_: str) -> dict[str, Any]:
        return {
            "TrainingJobName": "tuning-1",
            "TrainingJobArn": "arn:job",
            "TrainingJobStatus": "Completed",
            "CreationTime": datetime.datetime(2026, 1, 2, 9, tzinfo=datetime.UTC),
            "TrainingEndTime": datetime.datetime(2026, 1, 2, 10, tzinfo=datetime.UTC),
            "AlgorithmSpecification": {"TrainingImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/reviews:1"},
            "ModelArtifacts": {"S3ModelArtifacts": "s3://models/model.tar.gz"},
        }

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"Tags": [{"Key": "model-promotion:application", "Value": "reviews"}]}]


def test_the_candidate_of_a_tuning_job_is_as_new_as_the_tuning_job() -> None:
    upstream = Upstream(lambda _: TuningJob(), ACCOUNT, "eu-west-1", ROLE)

    found = reader.read(upstream, Promote("tuning_job", "tuning"), APPLICATIONS)

    assert isinstance(found, Candidate)
    assert found.created_at == "2026-01-02T12:00:00.000Z"


def test_any_other_error_is_raised_unchanged() -> None:
    with pytest.raises(ClientError, match="ThrottlingException"):
        read(client_error("ThrottlingException"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved"}, None),
        ({"ModelPackageArn": PACKAGE}, None),
        (
            {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Rejected"},
            f"The model package {PACKAGE} has the approval status Rejected. Approve the model package in its account "
            "first.",
        ),
        (
            client_error("ValidationException", f"ModelPackage {PACKAGE} does not exist."),
            f"The model package {PACKAGE} no longer exists in its account.",
        ),
    ],
)
def test_a_package_is_withdrawn_when_it_is_deleted_or_no_longer_approved(answer: Any, why: str | None) -> None:
    assert reader.why_withdrawn(SageMaker(answer), PACKAGE, {}, is_rollback=False) == why


STAGING = {"Sources": {"ModelLifeCycle": {"Stage": "Staging", "StageStatus": "Approved"}}}


@pytest.mark.parametrize(
    ("approval", "stage", "promotes", "rolls_back"),
    [
        ("PendingManualApproval", "Staging", True, True),
        ("Approved", "Production", False, True),
        ("Rejected", "Staging", False, False),
    ],
)
def test_the_life_cycle_of_the_settings_approves_a_package(
    approval: str, stage: str, promotes: bool, rolls_back: bool
) -> None:
    sagemaker = SageMaker(
        {
            "ModelPackageArn": PACKAGE,
            "ModelApprovalStatus": approval,
            "ModelLifeCycle": {"Stage": stage, "StageStatus": "Approved"},
        }
    )

    assert (reader.why_withdrawn(sagemaker, PACKAGE, STAGING, is_rollback=False) is None) == promotes
    assert (reader.why_withdrawn(sagemaker, PACKAGE, STAGING, is_rollback=True) is None) == rolls_back
