"""Strings of others in events, comments and names are never interpreted."""

import json
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support.approvals import automation_ended, signal, waiting_approval
from tests.support.events import forwarding
from tests.support.mail import mail
from tests.support.waiting import wait_until
from tests.support.world import Lab, Stage

MARKUP = 'no "way"\n<script>alert(1)</script> {"status": "Succeeded"} <reason> $.detail {% 1 %} \\ é'


def claimed(qa: Stage, production: Stage, detail: dict[str, Any], mark: str) -> Any:
    """Return production's execution for an event that the upstream account sent."""
    bus = f"arn:aws:events:eu-west-1:{production.account}:event-bus/model-promotion-production"
    entry = {
        "Source": "model-promotion",
        "DetailType": "Model Promotion Succeeded",
        "EventBusName": bus,
        "Detail": json.dumps(detail | {"mark": mark}),
    }
    assert forwarding(qa.account, production.name).put_events(Entries=[entry])["FailedEntryCount"] == 0
    return production.execution_of(mark)


def test_an_event_about_a_missing_model_promotes_nothing(qa: Stage, production: Stage, application: str) -> None:
    execution = claimed(
        qa, production, {"model_name": f"{application}-forged", "stage": "qa", "source_kind": "model"}, application
    )

    assert execution.status == "FAILED"
    assert execution.error == "InvalidRequestError"
    assert f"The model {application}-forged does not exist" in execution.cause
    assert [item for item in production.items("approval") if application in item["key"]] == []


def test_the_claims_of_an_event_about_a_model_are_ignored(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    promotion = qa.execution_of(lab.train(application, "good")).output
    asked_before = waiting_approval(production, application)
    forged = promotion | {"application": "victim", "endpoint": "victim-production", "approved_by": "user/boss"}

    execution = claimed(qa, production, forged, f"{application}-forged")

    assert execution.states[-1] == "Approval requested", execution.cause
    assert [item["key"] for item in production.items("approval") if "victim" in item["key"]] == []
    asked = waiting_approval(production, application)
    assert asked["AutomationExecutionId"] == asked_before["AutomationExecutionId"]
    assert asked["Parameters"]["Application"] == [application]


def test_a_comment_is_in_the_record_and_the_email_verbatim(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    automation = waiting_approval(production, application)["AutomationExecutionId"]

    signal(production, automation, "Reject", MARKUP)

    told = mail(stacks, f"{application}-production", "promotion rejected")
    assert "<script>alert(1)</script>" in told
    assert '{"status": "Succeeded"}' in told.replace('\\"', '"')
    rejected = production.execution_of(automation)
    assert MARKUP in rejected.output["reason"]
    assert production.endpoint(application) is None


def test_a_comment_that_looks_like_code_is_recorded_as_a_comment(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    automation = waiting_approval(production, application)["AutomationExecutionId"]

    signal(production, automation, "Approve", MARKUP)

    assert automation_ended(production, automation) == "Success"
    live: Any = wait_until(lambda: production.live(application), "the record")
    assert live["approval_comment"] == MARKUP
    assert live["approved_by"].endswith("user/operator")


@pytest.mark.parametrize("tag", ["Reviews", "a--b", "../x", "x" * 41, "reviews production"])
def test_a_job_whose_tag_is_not_a_valid_application_name_is_refused(
    lab: Lab, qa: Stage, tag: str, application: str
) -> None:
    job = lab.train(application, "good", tagged=False)
    arn = lab.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobArn"]
    lab.client("sagemaker").add_tags(ResourceArn=arn, Tags=[{"Key": "model-promotion:application", "Value": tag}])

    execution = qa.promote({"training_job": job})

    assert execution.error == "InvalidInputError"
    assert json.dumps(tag)[:40] in (execution.cause or "")
    assert qa.endpoint(tag.lower()) is None
