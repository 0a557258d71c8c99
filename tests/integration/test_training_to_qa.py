"""A completed training job reaches QA by its event and passes its smoke test, or the endpoint is rolled back."""

import json

from tests.support.settings import configure
from tests.support.waiting import wait_until
from tests.support.world import CANNOT_LOAD, Lab, Stage


def test_a_completed_training_job_reaches_qa_by_its_event(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good")

    execution = qa.execution_of(job)

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "good"}
    live = qa.live(application)
    assert live is not None
    assert live["source_arn"].endswith(f"training-job/{job}")
    assert live["verified_by"] == "CRC32"  # what boto3 gave the artifact when it was uploaded
    assert qa.running(application) == []
    assert [promotion["status"] for promotion in qa.history(application)] == ["Succeeded"]


def test_the_model_in_qa_is_the_jobs_with_this_accounts_artifact_and_role(
    lab: Lab, qa: Stage, application: str
) -> None:
    job = lab.train(application, "good")
    promotion = qa.execution_of(job).output

    model = qa.client("sagemaker").describe_model(ModelName=promotion["model_name"])
    tags = {tag["Key"]: tag["Value"] for tag in qa.client("sagemaker").list_tags(ResourceArn=model["ModelArn"])["Tags"]}

    bucket, key = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    assert bucket == qa.bucket
    assert key.startswith(f"models/{application}/{promotion['digest']}/")
    assert "/serving/" in model["ExecutionRoleArn"]
    assert tags["team"] == "reviews"
    assert tags["model-promotion:source"].endswith(job)
    assert tags["model-promotion:digest"] == promotion["digest"]
    copied = qa.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert (
        copied
        == lab.client("s3")
        .get_object(Bucket=f"sagemaker-eu-west-1-{'1' * 12}", Key=f"{job}/output/model.tar.gz")["Body"]
        .read()
    )


def test_a_job_without_the_tag_is_not_for_promotion(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "untagged", tagged=False)

    execution = qa.execution_of(job)

    assert execution.status == "SUCCEEDED"
    assert execution.states[-1] == "Not for promotion"
    assert "model-promotion:application" in execution.output["reason"]
    assert qa.endpoint(application) is None


def test_a_second_model_updates_the_endpoint(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "first"))
    first = qa.endpoint(application)

    execution = qa.execution_of(lab.train(application, "second"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "second"}
    assert first is not None
    assert [p["previous_endpoint_config_name"] for p in qa.history(application)] == ["", first["EndpointConfigName"]]


def test_a_duplicate_event_changes_nothing(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good")
    first = qa.execution_of(job)
    before = qa.endpoint(application)
    event = qa.client("stepfunctions").describe_execution(executionArn=first.arn)["input"]

    again = qa.promote(json.loads(event))

    assert again.status == "SUCCEEDED"
    assert again.states[-1] == "Already live"
    assert qa.endpoint(application) == before
    assert len(qa.history(application)) == 1


def test_a_duplicate_event_a_day_later_changes_nothing_even_with_other_settings(
    lab: Lab, qa: Stage, application: str
) -> None:
    first = qa.execution_of(lab.train(application, "first"))
    event_of_first = json.loads(qa.client("stepfunctions").describe_execution(executionArn=first.arn)["input"])

    # Its settings have changed.
    configure(qa, application, EndpointConfig={"ProductionVariants": [{"InitialInstanceCount": 2}]})
    before = qa.endpoint(application)
    again = qa.promote(event_of_first)
    assert again.states[-1] == "Not deployed again", again.cause
    assert "even if the settings" in again.output["reason"]
    assert qa.endpoint(application) == before

    # Someone has brought another config onto the endpoint, by hand.
    by_hand = config_by_hand(qa, application, first.output["model_name"])
    qa.client("sagemaker").update_endpoint(EndpointName=f"{application}-qa", EndpointConfigName=by_hand)
    wait_until(lambda: True if config(qa, application) == by_hand else None, "the change by hand")
    assert qa.promote(event_of_first).states[-1] == "Not deployed again"
    assert config(qa, application) == by_hand

    # A newer one has gone live.
    assert qa.execution_of(lab.train(application, "second")).states[-1] == "Promoted"
    before = qa.endpoint(application)
    assert qa.promote(event_of_first).states[-1] == "Rejected"
    assert qa.endpoint(application) == before
    assert len(qa.history(application)) == 2

    # By hand the new settings are brought, since that is asked for.
    assert qa.promote({"rollback": f"{application}-qa"}).states[-1] == "Promoted"
    before = qa.endpoint(application)
    assert qa.promote(event_of_first).states[-1] in ("Not deployed again", "Already live")
    assert qa.endpoint(application) == before
    assert qa.promote({"training_job": event_of_first["detail"]["TrainingJobName"]}).states[-1] == "Promoted"
    assert qa.instances(application) == 2


def test_a_model_with_wrong_responses_is_rolled_back(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    before = qa.endpoint(application)

    execution = qa.execution_of(lab.train(application, "bad", expect="label == 'good'"))

    after = qa.endpoint(application)
    assert execution.status == "FAILED"
    assert execution.error == "SmokeTestFailed"
    assert "cases[0]: expect returned false" in (execution.cause or "")
    assert before is not None
    assert after is not None
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert after["EndpointStatus"] == "InService"
    assert qa.answer(application) == {"label": "good"}
    assert qa.running(application) == []
    assert [p["status"] for p in qa.history(application)] == ["Succeeded", "Failed"]


def test_a_model_that_cannot_load_is_rolled_back(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))

    execution = qa.execution_of(lab.train(application, "broken", script=CANNOT_LOAD))

    assert execution.status == "FAILED"
    assert execution.error == "DeploymentFailed"
    assert "rolled back the endpoint" in (execution.cause or "")
    assert qa.answer(application) == {"label": "good"}
    assert qa.running(application) == []


def test_a_first_deployment_that_fails_leaves_no_endpoint(lab: Lab, qa: Stage, application: str) -> None:
    execution = qa.execution_of(lab.train(application, "broken", script=CANNOT_LOAD))

    assert execution.status == "FAILED"
    assert execution.error == "DeploymentFailed"
    assert qa.endpoint(application) is None
    assert qa.live(application) is None
    assert qa.running(application) == []


def test_two_concurrent_jobs_are_promoted_in_turn_and_the_newer_stays_live(
    lab: Lab, qa: Stage, application: str
) -> None:
    older, newer = lab.train(application, "older"), lab.train(application, "newer")

    executions = [qa.execution_of(older), qa.execution_of(newer)]

    assert wait_until(lambda: qa.running(application) == [] or None, "the end of both")
    assert executions[1].status == "SUCCEEDED"
    assert qa.answer(application) == {"label": "newer"}
    models = {execution.output.get("model_name") for execution in executions if execution.states[-1] == "Promoted"}
    ended = {execution.states[-1] for execution in executions}
    assert len(models) == 2 or ended == {"Promoted", "Rejected"}


def test_a_fleet_that_was_scaled_out_keeps_its_size(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "first"))
    qa.scale_out(application, 4)

    execution = qa.execution_of(lab.train(application, "second"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.instances(application) == 4


def config(qa: Stage, application: str) -> str | None:
    """Return the endpoint config of an endpoint."""
    found = qa.endpoint(application)
    return found["EndpointConfigName"] if found and found["EndpointStatus"] == "InService" else None


def config_by_hand(qa: Stage, application: str, model: str) -> str:
    """Create another endpoint config for a model outside of the pipeline."""
    name = f"{application}-by-hand"
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 1,
    }
    qa.client("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    return name
