"""People hear of every promotion, in words that can be read."""

from local import faults
from local.aws import EmbeddedAws
from local.faults import Call, Kind
from tests.integration.test_approval import signal, waiting_approval
from tests.integration.world import Lab, Stage, wait_until


def mail(aws: EmbeddedAws, *words: str) -> str:
    """The first notification in which all of `words` stand."""

    def look() -> str | None:
        notifications = (aws.directory / "notifications.log").read_text().split("\n2")
        return next((text for text in notifications if all(word in text for word in words)), None)

    return wait_until(look, f"a notification with {words}")


def test_a_promotion_is_told_with_what_is_live_where(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    promotion = qa.execution_of(lab.train(application, "good")).output

    told = mail(stacks, f"{application}-qa", "is live on")

    assert promotion["model_name"] in told
    assert f"endpoint {application}-qa" in told
    assert promotion["source_arn"] in told
    assert promotion["digest"] in told


def test_a_failure_is_told_with_its_reason(lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str) -> None:
    job = lab.train(application, "bad", expect="label == 'good'")
    execution = qa.execution_of(job)

    told = mail(stacks, f"{application}-qa", "Model Promotion Failed")

    assert "The smoke test of" in told
    assert "label == 'good'" in told
    assert execution.arn in told


def test_a_rejection_is_told_with_who_rejected_it_and_why(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Reject", "not before Monday")

    told = mail(stacks, application, "Model Promotion Rejected")

    assert "user/operator" in told
    assert "not before Monday" in told


def test_an_approval_that_is_withdrawn_is_told_as_a_rejection(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    production.client("ssm").stop_automation_execution(AutomationExecutionId=waiting, Type="Cancel")

    told = mail(stacks, application, "Model Promotion Rejected")

    assert "cancelled" in told
    assert production.endpoint(application) is None


def test_a_promotion_that_cannot_be_announced_says_why(lab: Lab, qa: Stage, application: str) -> None:
    machine = qa.client("stepfunctions").describe_state_machine(stateMachineArn=qa.state_machine)

    with faults.injected(Call(machine["roleArn"], "events", "PutEvents"), Kind.DENIED):
        execution = qa.execution_of(lab.train(application, "good"))

    assert execution.error == "AnnouncementFailed"
    assert "it could not be announced" in str(execution.cause)
    assert "EventBridge" in str(execution.cause)
    assert "not authorized" in str(execution.cause)
    assert qa.answer(application) == {"label": "good"}
    assert [record["status"] for record in qa.history(application)] == ["Succeeded"]
