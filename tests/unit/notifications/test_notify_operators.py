import json
from typing import Any

import boto3
import pytest

from notifications import notify_operators
from promotion.record import PromotionRecord
from promotion.source.request import OWN_SOURCE, SUCCEEDED
from tests.support import promotion_table
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, SECOND, put

OLD: PromotionRecord = {
    "execution": FIRST,
    "application": "reviews",
    "stage": "qa",
    "endpoint": "reviews-qa",
    "source_kind": "model",
    "status": "Succeeded",
    "model_name": "reviews-1",
    "endpoint_config_name": "reviews-1",
    "ended_at": "2026-04-01T08:05:59Z",
    "summary": "old",
}
NEW: PromotionRecord = OLD | {
    "execution": SECOND,
    "model_name": "reviews-2",
    "endpoint_config_name": "reviews-2",
    "ended_at": "2026-05-01T08:05:59Z",
    "summary": "new",
}
FAILED: PromotionRecord = NEW | {"status": "Failed", "ended_at": "2026-04-15T08:05:59Z", "endpoint_config_name": "bad"}


@pytest.fixture
def queue(moto: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a queue that gets the notifications of the application "reviews"."""
    promotion_table.created()
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="notifications")["TopicArn"]
    url: str = sqs.create_queue(QueueName="reviews")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = {"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"application": ["reviews"]})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    for name, value in {"TABLE": NAME, "STAGE": "qa", "TOPIC": topic}.items():
        monkeypatch.setenv(name, value)
    return url


def told(queue: str, detail_type: str, detail: Any, source: str = OWN_SOURCE) -> dict[str, Any]:
    """Return the notification of an event, in the form for queues."""
    notify_operators.handler({"source": source, "detail-type": detail_type, "detail": detail}, CONTEXT)
    (message,) = boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    found: dict[str, Any] = json.loads(message["Body"])
    return found


def record(*promotions: PromotionRecord) -> None:
    for each in promotions:
        put("history#reviews-qa", f"{each['ended_at']}#{each['execution']}", promotion=json.dumps(each))


def test_a_promotion_is_told_with_the_one_that_it_replaced(queue: str) -> None:
    record(OLD, FAILED, NEW)

    assert told(queue, SUCCEEDED, NEW)["facts"]["Replaced"] == "reviews-1, promoted 2026-04-01 08:05 UTC"


@pytest.mark.parametrize("former", [[], [NEW | {"execution": FIRST, "ended_at": "2026-04-30T08:05:59Z"}]])
def test_a_promotion_that_replaced_nothing_else_is_told_without(queue: str, former: list[PromotionRecord]) -> None:
    record(*former, NEW)

    assert "Replaced" not in told(queue, SUCCEEDED, NEW)["facts"]


def test_a_failure_is_told_with_the_live_model(queue: str) -> None:
    put("live", "reviews-qa", promotion=json.dumps(OLD))

    assert told(queue, "Model Promotion Failed", FAILED)["facts"]["Live"].startswith("reviews-1, ")


def test_an_interrupted_rollback_is_told_to_the_people_of_its_application(queue: str) -> None:
    put("execution", SECOND, endpoint="reviews-qa")
    put("lock", "reviews-qa", execution=SECOND, recoveries=1, acquired_at="2026", promotion=json.dumps(NEW))
    detail = {"executionArn": SECOND, "error": "RollbackInterrupted", "cause": "Denied."}

    found = told(queue, "Step Functions Execution Status Change", detail, source="aws.states")

    assert (found["application"], found["outcome"]) == ("reviews", "rollback failed")
    assert found["summary"] == "RollbackInterrupted: Denied."
