"""Each alarm goes into ALARM for its cause, sends an email, and returns to OK once the cause is over."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.cloudwatch import alarms
from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.approvals import waiting_approval
from tests.support.events import forwarding, lost_events_of_executions
from tests.support.monitor import WATCH, Alarm, input_of_watch, look, quiet_alarm
from tests.support.settings import configure
from tests.support.stacks import deployed_with
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.world import EVENTS, SLOW, Lab, Stage

# In the minutes of the embedded AWS, far beyond all periods.
MUCH_LATER = 24 * 3600
COMPLETED = json.loads((EVENTS / "training-job-completed.json").read_text())


@contextlib.contextmanager
def denied(stage: Stage, role: str, action: str) -> Iterator[None]:
    """Deny an action to a role of the template for a while."""
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam, name = stage.client("iam"), stage.physical_id(role)
    iam.put_role_policy(RoleName=name, PolicyName="broken", PolicyDocument=policy)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="broken")


def empty_dead_letters(stage: Stage) -> list[dict[str, Any]]:
    """Receive and delete the messages of the dead-letter queue, as an operator does."""
    sqs, url = stage.client("sqs"), stage.physical_id("DeadLetters")
    found = []
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=60
    ).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        found += messages
    return found


def test_a_failed_execution_raises_an_alarm_for_five_minutes(qa: Stage, stacks: EmbeddedAws) -> None:
    alarm = quiet_alarm(stacks, qa, "FailedPromotions")

    assert qa.promote(COMPLETED | {"account": "999999999999"}).status == "FAILED"

    alarm.wait_for_mail()
    alarm.wait_for("OK")


def test_an_aborted_execution_raises_an_alarm(lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str) -> None:
    job = lab.train(application, "good", tagged=False)
    alarm = quiet_alarm(stacks, qa, "FailedPromotions")

    arn = qa.start({"training_job": job, "application": application, "preview": True})
    qa.client("stepfunctions").stop_execution(executionArn=arn)

    alarm.wait_for_mail()


def test_a_failed_rollback_raises_an_alarm(lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str) -> None:
    promotion: Any = qa.execution_of(lab.train(application, "good")).output
    alarm = quiet_alarm(stacks, qa, "RollbackFailures")
    dead = f"{qa.state_machine.replace(':stateMachine:', ':execution:')}:{application}"
    # What serves is neither what this one has put there nor what was there before.
    interrupted = promotion | {"changing": True, "endpoint_config_name": "its", "previous_endpoint_config_name": "old"}
    for kind, more in {
        "lock": {"promotion": json.dumps(interrupted), "acquired_at": "2026-01-01T00:00:00+00:00"},
        "autoscaling": {"previous": "[]", "wanted": "[]"},
    }.items():
        item = {"kind": kind, "key": f"{application}-qa", "execution": dead} | more
        qa.client("dynamodb").put_item(TableName=qa.table, Item={name: {"S": value} for name, value in item.items()})

    recovery = qa.promote({"recover": f"{application}-qa"})

    assert recovery.error == "RollbackFailed", recovery.cause
    alarm.wait_for_mail()
    alarm.wait_for("OK")


def test_a_failed_retention_raises_an_alarm_but_the_promotion_succeeds(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    job = lab.train(application, "good", tagged=False)
    configure(qa, application, SmokeTest="skip")
    alarm = quiet_alarm(stacks, qa, "FailedRetention")

    with denied(qa, "RemoveSupersededModelsFunctionRole", "dynamodb:Query"):
        promotion = qa.promote({"training_job": job, "application": application})

    assert promotion.status == "SUCCEEDED", promotion.cause
    alarm.wait_for_mail()
    alarm.wait_for("OK")
    # It says nothing that the last five minutes were quiet.
    assert not alarm.has_new_mail("OK")


def test_an_undeliverable_event_raises_an_alarm_until_it_is_removed_from_the_queue(
    qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    empty_dead_letters(production)
    alarm = quiet_alarm(stacks, production, "UndeliveredEvents")
    event = {
        "EventBusName": f"arn:aws:events:eu-west-1:{production.account}:event-bus/model-promotion-production",
        "Source": "model-promotion",
        "DetailType": "Model Promotion Succeeded",
        "Detail": json.dumps({"stage": "qa", "source_kind": "model", "model_name": application}),
    }

    with denied(production, "StartRole", "states:StartExecution"):
        forwarding(qa.account, production.name).put_events(Entries=[event])
        alarm.wait_for_mail()

    (letter,) = empty_dead_letters(production)
    assert json.loads(letter["Body"])["detail"]["model_name"] == application
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    alarm.wait_for("OK")
    alarm.wait_for_mail("OK")


def test_an_approval_that_is_pending_too_long_raises_an_alarm_until_a_decision(
    lab: Lab, qa: Stage, production: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting_approval(production, application)
    alarm = quiet_alarm(stacks, production, "PendingApprovals")
    look(production)
    alarm.wait_for("OK")

    def is_recorded_as_ended() -> bool:
        found = [item for item in production.items("approval") if item["key"].startswith(f"{application}-production#")]
        return ["ended" in request for request in found] == [True]

    with deployed_with(production, PendingApprovalAlarmSeconds="1"):
        look_until(production, alarm.has_new_mail, "a mail about the pending approval")
        cancel_all_approvals(production)
        look(production)
        alarm.wait_for("OK")

    # The monitor records it once the execution of its event was started.
    look_until(production, is_recorded_as_ended, "the end of the approval to be recorded")


def look_until(stage: Stage, is_so: Callable[[], bool], what: str) -> None:
    """Run the monitor until its result is seen."""

    def look_again() -> bool | None:
        look(stage)
        return is_so() or None

    wait_until(look_again, what, pause=1)


def cancel_all_approvals(stage: Stage) -> None:
    """Cancel every pending approval, including those of other tests."""
    ssm = stage.client("ssm")
    waiting = [{"Key": "ExecutionStatus", "Values": ["Waiting"]}]
    for page in ssm.get_paginator("describe_automation_executions").paginate(Filters=waiting):
        for found in page["AutomationExecutionMetadataList"]:
            ssm.stop_automation_execution(AutomationExecutionId=found["AutomationExecutionId"], Type="Cancel")


def test_a_lock_that_is_held_too_long_raises_an_alarm_until_it_is_released(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    job = lab.train(application, "good", tagged=False)
    suite = {"cases": [{"name": "answers", "body": {}, "expect": "label == 'good'"}]}
    configure(qa, application, SmokeTest=suite)
    told = threading.Event()

    def wait_for_release(execution: Any, state: str) -> None:
        if state == "Check endpoint" and application in execution.execution_input:
            told.wait(PATIENCE_SECONDS)

    with deployed_with(qa, EndpointLockAlarmSeconds="2"), step_functions.watched(wait_for_release):
        alarm = quiet_alarm(stacks, qa, "EndpointLocksHeld")
        arn = qa.start({"training_job": job, "application": application})
        wait_until(lambda: qa.running(application) or None, "the endpoint to be held")

        def has_new_mail_after_a_check() -> bool | None:
            look(qa)
            return alarm.has_new_mail() or None

        wait_until(has_new_mail_after_a_check, "a mail that the endpoint is held", pause=1)
        told.set()
        assert qa.ended(arn).status == "SUCCEEDED"
        look(qa)
        alarm.wait_for("OK")


def test_a_dead_lock_holder_without_an_event_is_recovered_by_the_monitor(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "stopped", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Run smoke test" in qa.states(arn) else None, "the smoke test")
    with lost_events_of_executions(qa):
        qa.client("stepfunctions").stop_execution(executionArn=arn)
        look(qa)
        recovery = qa.execution_of(f'"recover": "{application}-qa"')

    assert recovery.states[-1] == "Recovered", recovery.cause
    assert qa.answer(application) == {"label": "good"}
    assert qa.running(application) == []


def test_an_abandoned_recovery_requires_an_operator_and_raises_an_alarm(
    qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    dead = f"{qa.state_machine.replace(':stateMachine:', ':execution:')}:{application}"
    key = {"kind": {"S": "lock"}, "key": {"S": f"{application}-qa"}}
    journal = {
        "execution": {"S": dead},
        "recoveries": {"N": "6"},
        "acquired_at": {"S": "2026-01-01T00:00:00+00:00"},
        "promotion": {"S": json.dumps({"endpoint": f"{application}-qa", "application": application})},
    }
    alarm = quiet_alarm(stacks, qa, "EndpointLocksHeld")
    qa.client("dynamodb").put_item(TableName=qa.table, Item=key | journal)

    look(qa)
    alarm.wait_for_mail()

    assert qa.executions_with(f"{application}-qa") == []
    qa.client("dynamodb").delete_item(TableName=qa.table, Key=key)
    look(qa)
    alarm.wait_for("OK")


def test_a_failed_check_of_the_monitor_is_retried_and_then_raises_an_alarm(qa: Stage, stacks: EmbeddedAws) -> None:
    empty_dead_letters(qa)
    alarm = quiet_alarm(stacks, qa, "UndeliveredEvents")

    with denied(qa, f"{WATCH}Role", "dynamodb:Query"):
        look(qa)
        alarm.wait_for_mail()

    (letter,) = empty_dead_letters(qa)
    record = json.loads(letter["Body"])
    assert record["requestPayload"] == input_of_watch(qa)
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert "dynamodb:Query" in record["responsePayload"]["errorMessage"]
    alarm.wait_for("OK")


def test_a_check_of_the_monitor_that_cannot_start_is_a_dead_letter(qa: Stage, stacks: EmbeddedAws) -> None:
    empty_dead_letters(qa)
    alarm = quiet_alarm(stacks, qa, "UndeliveredEvents")
    functions, name = qa.client("lambda"), qa.physical_id(WATCH)
    policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    (statement,) = policy["Statement"]
    functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])

    look(qa)
    alarm.wait_for_mail()

    functions.add_permission(
        FunctionName=name,
        StatementId=statement["Sid"],
        Action=statement["Action"],
        Principal=statement["Principal"]["Service"],
        SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
    )
    (letter,) = empty_dead_letters(qa)
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    alarm.wait_for("OK")


def test_operators_are_notified_when_the_monitor_stops(qa: Stage, stacks: EmbeddedAws) -> None:
    look(qa)
    alarm = Alarm(stacks, qa, "EndpointLocksHeld")
    alarm.wait_for("OK")

    alarms.evaluate(time.time() + MUCH_LATER)

    alarm.wait_for_mail("INSUFFICIENT_DATA")
