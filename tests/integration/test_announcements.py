"""Operators are notified of every promotion in a readable email."""

import json
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.services.cloudformation import deploy
from sandbox import stacks as project
from tests.support.approvals import signal, waiting_approval
from tests.support.mail import mail
from tests.support.waiting import wait_until
from tests.support.world import DEV, EVENTS, QA, Lab, Stage, physical_id


def test_the_email_of_a_promotion_names_the_model_and_the_endpoint(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    promotion = qa.execution_of(lab.train(application, "good")).output

    told = mail(stacks, f"{application}-qa", "is live on")

    assert f"[qa] {application}: promoted. Model {promotion['model_name']} is live" in told
    assert f"endpoint {application}-qa" in told
    assert promotion["source_arn"] in told
    assert promotion["digest"] in told
    assert "No approval required in qa." in told


def test_the_email_of_a_failure_has_its_reason(lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str) -> None:
    job = lab.train(application, "bad", expect="label == 'good'")
    execution = qa.execution_of(job)

    told = mail(stacks, f"{application}-qa", "promotion failed")

    assert "The smoke test of" in told
    assert "cases[0]: expect returned false" in told
    assert "label == 'good'" not in told
    assert execution.arn in told


def test_the_email_of_a_rejection_names_who_rejected_it_and_why(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Reject", "not before Monday")

    told = mail(stacks, application, "promotion rejected")

    assert "user/operator" in told
    assert "not before Monday" in told


def test_a_canceled_approval_is_published_as_a_rejection(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    production.client("ssm").stop_automation_execution(AutomationExecutionId=waiting, Type="Cancel")

    told = mail(stacks, application, "promotion rejected")

    assert "canceled" in told
    assert production.endpoint(application) is None


def completed(job: str) -> dict[str, Any]:
    """Return the event of a training job that is not in the dev account."""
    event: dict[str, Any] = json.loads((EVENTS / "training-job-completed.json").read_text())
    return event | {"detail": {"TrainingJobName": job, "TrainingJobStatus": "Completed"}}


def test_the_email_of_an_early_failure_names_the_source_in_the_event(
    qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    assert qa.promote(completed(application)).status == "FAILED"

    told = mail(stacks, application, "[qa] Not started: invalid request.")
    assert f"The request was for {application}." in told
    assert "Nothing was changed." in told


def test_an_email_contains_no_link_from_an_event(qa: Stage, stacks: EmbeddedAws, application: str) -> None:
    qa.promote(completed(f"https://example.com/{application}"))

    told = mail(stacks, application, "[qa] Not started: invalid request.")

    assert f"The request was for example.com/{application}." in told
    assert "://example.com" not in told


def test_a_promotion_whose_event_cannot_be_published_fails_with_the_reason(
    lab: Lab, qa: Stage, application: str
) -> None:
    machine = qa.client("stepfunctions").describe_state_machine(stateMachineArn=qa.state_machine)

    with faults.injected(Call(machine["roleArn"], "events", "PutEvents"), Kind.DENIED):
        execution = qa.execution_of(lab.train(application, "good"))

    assert execution.error == "PublishFailed"
    assert "its event was not published" in str(execution.cause)
    assert "EventBridge" in str(execution.cause)
    assert "not authorized" in str(execution.cause)
    assert qa.answer(application) == {"label": "good"}
    assert [record["status"] for record in qa.history(application)] == ["Succeeded"]


def test_an_event_that_a_stage_cannot_receive_is_in_a_queue_with_an_alarm(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, name: str
) -> None:
    stack, bus, events = f"upstream-{name}", f"model-promotion-{name}", qa.client("events")
    events.create_event_bus(Name=bus)
    events.put_permission(EventBusName=bus, Action="events:PutEvents", Principal=DEV, StatementId="upstream")
    deploy.deploy(
        template=project.ROOT / "upstream.yaml",
        stack_name=stack,
        account=DEV,
        parameters={"DownstreamStage": name, "DownstreamAccountId": QA, "NotificationEmail": "people@example.com"},
    )
    events.delete_event_bus(Name=bus)

    job = lab.train(name, "good", tagged=False)

    alarm = _alarm(lab, stack)
    [dimension] = alarm["Dimensions"]
    event = _message(lab, dimension["Value"])
    assert (event["detail-type"], event["detail"]["TrainingJobName"]) == ("SageMaker Training Job State Change", job)
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    [topic] = alarm["AlarmActions"]
    told = lab.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [subscription["Endpoint"] for subscription in told] == ["people@example.com"]
    deploy.delete(stack_name=stack, account=DEV)


def _alarm(lab: Lab, stack: str) -> Any:
    name = physical_id(DEV, stack, "UndeliveredEvents")
    [alarm] = lab.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return alarm


def _message(lab: Lab, queue: str) -> Any:
    """Return the first event in a queue."""
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    def look() -> Any:
        messages = sqs.receive_message(QueueUrl=url).get("Messages")
        return json.loads(messages[0]["Body"]) if messages else None

    return wait_until(look, f"a message in {queue}")
