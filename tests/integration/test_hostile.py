"""What someone else wrote stays what it is, a text or a claim: in events, in comments, in names."""

import json
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support.approvals import automation_ended, signal, waiting_approval
from tests.support.mail import mail
from tests.support.world import Lab, Stage, wait_until

MARKUP = 'no "way"\n<script>alert(1)</script> {"status": "Succeeded"} <reason> $.detail {% 1 %} \\ é'


def claimed(qa: Stage, production: Stage, detail: dict[str, Any], mark: str) -> Any:
    """The execution in production of an event that the upstream account sent itself."""
    bus = f"arn:aws:events:eu-west-1:{production.account}:event-bus/model-promotion-production"
    entry = {
        "Source": "model-promotion",
        "DetailType": "Model Promotion Succeeded",
        "EventBusName": bus,
        "Detail": json.dumps(detail | {"mark": mark}),
    }
    assert qa.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    return production.execution_of(mark)


def test_an_event_about_a_model_that_is_not_there_promotes_nothing(
    qa: Stage, production: Stage, application: str
) -> None:
    execution = claimed(
        qa, production, {"model_name": f"{application}-forged", "stage": "qa", "source_kind": "model"}, application
    )

    assert execution.status == "FAILED"
    assert execution.error == "InvalidRequestError"
    assert f"The model {application}-forged does not exist" in execution.cause
    assert [item for item in production.items("approval") if application in item["key"]] == []


def test_what_an_event_claims_of_a_model_is_not_believed(
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


def test_a_comment_is_on_record_and_in_the_mail_as_it_was_written(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    automation = waiting_approval(production, application)["AutomationExecutionId"]

    signal(production, automation, "Reject", MARKUP)

    told = mail(stacks, f"{application}-production", "Model Promotion Rejected")
    assert "<script>alert(1)</script>" in told
    assert '{"status": "Succeeded"}' in told.replace('\\"', '"')
    rejected = production.execution_of(automation)
    assert MARKUP in rejected.output["reason"]
    assert production.endpoint(application) is None


def test_an_approvers_comment_that_looks_like_something_else_is_recorded_as_a_comment(
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
def test_a_job_whose_tag_is_no_name_of_an_application_is_refused(
    lab: Lab, qa: Stage, tag: str, application: str
) -> None:
    job = lab.train(application, "good", tagged=False)
    arn = lab.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobArn"]
    lab.client("sagemaker").add_tags(ResourceArn=arn, Tags=[{"Key": "model-promotion:application", "Value": tag}])

    execution = qa.promote({"training_job": job})

    assert execution.error == "InvalidRequestError"
    assert json.dumps(tag)[:40] in (execution.cause or "")
    assert qa.endpoint(tag.lower()) is None
