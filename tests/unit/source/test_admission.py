"""Which sources are admitted into an application of a stage."""

from typing import Any

import pytest

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import admission
from promotion.source.admission import Applications, Refusal
from tests.hostile_inputs import sources

UPSTREAM, OWN = "111111111111", "222222222222"
ROLE = f"arn:aws:iam::{UPSTREAM}:role/training/Trainer"
GROUP = f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model-package-group/reviews"
JOB_ARN = f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:training-job/reviews-1"
JOB = {"TrainingJobName": "reviews-1", "TrainingJobArn": JOB_ARN, "RoleArn": ROLE}


def settings_for(source: admission.Source, settings: dict[str, Any] | None) -> dict[str, Any] | Refusal:
    return Applications("qa", OWN, lambda _: settings).settings_for("reviews", source)


def test_a_source_of_an_application_that_is_not_registered_is_refused() -> None:
    refusal = settings_for(admission.of_training_job(JOB), None)

    assert isinstance(refusal, Refusal)
    assert (refusal.application, refusal.source_arn) == ("reviews", JOB_ARN)
    assert isinstance(refusal.error, InvalidRequestError)
    assert str(refusal.error) == (
        "The training job reviews-1 is for the application reviews, which is not registered in the stage qa. To "
        "register it, run in account 222222222222: aws cloudformation deploy --template-file application.yaml "
        "--stack-name model-promotion-qa-reviews --parameter-overrides Stage=qa Application=reviews --capabilities "
        "CAPABILITY_NAMED_IAM"
    )


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        (admission.of_training_job(JOB), {"TrainingRoles": ["arn:aws:iam::111111111111:role/x", ROLE]}),
        (admission.of_model_package("arn", GROUP), {"ModelPackageGroups": [GROUP]}),
        (admission.of_model_package("arn", GROUP), {"ModelPackageGroups": ["reviews"]}),
        # A model comes from the upstream stage or from an operator.
        (admission.Source("The model reviews-1", "arn"), {"TrainingRoles": [ROLE]}),
    ],
)
def test_an_allowed_source_has_the_settings_of_its_application(
    source: admission.Source, allowed: dict[str, Any]
) -> None:
    settings = {"Sources": allowed}

    assert settings_for(source, settings) == settings


@pytest.mark.parametrize(
    ("source", "allowed", "why"),
    [
        (
            admission.of_training_job(JOB),
            {"TrainingRoles": [f"{ROLE}2"]},
            f"The training job reviews-1 ran with the role {ROLE}, which Sources.TrainingRoles in the settings of "
            f"reviews does not allow in the stage qa. Allowed: {ROLE}2.",
        ),
        (admission.of_training_job(JOB), {"ModelPackageGroups": ["Trainer"]}, "Allowed: none."),
        (
            admission.of_training_job({"TrainingJobName": "reviews-1", "TrainingJobArn": JOB_ARN}),
            {"TrainingRoles": [ROLE]},
            "ran with a role that SageMaker does not report",
        ),
        (
            admission.of_model_package("arn", GROUP),
            {"ModelPackageGroups": ["reviews2"]},
            "The model package arn is in the model package group reviews",
        ),
        (admission.of_model_package("arn", None), {"ModelPackageGroups": ["reviews"]}, "is in no group"),
        (admission.of_model_package("arn", GROUP), {"TrainingRoles": [ROLE]}, "Allowed: none."),
        (admission.of_model_package("arn", GROUP), {}, "Allowed: none."),
    ],
)
def test_a_source_that_is_not_allowed_is_refused(source: admission.Source, allowed: dict[str, Any], why: str) -> None:
    refusal = settings_for(source, {"Sources": allowed})

    assert isinstance(refusal, Refusal)
    assert isinstance(refusal.error, PromotionRefusedError)
    assert why in str(refusal.error)


def test_a_tuning_job_is_compared_by_the_role_of_its_best_training_job() -> None:
    job = sources.JOB | {"RoleArn": ROLE}
    allowed = sources.read("tuning_job", job=job, by_event=True, settings={"Sources": {"TrainingRoles": [ROLE]}})
    refused = sources.read("tuning_job", job=job, by_event=True, settings={"Sources": {"TrainingRoles": []}})

    assert not isinstance(allowed, Refusal | str)
    assert isinstance(refused, Refusal)
    assert ROLE in str(refused.error)


@pytest.mark.parametrize("role", [sources.AUTO_ML["RoleArn"], ROLE])
def test_an_automl_job_is_compared_by_its_role(role: str) -> None:
    found = sources.read("automl_job", settings={"Sources": {"TrainingRoles": [role]}}, by_event=True)

    assert isinstance(found, Refusal) == (role == ROLE)


@pytest.mark.parametrize("kind", ["training_job", "tuning_job", "automl_job", "model_package"])
def test_the_error_of_a_refusal_is_raised_only_if_an_operator_started_the_promotion(kind: str) -> None:
    assert isinstance(sources.read(kind, by_event=True, settings=None), Refusal)
    with pytest.raises(InvalidRequestError, match="not registered in the stage qa"):
        sources.read(kind, settings=None)


def test_sources_are_names_and_arns_in_the_upstream_account() -> None:
    given = {"TrainingRoles": [ROLE], "ModelPackageGroups": ["reviews", GROUP]}

    assert admission.validated(given, "Sources", UPSTREAM) == given


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "Sources is not an object"),
        ({"TrainingRole": []}, "unknown key 'TrainingRole' (did you mean \"TrainingRoles\"?)"),
        ({"TrainingRoles": ROLE}, "Sources.TrainingRoles is not a list"),
        ({"TrainingRoles": ["Trainer-of-reviews-models"]}, "Sources.TrainingRoles[0] is 'Trainer-of-reviews-models'"),
        ({"TrainingRoles": [ROLE, 7]}, "Sources.TrainingRoles[1] is 7, not a string"),
        ({"ModelPackageGroups": ["a group"]}, "Sources.ModelPackageGroups[0] is 'a group'"),
        (
            {"TrainingRoles": [ROLE.replace(UPSTREAM, OWN)]},
            f"Sources.TrainingRoles[0] is in account {OWN}, but the sources of this stage are in account {UPSTREAM}",
        ),
        ({"ModelPackageGroups": [GROUP.replace(UPSTREAM, OWN)]}, f"is in account {OWN}"),
    ],
)
def test_sources_that_can_never_match_are_refused(given: Any, why: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        admission.validated(given, "Sources", UPSTREAM)

    assert why in str(error.value)


@pytest.mark.parametrize("kind", ["training_job", "tuning_job", "model_package"])
def test_a_source_with_a_misspelled_tag_is_refused_so_that_people_are_notified(kind: str) -> None:
    refusal = sources.read(kind, tags={"model-promotion:aplication": "reviews"}, by_event=True)

    assert isinstance(refusal, Refusal)
    assert refusal.application == admission.UNKNOWN
    assert refusal.source_arn.startswith("arn:")
    assert '(did you mean "model-promotion:application"?)' in str(refusal.error)


@pytest.mark.parametrize("kind", ["training_job", "tuning_job", "model_package"])
def test_a_source_without_a_tag_of_this_project_is_ignored(kind: str) -> None:
    assert isinstance(sources.read(kind, tags={"model-application": "reviews"}, by_event=True), str)


def test_the_training_jobs_of_a_tuning_job_with_a_misspelled_tag_are_ignored() -> None:
    job = sources.JOB | {"TuningJobArn": "arn:tuning"}

    why_not = sources.read("training_job", tags={"model-promotion:aplication": "x"}, job=job, by_event=True)

    assert isinstance(why_not, str)
    assert "belongs to a tuning job" in why_not
