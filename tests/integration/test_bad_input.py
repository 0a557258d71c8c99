"""Bad manual input ends in the first step with one sentence of instructions, and creates nothing."""

import json
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support.mail import mail
from tests.support.settings import configure
from tests.support.world import DEV_BUCKET, EVENTS, IMAGE, ROLE, Lab, Stage

EVENT = json.loads((EVENTS / "training-job-completed.json").read_text())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "names no source"),
        ([], "a list, not a JSON object"),
        ({"training_job": "a", "model": "b"}, 'has both "training_job" and "model"'),
        (
            {"training_job": "there-is-no-such-job"},
            "training job there-is-no-such-job does not exist in account 111111111111",
        ),
        ({"model": "there-is-no-such-model", "application": "reviews"}, "model there-is-no-such-model does not exist"),
        ({"training_job": 7}, "is a number"),
        ({"training_job": "arn:aws:sagemaker:eu-west-1:999999999999:training-job/x"}, "999999999999"),
        ({"trainingJob": "x"}, 'unknown key "trainingJob" (did you mean "training_job"?)'),
        ({"training_job": "arn:aws:sagemaker:us-east-1:111111111111:training-job/x"}, "us-east-1"),
        ({"training_job": "x", "callback_url": "http://169.254.169.254/"}, "callback_url"),
        ({"training_job": "x" * 200_000}, "is not a SageMaker name"),
        (json.loads('{"training_job":' * 90 + "1" + "}" * 90), "is an object"),
    ],
    ids=[
        "nothing",
        "list",
        "two",
        "no-job",
        "no-model",
        "number",
        "wrong-account",
        "misspelt",
        "wrong-region",
        "callback",
        "large",
        "nested",
    ],
)
def test_bad_input_fails_immediately_with_instructions(qa: Stage, given: Any, words: str) -> None:
    execution = qa.promote(given)

    assert execution.status == "FAILED"
    assert execution.error == "InvalidInputError"
    assert words in (execution.cause or "")
    assert execution.states == ["Recovery attempts exhausted?", "Resolve candidate", "Invalid input"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (EVENT | {"account": "999999999999"}, "999999999999"),
        (EVENT | {"region": "us-east-1"}, "us-east-1"),
        (EVENT | {"detail": {"TrainingJobStatus": "Completed"}}, "TrainingJobName"),
    ],
    ids=["forged-account", "forged-region", "no-name"],
)
def test_a_bad_event_is_reported(qa: Stage, given: Any, words: str) -> None:
    execution = qa.promote(given)

    assert execution.error == "InvalidRequestError"
    assert words in (execution.cause or "")
    assert execution.states == [
        "Recovery attempts exhausted?",
        "Resolve candidate",
        "Capture failure",
        "Lock held?",
        "Publish failure",
        "Planned?",
        "Recovered?",
        "Promotion failed",
    ]


def test_only_the_author_of_a_misspelled_input_is_notified(qa: Stage, stacks: EmbeddedAws, application: str) -> None:
    misspelled = qa.promote({"trainig_job": application})
    reported = qa.promote(EVENT | {"account": "999999999999", "detail": {"TrainingJobName": f"{application}-event"}})

    assert misspelled.status == "FAILED"
    assert 'the unknown key "trainig_job" (did you mean "training_job"?).' in (misspelled.cause or "")
    assert f"{application}-event" in mail(stacks, f"{application}-event", "Not started")
    assert qa.execution_of(reported.arn).output["outcome"] == "nothing_to_recover"
    assert qa.executions_with(misspelled.arn) == []
    assert "trainig_job" not in (stacks.directory / "notifications.log").read_text()


@pytest.mark.parametrize(
    ("status", "error", "is_recovered"),
    [
        ("FAILED", {"error": "InvalidInputError"}, False),
        ("FAILED", {"error": "InvalidRequestError"}, True),
        ("FAILED", {"error": "States.Runtime"}, True),
        ("FAILED", {"error": None}, True),
        ("FAILED", {}, True),
        ("ABORTED", {"error": None}, True),
        ("TIMED_OUT", {}, True),
        ("SUCCEEDED", {"error": None}, False),
    ],
)
def test_an_invalid_input_neither_starts_a_recovery_nor_sets_off_an_alarm(
    qa: Stage, status: str, error: dict[str, str | None], is_recovered: bool
) -> None:
    event = {
        "id": "1",
        "account": qa.account,
        "source": "aws.states",
        "time": "2026-11-22T09:42:17Z",
        "region": "eu-west-1",
        "resources": [],
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"stateMachineArn": qa.state_machine, "status": status} | error,
    }
    rule = qa.client("events").describe_rule(Name="model-promotion-qa-execution-ended")
    (alarm,) = qa.client("cloudwatch").describe_alarms(AlarmNames=[qa.physical_id("FailedPromotions")])["MetricAlarms"]

    matches = qa.client("events").test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))

    assert matches["Result"] == is_recovered
    assert (alarm["MetricName"], alarm["Dimensions"]) == (
        "TriggeredRules",
        [{"Name": "RuleName", "Value": rule["Name"]}],
    )


def test_a_job_that_failed_is_refused_with_its_reason(lab: Lab, qa: Stage, application: str) -> None:
    job = f"{application}-failed"
    lab.client("sagemaker").create_training_job(
        TrainingJobName=job,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
        },
        RoleArn=ROLE,
        OutputDataConfig={"S3OutputPath": f"s3://{DEV_BUCKET}/nothing-there"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    lab.ended(job)

    execution = qa.promote({"training_job": job, "application": application})

    assert execution.error == "InvalidInputError"
    assert f"The training job {job} is Failed" in (execution.cause or "")
    assert qa.endpoint(application) is None


def test_a_candidate_without_a_smoke_test_is_not_promoted(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good", tagged=False)

    execution = qa.promote({"training_job": job, "application": application})

    assert execution.error == "InvalidRequestError"
    assert "no smoke test" in (execution.cause or "")
    assert qa.endpoint(application) is None


def test_invalid_settings_are_named_with_their_path(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good", tagged=False)
    configure(qa, application, EndpointConfig={"ProductionVariants": [{"InitialInstanceCount": "one"}]})

    execution = qa.promote({"training_job": job, "application": application})

    assert execution.error == "InvalidInputError"
    assert f"/model-promotion/qa/{application}" in (execution.cause or "")
    assert "ProductionVariants[0].InitialInstanceCount" in (execution.cause or "")
