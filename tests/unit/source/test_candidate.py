import dataclasses
import json
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest

from promotion.errors import InvalidRequestError
from promotion.source import candidate
from promotion.source.candidate import Candidate, best_training_job, from_model, from_training_job, not_for_promotion
from promotion.source.promoted import PromotedUpstream
from tests.support.containers import ARTIFACT, IMAGE, container
from tests.support.descriptions import JOB_ARN, MODEL_ARN, TAGS, model, model_refusal, training_job

SKLEARN = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SUBMITTED = "s3://artifacts/reviews-1/source/sourcedir.tar.gz"


def from_job(image: str | None = None, tags: dict[str, str] | None = None, **changes: Any) -> Candidate:
    settings = {"Model": {"PrimaryContainer": {"Image": image}}} if image else {}
    return from_training_job(training_job(**changes), TAGS | (tags or {}), None, "eu-west-1", settings)


def test_a_completed_training_job_is_a_candidate() -> None:
    assert from_job() == Candidate(
        application="reviews",
        source={"kind": "training_job", "name": "reviews-1", "arn": JOB_ARN},
        created_at="2026-01-02T03:04:05.678Z",
        containers=[{"Image": IMAGE, "ModelDataUrl": ARTIFACT}],
    )


def test_a_candidate_survives_the_round_trip_through_json() -> None:
    carried = from_model(model(Containers=[container(), container()], PrimaryContainer=None), TAGS, None)

    assert Candidate.from_json(json.loads(json.dumps(carried.to_json()))) == carried


def test_a_training_job_of_a_tuning_job_is_not_promoted_alone() -> None:
    arn = "arn:aws:sagemaker:eu-west-1:111111111111:hyper-parameter-tuning-job/tuning"

    why_not = not_for_promotion(training_job(TuningJobArn=arn), TAGS)

    assert why_not == (
        "The training job reviews-1 belongs to a tuning job. Only the tuning job's best training job is promoted."
    )


def test_a_training_job_without_the_application_tag_is_not_for_promotion() -> None:
    why_not = not_for_promotion(training_job(), {"team": "search"})

    assert why_not == "The training job reviews-1 has no tag model-promotion:application."


@pytest.mark.parametrize("tag", ["model-promotion:aplication", "Model-Promotion:Application"])
def test_the_reason_names_a_misspelled_application_tag(tag: str) -> None:
    why_not = not_for_promotion(training_job(), {tag: "reviews", "team": "search"})

    assert why_not is not None
    assert f'unknown tag "{tag}" (did you mean "model-promotion:application"?)' in why_not


@pytest.mark.parametrize("tag", ["model-promotion:smoke-test", "model-promotion:image-0", "application-id"])
def test_other_tags_are_not_taken_for_the_application_tag(tag: str) -> None:
    assert not_for_promotion(training_job(), {tag: "x"}) == (
        "The training job reviews-1 has no tag model-promotion:application."
    )


def test_a_tagged_training_job_is_for_promotion() -> None:
    assert not_for_promotion(training_job(), TAGS) is None


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopping", "Stopped", "Deleting"])
def test_a_training_job_that_is_not_completed_is_refused_with_its_status(status: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        from_job(TrainingJobStatus=status, FailureReason="AlgorithmError: out of memory")

    assert f"The training job reviews-1 is {status} (AlgorithmError: out of memory)" in str(error.value)
    assert "Train the model again" in str(error.value)


def test_the_application_of_the_input_overrides_the_tag() -> None:
    given = from_training_job(training_job(), TAGS, "other", "eu-west-1", {})

    assert given.application == "other"


@pytest.mark.parametrize(
    ("what", "read"),
    [
        ("training job", lambda: from_training_job(training_job(), {}, None, "eu-west-1", {})),
        ("model", lambda: from_model(model(), {}, None)),
    ],
)
def test_a_source_without_an_application_is_refused_with_both_ways_to_set_one(
    what: str, read: Callable[[], Candidate]
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        read()

    assert f"The {what} reviews-1 has no tag model-promotion:application" in str(error.value)
    assert 'the input has no key "application". Set one of them' in str(error.value)


def test_a_tag_with_an_invalid_application_name_is_refused() -> None:
    with pytest.raises(
        InvalidRequestError,
        match=r"The tag model-promotion:application of the training job reviews-1 is .* lowercase letters",
    ):
        from_job(tags={"model-promotion:application": "My Reviews"})


def test_a_job_without_an_end_time_has_its_creation_time() -> None:
    assert from_job(TrainingEndTime=None).created_at == "2026-01-02T01:04:05.678Z"


def test_the_image_of_the_settings_overrides_the_tag_and_the_tag_overrides_the_training_image() -> None:
    tag = {"model-promotion:inference-image": "tagged"}

    assert from_job(image="from-settings", tags=tag).containers[0]["Image"] == "from-settings"
    assert from_job(tags=tag).containers[0]["Image"] == "tagged"
    assert from_job().containers[0]["Image"] == IMAGE


def test_a_custom_container_gets_no_framework_variables() -> None:
    own = from_job(HyperParameters={"epochs": "3"})

    assert "Environment" not in own.containers[0]


@pytest.mark.parametrize("written", [json.dumps, str])
def test_a_framework_job_serves_its_training_script(written: Any) -> None:
    job = from_job(
        AlgorithmSpecification={"TrainingImage": SKLEARN},
        HyperParameters={
            "sagemaker_program": written("train.py"),
            "sagemaker_submit_directory": written(SUBMITTED),
            "sagemaker_container_log_level": "10",
            "epochs": "3",
        },
    )

    assert job.containers[0]["Environment"] == {
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "10",
        "SAGEMAKER_PROGRAM": "train.py",
        "SAGEMAKER_REGION": "eu-west-1",
        "SAGEMAKER_SUBMIT_DIRECTORY": SUBMITTED,
    }


def test_a_framework_job_without_a_submit_directory_serves_the_script_in_its_artifact() -> None:
    specification = {"TrainingImage": SKLEARN}
    job = from_job(AlgorithmSpecification=specification, HyperParameters={"sagemaker_program": '"train.py"'})

    assert job.containers[0]["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert job.containers[0]["Environment"]["SAGEMAKER_CONTAINER_LOG_LEVEL"] == "20"
    assert job.code is None


def test_network_isolation_and_the_vpc_of_training_apply_to_serving() -> None:
    job = from_job(EnableNetworkIsolation=True, VpcConfig={"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})

    assert job.enable_network_isolation
    assert job.in_vpc


def test_a_job_with_uncompressed_artifacts_is_served_from_their_prefix() -> None:
    unpacked = from_job(
        OutputDataConfig={"S3OutputPath": "s3://artifacts", "CompressionType": "NONE"},
        ModelArtifacts={"S3ModelArtifacts": "s3://artifacts/reviews-1/output/model"},
    )

    location = {
        "S3Uri": "s3://artifacts/reviews-1/output/model/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    assert unpacked.containers == [{"Image": IMAGE, "ModelDataSource": {"S3DataSource": location}}]


def tuning_job(**changes: Any) -> dict[str, Any]:
    """Build a response of DescribeHyperParameterTuningJob."""
    return {
        "HyperParameterTuningJobName": "tuning",
        "HyperParameterTuningJobStatus": "Completed",
        "BestTrainingJob": {"TrainingJobName": "tuning-003-abc"},
        **changes,
    }


def test_the_best_training_job_of_a_tuning_job_is_the_one_that_sagemaker_returns() -> None:
    assert best_training_job(tuning_job()) == "tuning-003-abc"


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopped", "Stopping", "Deleting", "DeleteFailed"])
def test_a_tuning_job_that_is_not_completed_is_refused_with_its_status(status: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        best_training_job(tuning_job(HyperParameterTuningJobStatus=status, FailureReason="no capacity"))

    assert f"The tuning job tuning is {status} (no capacity)" in str(error.value)


@pytest.mark.parametrize("best", [None, {}])
def test_a_tuning_job_without_a_best_training_job_is_refused(best: dict[str, Any] | None) -> None:
    description = {key: value for key, value in tuning_job(BestTrainingJob=best).items() if value is not None}

    with pytest.raises(InvalidRequestError, match="The tuning job tuning has no best training job"):
        best_training_job(description)


def test_the_smoke_test_is_read_from_its_tag() -> None:
    assert from_job(tags={"model-promotion:smoke-test": "s3://artifacts/suite.json"}).smoke_test == (
        "s3://artifacts/suite.json"
    )


def test_the_owners_tags_are_copied_without_reserved_ones() -> None:
    tags = {"team": "search", "aws:cloudformation:stack-name": "dev", "AWS:x": "y", "model-promotion:digest": "old"}

    assert from_job(tags=tags).tags == {"team": "search"}


def test_a_model_is_a_candidate() -> None:
    assert from_model(model(), TAGS, None) == Candidate(
        application="reviews",
        source={"kind": "model", "name": "reviews-1", "arn": MODEL_ARN},
        created_at="2026-01-02T03:04:05.678Z",
        containers=[{"Image": IMAGE, "ModelDataUrl": ARTIFACT, "Environment": {"THREADS": "2"}}],
    )


DIGEST = "sha256:" + "ab" * 32
PROMOTION = PromotedUpstream(
    application="reviews",
    source_arn=JOB_ARN,
    created_at="2025-12-31T23:59:00.000Z",
    smoke_test="s3://stage/smoke-test.json",
    metrics={"f1": 0.9},
    images=[f"{IMAGE.rpartition(':')[0]}@{DIGEST}"],
    report={"stage": "qa", "smoke_test_errors": 0},
)
FORGED = {
    "model-promotion:source": "arn:forged",
    "model-promotion:created-at": "2020-01-01T00:00:00.000Z",
    "model-promotion:metrics": "s3://forged/metrics.json",
    "model-promotion:image-0": "sha256:" + "cd" * 32,
}


def test_a_model_of_the_upstream_stage_keeps_what_that_stage_has_recorded() -> None:
    tags = TAGS | {"model-promotion:smoke-test": "s3://forged/test.json"}

    carried = from_model(model(), tags | FORGED, None, None, PROMOTION)

    assert carried.application == "reviews"
    assert carried.source == {"kind": "model", "name": "reviews-1", "arn": JOB_ARN}
    assert carried.created_at == "2025-12-31T23:59:00.000Z"
    assert carried.smoke_test == "s3://stage/smoke-test.json"
    assert (carried.metrics, carried.metrics_uri) == ({"f1": 0.9}, None)
    assert carried.containers[0]["Image"] == PROMOTION.images[0]
    assert carried.tested_upstream == PROMOTION.report


def test_a_model_of_the_upstream_stage_can_be_promoted_into_another_application() -> None:
    assert from_model(model(), {}, "others", None, PROMOTION).application == "others"


def test_a_skipped_smoke_test_does_not_travel() -> None:
    skipped = dataclasses.replace(PROMOTION, smoke_test="skip")

    assert from_model(model(), TAGS, None, None, skipped).smoke_test is None


@pytest.mark.parametrize("recorded", [[], [IMAGE], [f"{IMAGE}@latest"]])
def test_an_image_without_a_recorded_digest_is_unchanged(recorded: list[str]) -> None:
    promotion = dataclasses.replace(PROMOTION, images=recorded)

    assert from_model(model(), TAGS, None, None, promotion).containers[0]["Image"] == IMAGE


def test_the_tags_of_a_model_of_a_training_account_are_not_believed() -> None:
    assert from_model(model(), TAGS | FORGED, None) == from_model(model(), TAGS, None)


def test_all_containers_of_a_pipeline_are_copied_in_order_with_their_mode() -> None:
    pipeline = [container(ContainerHostname="features"), container(ContainerHostname="predictor")]

    carried = from_model(
        model(PrimaryContainer=None, Containers=pipeline, InferenceExecutionConfig={"Mode": "Direct"}), TAGS, None
    )

    assert carried.containers == pipeline
    assert carried.inference_execution_config == {"Mode": "Direct"}


def test_network_isolation_and_the_vpc_of_a_model_are_preserved() -> None:
    carried = from_model(
        model(EnableNetworkIsolation=True, VpcConfig={"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}),
        TAGS,
        None,
    )

    assert carried.enable_network_isolation
    assert carried.in_vpc


def test_an_unknown_field_of_a_model_stops_the_promotion_with_its_name() -> None:
    message = model_refusal(QuantumConfig={"Qubits": 2})

    assert "The model reviews-1 has the field QuantumConfig" in message
    assert "Update Model Promotion, or re-create the source without the field" in message


@pytest.mark.parametrize("empty", [False, "", 0, [], {}])
def test_an_empty_unknown_field_is_ignored(empty: Any) -> None:
    from_model(model(QuantumConfig=empty, PrimaryContainer=container(QuantumConfig=empty)), TAGS, None)


SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")


@pytest.mark.parametrize(
    ("shape", "handled"),
    [
        ("CreateModelInput", candidate.CARRIED_FROM_MODEL | candidate.REPLACED_IN_MODEL | {"Tags"}),
        ("DescribeModelOutput", candidate.CARRIED_FROM_MODEL | candidate.REPLACED_IN_MODEL),
    ],
)
def test_every_field_of_the_aws_api_is_handled(shape: str, handled: set[str]) -> None:
    assert set(SAGEMAKER.shape_for(shape).members) - handled == set()


def test_only_fields_of_the_aws_api_are_handled() -> None:
    assert candidate.CARRIED_FROM_MODEL - set(SAGEMAKER.shape_for("CreateModelInput").members) == set()


def test_no_field_is_handled_twice() -> None:
    assert not candidate.CARRIED_FROM_MODEL & candidate.REPLACED_IN_MODEL
