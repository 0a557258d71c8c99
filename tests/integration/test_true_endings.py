"""However a promotion ends, its record, the endpoint and the notifications agree."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.approvals import waiting_approval
from tests.support.events import event
from tests.support.monitor import invoke_watch
from tests.support.others import config_of, serve
from tests.support.settings import configure, instances
from tests.support.waiting import wait_until
from tests.support.world import Execution, Lab, Stage


def when(state: str, text: str, act: Callable[[Any], None]) -> contextlib.AbstractContextManager[None]:
    """Act once, when the first execution with `text` in its input enters a state."""
    done: list[str] = []

    def observe(execution: Any, entered: str) -> None:
        if entered == state and text in execution.execution_input and not done:
            done.append(state)
            act(execution)

    return step_functions.watched(observe)


def statuses(stage: Stage, application: str) -> list[str]:
    return [record["status"] for record in stage.history(application)]


def test_a_promotion_whose_record_cannot_be_written_is_rolled_back(lab: Lab, qa: Stage, application: str) -> None:
    good = qa.execution_of(lab.train(application, "good")).output
    machine = qa.client("stepfunctions").describe_state_machine(stateMachineArn=qa.state_machine)
    trouble = contextlib.ExitStack()

    with trouble:
        trouble.enter_context(when("Capture failure", application, lambda _: trouble.pop_all().close()))
        trouble.enter_context(faults.injected(Call(machine["roleArn"], "dynamodb", "TransactWriteItems"), Kind.DENIED))
        # The trouble begins with the record and ends before the rollback.
        execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "FAILED"
    assert execution.states[-1] == "Promotion failed"
    assert config_of(qa, application) == good["endpoint_config_name"]
    assert qa.answer(application) == {"label": "good"}
    assert (qa.live(application) or {})["model_name"] == good["model_name"]
    assert statuses(qa, application) == ["Succeeded", "Failed"]
    assert qa.running(application) == []


def test_a_promotion_that_was_stopped_before_its_event_is_published_later(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    def stop(execution: Any) -> None:
        qa.client("stepfunctions").stop_execution(executionArn=execution.exec_arn)

    with when("Publish promotion", f"{application}-good-", stop):
        job = lab.train(application, "good")
        execution = qa.execution_of(job)
    assert execution.status == "ABORTED"
    assert statuses(qa, application) == ["Succeeded"]

    def publish() -> bool | None:
        published = invoke_watch(qa)["published"]
        return f"{application}-qa" in published or None

    wait_until(publish, "the event of the promotion")

    assert f"{application}-qa" not in invoke_watch(qa)["published"]
    # The next stage takes a promotion only from an execution that has succeeded, and says what to do.
    model = str((qa.live(application) or {})["model_name"])
    refused = production.execution_of(model)
    assert "Promote it into the upstream stage again" in (refused.cause or "")
    assert qa.promote({"training_job": job}).states[-1] == "Promoted"
    assert waiting_approval(production, application)["Parameters"]["SourceName"] == [model]


def test_an_endpoint_that_someone_updates_during_the_smoke_test_is_not_recorded_as_promoted(
    lab: Lab, qa: Stage, application: str
) -> None:
    good = qa.execution_of(lab.train(application, "good")).output
    job = lab.train(application, "next", tagged=False)
    for state in ("Run smoke test", "Apply autoscaling"):
        with when(state, job, lambda _: serve(qa, application, good["endpoint_config_name"])):
            execution = promote_with_suite(lab, qa, application, job, "label == 'next' || label == 'good'")

        assert execution.status == "FAILED", execution.states
        assert "someone else changed it to" in (execution.cause or "")
        assert config_of(qa, application) == (qa.live(application) or {})["endpoint_config_name"]
    assert statuses(qa, application) == ["Succeeded", "Failed", "Failed"]


def promote_with_suite(lab: Lab, stage: Stage, application: str, job: str, expect: str) -> Execution:
    """Tag a training job after its own event was handled, and promote it manually."""
    if not stage.history(application)[1:]:
        stage.execution_of(job)
        sagemaker = lab.client("sagemaker")
        arn = sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobArn"]
        tag = {"Key": "model-promotion:smoke-test", "Value": lab.suite(application, expect)}
        sagemaker.add_tags(ResourceArn=arn, Tags=[tag])
    return stage.promote({"training_job": job, "application": application})


def test_a_config_that_failed_is_tested_again_although_someone_deployed_it(
    lab: Lab, qa: Stage, application: str
) -> None:
    good = qa.execution_of(lab.train(application, "good")).output
    job = lab.train(application, "bad", expect="label == 'good'")
    failed = qa.execution_of(job)
    assert failed.error == "SmokeTestFailed"
    bad = qa.history(application)[-1]["endpoint_config_name"]
    serve(qa, application, bad)

    execution = qa.promote({"training_job": job})

    assert execution.error == "SmokeTestFailed"
    assert config_of(qa, application) == good["endpoint_config_name"]
    assert (qa.live(application) or {})["endpoint_config_name"] == good["endpoint_config_name"]


def test_a_rollback_does_not_skip_a_model_that_became_live_in_the_meantime(
    lab: Lab, qa: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "first"))
    qa.execution_of(lab.train(application, "second"))
    rollbacks: list[str] = []

    with when(
        "Check endpoint",
        f"{application}-third-",
        lambda _: rollbacks.append(qa.start({"rollback": f"{application}-qa"})),
    ):
        third = qa.execution_of(lab.train(application, "third"))
    rollback = qa.ended(rollbacks[0])

    assert third.status == "SUCCEEDED", third.cause
    assert rollback.error == "PromotionRefusedError", rollback.states
    assert third.output["model_name"] in (rollback.cause or "")
    assert qa.answer(application) == {"label": "third"}
    assert (qa.live(application) or {})["model_name"] == third.output["model_name"]


def test_an_event_does_not_deploy_a_model_again_that_failed_its_smoke_test(
    lab: Lab, qa: Stage, application: str
) -> None:
    job = lab.train(application, "bad", expect="label == 'good'")
    qa.execution_of(job)
    completed = {"TrainingJobName": job, "TrainingJobStatus": "Completed"}

    again = qa.promote(event("SageMaker Training Job State Change", completed))

    assert again.states[-1] == "Not deployed again", again.cause
    assert statuses(qa, application) == ["Failed"]
    assert qa.promote({"training_job": job}).error == "SmokeTestFailed"


def test_a_promotion_whose_settings_change_before_its_update_is_planned_again(
    lab: Lab, qa: Stage, application: str
) -> None:
    kind = instances("ml.c5.large")
    with when("Acquire endpoint lock", application, lambda _: configure(qa, application, EndpointConfig=kind)):
        job = lab.train(application, "good")
        first = qa.execution_of(job)
    second = qa.execution_of(job, number=1)

    assert first.states[-1] == "Planned again", first.cause
    assert second.arn in first.output["reason"]
    assert second.states[-1] == "Promoted", second.cause
    served = qa.client("sagemaker").describe_endpoint_config(EndpointConfigName=config_of(qa, application))
    assert served["ProductionVariants"][0]["InstanceType"] == "ml.c5.large"
    assert statuses(qa, application) == ["Succeeded"]
    assert qa.running(application) == []


def test_the_live_model_is_published_with_its_new_smoke_test(lab: Lab, qa: Stage, application: str) -> None:
    sagemaker, tag = lab.client("sagemaker"), "model-promotion:smoke-test"
    job = lab.train(application, "good")
    first = qa.execution_of(job).output
    arn = sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobArn"]

    def promote_with(expect: str) -> Execution:
        suite = lab.suite(application, expect)
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": tag, "Value": suite}])
        return qa.promote({"training_job": job})

    failed = promote_with("label == 'bad'")
    second = promote_with("label == 'good' && `true`")
    again = qa.promote({"training_job": job})

    assert failed.error == "SmokeTestFailed", failed.states
    assert second.states[-1] == "Promoted", second.cause
    assert again.states[-1] == "Already live", again.cause
    assert statuses(qa, application) == ["Succeeded", "Failed", "Succeeded"]
    live = qa.live(application) or {}
    assert live["endpoint_config_name"] == first["endpoint_config_name"] == config_of(qa, application)
    assert live["smoke_test"] == second.output["smoke_test"] != first["smoke_test"]
    model = qa.client("sagemaker").describe_model(ModelName=live["model_name"])["ModelArn"]
    tags = {each["Key"]: each["Value"] for each in qa.client("sagemaker").list_tags(ResourceArn=model)["Tags"]}
    assert tags[tag] == live["smoke_test"]
    assert tags["model-promotion:execution"] == second.arn


@pytest.mark.parametrize("kind", ["model", "artifact"])
def test_an_endpoint_that_could_not_be_rolled_back_is_updated_only_on_request(
    lab: Lab, qa: Stage, application: str, kind: str
) -> None:
    good = qa.execution_of(lab.train(application, "good")).output
    delete(qa, application, good, kind)
    job = lab.train(application, "next")
    refused = qa.execution_of(job)
    preview = qa.promote({"training_job": job, "preview": True}).output

    assert refused.error == "PromotionRefusedError", refused.states
    assert f"the {kind} " in (refused.cause or "")
    assert "Update endpoint" not in refused.states
    assert config_of(qa, application) == good["endpoint_config_name"]
    assert (preview["would_be"], preview["why"]) == ("failed", refused.cause)

    configure(qa, application, RequireRollback=False)
    allowed = qa.promote({"training_job": job, "preview": True}).output
    assert allowed["would_be"] == "promoted"
    assert f"no rollback to {good['endpoint_config_name']} would be possible" in allowed["change"]["rollback"]
    assert qa.promote({"training_job": job}).states[-1] == "Promoted"


def test_an_endpoint_whose_config_was_deleted_is_never_updated(lab: Lab, qa: Stage, application: str) -> None:
    first = qa.execution_of(lab.train(application, "first")).output
    good = qa.execution_of(lab.train(application, "good")).output
    delete(qa, application, good, "endpoint config")
    configure(qa, application, RequireRollback=False)

    job = lab.train(application, "next")
    refused, rollback = qa.execution_of(job), qa.promote({"rollback": f"{application}-qa"})
    preview = qa.promote({"training_job": job, "preview": True}).output

    for execution in (refused, rollback):
        assert execution.error == "PromotionRefusedError", execution.states
        assert f"The endpoint config {good['endpoint_config_name']}, which is live on" in (execution.cause or "")
    assert (preview["would_be"], preview["why"]) == ("failed", refused.cause)
    assert config_of(qa, application) == good["endpoint_config_name"] != first["endpoint_config_name"]


def delete(stage: Stage, application: str, promotion: dict[str, Any], kind: str) -> None:
    """Delete a resource of the live model."""
    sagemaker, s3 = stage.client("sagemaker"), stage.client("s3")
    match kind:
        case "endpoint config":
            sagemaker.delete_endpoint_config(EndpointConfigName=promotion["endpoint_config_name"])
        case "model":
            sagemaker.delete_model(ModelName=promotion["model_name"])
        case _:
            found = s3.list_objects_v2(Bucket=stage.bucket, Prefix=f"models/{application}/{promotion['digest']}/0/")
            for each in found["Contents"]:
                s3.delete_object(Bucket=stage.bucket, Key=each["Key"])
