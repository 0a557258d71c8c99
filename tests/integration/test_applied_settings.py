"""Settings that change without a new model arrive when the same candidate is promoted again, tags among them."""

from typing import Any

import pytest

from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.components import NEEDS
from tests.support.scaling import POLICY
from tests.support.settings import configure, register
from tests.support.world import Lab, Stage

AUTOSCALING = {"MinCapacity": 1, "MaxCapacity": 3, "ScalingPolicies": [POLICY]}


def tags_of(stage: Stage, application: str, *, config: bool = False) -> dict[str, str]:
    """Return the tags of the endpoint, or of its endpoint config, without those of the project."""
    sagemaker, endpoint = stage.client("sagemaker"), stage.endpoint(application) or {}
    described = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    found = sagemaker.list_tags(ResourceArn=described["EndpointConfigArn"] if config else endpoint["EndpointArn"])
    return {each["Key"]: each["Value"] for each in found["Tags"] if not each["Key"].startswith("model-promotion:")}


def tag(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def test_settings_arrive_with_the_live_model(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good")
    first = qa.execution_of(job)
    configure(qa, application, Autoscaling=AUTOSCALING, Tags=tag(cost="4711", pilot="yes"))

    preview = qa.promote({"training_job": job, "preview": True}).output
    second = qa.promote({"training_job": job})
    tagged = tags_of(qa, application, config=True)
    configure(qa, application, Autoscaling=AUTOSCALING, Tags=tag(cost="4711"))
    third = qa.promote({"training_job": job})
    fourth = qa.promote({"training_job": job})

    assert first.states[-1] == second.states[-1] == third.states[-1] == "Promoted", second.cause
    assert fourth.states[-1] == "Already live"
    assert tagged == {"cost": "4711", "pilot": "yes", "team": "reviews"}
    assert preview["would_be"] == "promoted"
    assert "would be tested and recorded again with these settings" in preview["why"]
    assert second.output["endpoint_config_name"] == first.output["endpoint_config_name"]
    assert qa.scaling(application)["targets"] == [{"MinCapacity": 1, "MaxCapacity": 3}]
    assert tags_of(qa, application) == tags_of(qa, application, config=True) == {"cost": "4711", "team": "reviews"}


def test_the_tags_of_the_candidate_and_of_the_settings_are_kept_current(lab: Lab, qa: Stage, application: str) -> None:
    register(qa, application, Tags=tag(cost="4711", team="search"))
    created = qa.execution_of(lab.train(application, "first"))
    before = tags_of(qa, application)
    endpoint = qa.endpoint(application) or {}
    qa.client("sagemaker").add_tags(ResourceArn=endpoint["EndpointArn"], Tags=tag(owner="people"))
    configure(qa, application, Tags=tag(cost="4712"))

    failed = qa.execution_of(lab.train(application, "bad", expect="label == 'good'"))
    kept = tags_of(qa, application)
    second = qa.execution_of(lab.train(application, "second"))
    after = tags_of(qa, application)
    back = qa.promote({"rollback": f"{application}-qa"})

    assert created.states[-1] == second.states[-1] == back.states[-1] == "Promoted", (created.cause, second.cause)
    assert failed.error == "SmokeTestFailed"
    assert before == {"cost": "4711", "team": "search"}
    assert kept == before | {"owner": "people"}
    # The settings no longer name the team, but each training job does.
    assert after == {"cost": "4712", "team": "reviews", "owner": "people"}
    assert tags_of(qa, application) == {"cost": "4712", "team": "search", "owner": "people"}


@pytest.mark.parametrize("serving", [{}, {"InferenceComponent": {"ComputeResourceRequirements": NEEDS}}], ids=str)
def test_an_interrupted_promotion_leaves_the_tags_as_they_were(
    lab: Lab, qa: Stage, application: str, serving: dict[str, Any]
) -> None:
    register(qa, application, Tags=tag(cost="4711"), **serving)
    assert qa.execution_of(lab.train(application, "first")).states[-1] == "Promoted"
    configure(qa, application, Tags=tag(cost="4712", new="x"), **serving)
    applied: list[Any] = []

    def stop_when_applied(execution: Any, state: str) -> None:
        if state == "Record promotion" and application in execution.execution_input:
            applied.append(tags_of(qa, application))
            qa.client("stepfunctions").stop_execution(executionArn=execution.exec_arn)

    with step_functions.watched(stop_when_applied):
        stopped = qa.execution_of(lab.train(application, "second"))

    assert qa.execution_of(stopped.arn).states[-1] == "Recovered"
    assert applied == [{"cost": "4712", "new": "x", "team": "reviews"}]
    assert tags_of(qa, application) == {"cost": "4711", "team": "reviews"}
