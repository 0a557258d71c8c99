import json
from typing import Any

import pytest

from promotion.history.events import APPROVAL_REQUESTED, DIFFERS
from promotion.messages import message
from promotion.record import PromotionRecord
from promotion.source.request import SUCCEEDED

EXECUTION = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:first"
RECORD: PromotionRecord = {
    "execution": EXECUTION,
    "application": "reviews",
    "stage": "qa",
    "endpoint": "reviews-qa",
    "source_kind": "training_job",
    "source_arn": "arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-2",
    "digest": "ab" * 32,
    "model_name": "reviews-2-abab",
    "metrics": {"accuracy": 0.9312345678, "f1": 0.8},
    "quality_gate": [{"passed": True, "reason": "accuracy is 0.9312346"}],
    "not_pinned": ["Environment.HF_MODEL_ID: a model of the Hugging Face Hub"],
    "smoke_test": "s3://bucket/smoke-test.json",
    "smoke_test_invocations": 20,
    "smoke_test_errors": 1,
    "smoke_test_p95_latency_ms": 12,
    "approved_by": "arn:aws:iam::222222222222:user/anna",
    "approval_comment": "good",
    "summary": "reviews: promoted. Model reviews-2-abab is live.",
    "ended_at": "2026-05-04T17:20:01.123Z",
}
OTHER: PromotionRecord = {
    "model_name": "reviews-1-cdcd",
    "metrics": {"accuracy": 0.91},
    "approved_by": "arn:aws:iam::222222222222:user/otto",
    "ended_at": "2026-04-01T08:05:59Z",
}


def test_a_promotion_is_told_with_what_it_replaced_and_how_it_compares() -> None:
    found = message.of_promotion(SUCCEEDED, RECORD, OTHER)

    assert found.subject == "[qa] reviews: promoted"
    assert found.text() == (
        "[qa] reviews: promoted. Model reviews-2-abab is live.\n"
        "\n"
        "Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/"
        f"{EXECUTION}\n"
        "Endpoint: https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/reviews-qa\n"
        "\n"
        "Replaced:     reviews-1-cdcd, promoted 2026-04-01 08:05 UTC, approved by "
        "arn:aws:iam::222222222222:user/otto\n"
        "Approved by:  arn:aws:iam::222222222222:user/anna (good)\n"
        "Metrics:      accuracy 0.9312346 (before: 0.91), f1 0.8\n"
        "Quality gate: accuracy is 0.9312346\n"
        "Smoke test:   20 invocations, 1 with errors or too slow, p95 12 ms\n"
        "Not pinned:   Environment.HF_MODEL_ID: a model of the Hugging Face Hub\n"
        "Source:       arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-2\n"
        f"Digest:       {'ab' * 32}"
    )


@pytest.mark.parametrize(
    ("detail_type", "changed", "outcome"),
    [
        (SUCCEEDED, {"source_kind": "rollback"}, "rolled back"),
        ("Model Promotion Failed", {}, "promotion failed"),
        ("Model Promotion Rejected", {}, "promotion rejected"),
        (DIFFERS, {}, "endpoint differs"),
        (APPROVAL_REQUESTED, {"approval": "a-1"}, "approval requested"),
    ],
)
def test_the_subject_names_stage_application_and_outcome(detail_type: str, changed: Any, outcome: str) -> None:
    assert message.of_promotion(detail_type, RECORD | changed, None).subject == f"[qa] reviews: {outcome}"


def test_an_approval_request_begins_with_the_decision_and_compares_with_the_live_model() -> None:
    until = {"approval": "a-1", "approve_until": "2026-05-07T17:20:00+00:00"}
    record: Any = {key: value for key, value in RECORD.items() if not key.startswith(("approv", "smoke_test_"))} | until

    found = message.of_promotion(APPROVAL_REQUESTED, record, OTHER)

    assert list(found.links) == ["Approve or reject", "Execution", "Endpoint"]
    assert "systems-manager/automation/execution/a-1" in found.links["Approve or reject"]
    assert found.facts["Decide by"] == "2026-05-07 17:20 UTC"
    assert found.facts["Live"].startswith("reviews-1-cdcd, promoted 2026-04-01 08:05 UTC")
    assert found.facts["Metrics"] == "accuracy 0.9312346 (live: 0.91), f1 0.8"
    assert found.facts["Smoke test"] == "s3://bucket/smoke-test.json"


REPORT: dict[str, Any] = {
    "stage": "qa",
    "ended_at": "2026-05-01T09:58:40.268Z",
    "smoke_test_invocations": 20,
    "smoke_test_errors": 0,
    "smoke_test_p95_latency_ms": 84,
    "rolled_back_at": "",
}


@pytest.mark.parametrize(
    ("changed", "tested", "rolled_back"),
    [
        ({}, "", ""),
        ({"rolled_back_at": ""}, "", "no"),
        ({"rolled_back_at": "2026-03-01T10:00:00Z"}, "", "2026-03-01 10:00 UTC in production"),
        (
            {"rolled_back_at": "", "tested_upstream": REPORT},
            "qa reports: promoted 2026-05-01 09:58 UTC, smoke test with 20 invocations, 0 with errors or too slow, "
            "p95 84 ms",
            "no",
        ),
        (
            {
                "rolled_back_at": "2026-03-01T10:00:00Z",
                "tested_upstream": REPORT | {"smoke_test_invocations": 0, "rolled_back_at": "2026-02-01T10:00:00Z"},
            },
            "qa reports: promoted 2026-05-01 09:58 UTC, smoke test skipped",
            "2026-03-01 10:00 UTC in production; 2026-02-01 10:00 UTC in qa, as it reports",
        ),
    ],
)
def test_an_approval_request_says_how_the_candidate_did_before(changed: Any, tested: str, rolled_back: str) -> None:
    record: Any = RECORD | {"stage": "production", "approval": "a-1"} | changed

    facts = message.of_promotion(APPROVAL_REQUESTED, record, None).facts

    assert (facts.get("Tested upstream", ""), facts.get("Rolled back before", "")) == (tested, rolled_back)
    for fact in filter(None, (tested, rolled_back)):
        assert fact in message.evidence(record)


def test_an_early_failure_has_no_facts_and_no_application() -> None:
    record: PromotionRecord = {
        "execution": EXECUTION,
        "stage": "qa",
        "application": "unknown",
        "endpoint": "unknown",
        "summary": "Not started: invalid request.",
    }

    found = message.of_promotion("Model Promotion Failed", record, None)

    assert found.subject == "[qa] promotion failed"
    assert found.text().splitlines()[0] == "[qa] Not started: invalid request."
    assert list(found.links) == ["Execution"]
    assert found.facts == {}


def test_a_failed_rollback_is_told_with_its_error() -> None:
    detail = {"executionArn": EXECUTION, "error": "RollbackInterrupted", "cause": "The endpoint remains locked."}

    found = message.of_execution("qa", "reviews", detail)

    assert found.subject == "[qa] reviews: rollback failed"
    assert found.text().startswith("[qa] RollbackInterrupted: The endpoint remains locked.\n\nExecution: https://")


@pytest.mark.parametrize("place", ["summary", "approval_comment", "source_arn"])
def test_no_text_of_others_adds_a_link_or_a_line(place: str) -> None:
    changed: Any = {place: "see\r\nHTTPS://example.com\x00now"}

    text = message.of_promotion(SUCCEEDED, RECORD | changed, None).text()

    assert "see example.com now" in text
    assert "https://example.com" not in text.lower()


def test_a_subject_has_fewer_than_100_characters() -> None:
    record: Any = RECORD | {"application": "a" * 200}

    assert len(message.of_promotion(SUCCEEDED, record, None).subject) == 99


@pytest.mark.parametrize("character", ["x", "é", "\\", '"', "🙂"])
def test_the_longest_message_has_the_size_that_sns_accepts(character: str) -> None:
    long: Any = character * 40_000
    record: Any = RECORD | {
        "application": "a" * 40,
        "summary": long,
        "approval_comment": long,
        "started_by": long,
        "rolled_back_at": "2026-03-01T10:00:00Z",
        "tested_upstream": REPORT,
        "metrics": dict.fromkeys((f"{number}{character * 250}" for number in range(50)), 0.5),
        "quality_gate": [{"passed": True, "reason": long}],
        "not_pinned": [long],
        "source_arn": long,
        "approval": "a-1",
        "approve_until": "2026-05-07T17:20:00+00:00",
    }

    request = message.of_promotion(APPROVAL_REQUESTED, record, OTHER | {"approved_by": long}).request("topic")

    attributes = sum(len(f"{key}String{value['StringValue']}") for key, value in request["MessageAttributes"].items())
    assert len(request["Message"].encode()) + attributes <= 262_144
    assert json.loads(json.loads(request["Message"])["sqs"])["summary"].endswith("...")


def test_each_protocol_gets_its_form_and_filters_get_attributes() -> None:
    request = message.of_promotion(SUCCEEDED, RECORD, OTHER).request("topic")

    assert {name: value["StringValue"] for name, value in request["MessageAttributes"].items()} == {
        "application": "reviews",
        "stage": "qa",
        "outcome": "promoted",
    }
    assert request["MessageStructure"] == "json"
    forms = json.loads(request["Message"])
    chat, machine = json.loads(forms["https"]), json.loads(forms["sqs"])
    assert forms["lambda"] == forms["sqs"]
    assert (chat["version"], chat["source"]) == ("1.0", "custom")
    assert chat["content"]["title"] == request["Subject"]
    assert "*Metrics:* accuracy 0.9312346 (before: 0.91), f1 0.8" in chat["content"]["description"]
    assert chat["content"]["nextSteps"][0].endswith("|Execution>")
    assert chat["metadata"]["threadId"] == "reviews-qa"
    assert machine["facts"]["Digest"] == "ab" * 32
    assert machine["outcome"] == "promoted"


def test_a_comparison_is_one_line_for_the_approvers() -> None:
    assert message.comparison(RECORD, OTHER) == (
        "Live: reviews-1-cdcd, promoted 2026-04-01 08:05 UTC, approved by arn:aws:iam::222222222222:user/otto; "
        "Metrics: accuracy 0.9312346 (live: 0.91), f1 0.8; Quality gate: accuracy is 0.9312346"
    )
