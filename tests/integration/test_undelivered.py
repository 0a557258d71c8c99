"""An undelivered event raises an alarm and is kept with its reason, and it can start a promotion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.iam import clients
from tests.support.mail import mail
from tests.support.waiting import wait_until
from tests.support.world import DEV, QA, Lab, Stage, physical_id, role_of


@pytest.mark.parametrize(
    ("account", "stack", "role", "denied"),
    [
        (QA, "model-promotion-qa", "StartRole", ("states", "StartExecution")),
        (DEV, "model-promotion-upstream-of-qa", "ForwardingRole", ("events", "PutEvents")),
    ],
    ids=["not-started", "not-forwarded"],
)
def test_an_undelivered_event_raises_an_alarm_is_kept_and_can_start_a_promotion(
    lab: Lab,
    qa: Stage,
    stacks: EmbeddedAws,
    application: str,
    account: str,
    stack: str,
    role: str,
    denied: tuple[str, str],
) -> None:
    principal = role_of(account, stack, role)
    sqs, queue = clients.client_as_operator("sqs", account), physical_id(account, stack, "DeadLetters")

    def look(job: str) -> dict[str, Any] | None:
        answer = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"], VisibilityTimeout=1)
        for message in answer.get("Messages", []):
            if job in message["Body"]:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return dict(message)
        return None

    with faults.injected(Call(principal, *denied), Kind.DENIED):
        job = lab.train(application, "good")
        # No further email is sent while it is in ALARM.
        mail(stacks, f'ALARM: "{physical_id(account, stack, "UndeliveredEvents")}"')
        kept = wait_until(lambda: look(job), f"the event of {job} in {queue}")

    assert kept["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert qa.executions_with(job) == []
    promoted = qa.promote(json.loads(kept["Body"]))
    assert promoted.status == "SUCCEEDED", promoted.cause
    assert qa.answer(application) == {"label": "good"}
