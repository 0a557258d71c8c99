import json
from typing import Any

import boto3
import pytest

from promotion.errors import PromotionRefusedError
from steps import request_approval
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, PROMOTION, SECOND, get, put

CANDIDATE = PROMOTION | {
    "source_kind": "model",
    "source_name": "reviews-2",
    "created_at": "2026-02-01T00:00:00Z",
    "by_event": True,
    "deployment_digest": "cd" * 32,
    "smoke_test": "skip",
}


class Approvals:
    """Systems Manager with pending approvals, and Step Functions with running executions."""

    exceptions = boto3.client("ssm").exceptions

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.status = "RUNNING"
        self.published: list[dict[str, Any]] = []
        self.parameters: dict[str, list[str]] = {}

    def get_automation_execution(self, AutomationExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {
            "AutomationExecution": {
                "AutomationExecutionId": AutomationExecutionId,
                "DocumentName": "model-promotion-qa",
                "AutomationExecutionStatus": self.statuses[AutomationExecutionId],
                "Parameters": {"RequestedBy": [FIRST]},
            }
        }

    def start_automation_execution(self, **request: Any) -> dict[str, str]:
        self.parameters = request["Parameters"]
        identifier = f"of-{request['Parameters']['SourceName'][0]}"
        self.statuses[identifier] = "Waiting"
        return {"AutomationExecutionId": identifier}

    def stop_automation_execution(self, AutomationExecutionId: str, Type: str) -> None:  # noqa: N803
        self.statuses[AutomationExecutionId] = "Cancelled"

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803
        return {"status": self.status}

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, int]:  # noqa: N803
        self.published += [json.loads(entry["Detail"]) for entry in Entries]
        return {"FailedEntryCount": 0}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        waiting = [name for name, status in self.statuses.items() if status == "Waiting"]
        return [{"AutomationExecutionMetadataList": [{"AutomationExecutionId": name} for name in waiting]}]


@pytest.fixture
def approvals(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Approvals:
    found = Approvals()
    monkeypatch.setattr(request_approval, "client", lambda service: dynamodb if service == "dynamodb" else found)
    return found


def request(execution: str = FIRST, minimum: int = 1, **promotion: Any) -> dict[str, Any]:
    event = {"promotion": CANDIDATE | promotion, "execution": execution, "table": NAME, "bus": "model-promotion-qa"}
    approvers = {"approvers": "arn:aws:iam::222222222222:user/a,arn:aws:iam::222222222222:user/b", "minimum": minimum}
    policy = {"required": True, "runbook": "model-promotion-qa", "seconds": 3600, "requester": "requester"} | approvers
    return request_approval.handler(event | {"approval_policy": policy}, CONTEXT)


def newer_is_requested(approvals: Approvals, status: str = "Waiting") -> None:
    """Record the request for a newer candidate, as another execution does."""
    approvals.statuses["of-reviews-3"] = status
    record = CANDIDATE | {"source_name": "reviews-3", "digest": "ef" * 32, "created_at": "2026-03-01T00:00:00Z"}
    key = f"{record['endpoint']}#{record['digest']}"
    put("approval", key, execution=SECOND, automation="of-reviews-3", promotion=json.dumps(record))


def test_an_approval_is_requested_once(approvals: Approvals) -> None:
    outcomes = [request(execution)["outcome"] for execution in (FIRST, FIRST, SECOND)]

    assert outcomes == ["requested", "requested", "already_requested"]
    # The second attempt of the same execution publishes the event again, since the first one may have been killed.
    assert [event["approval"] for event in approvals.published] == ["of-reviews-2"] * 2
    assert approvals.statuses == {"of-reviews-2": "Waiting"}


def test_a_request_says_when_the_candidate_was_rolled_back(approvals: Approvals) -> None:
    failed = CANDIDATE | {"status": "Failed", "changing": True, "ended_at": "2026-01-02T00:00:00Z"}
    put("history#reviews-qa", "2026-01-02T00:00:00Z#first", promotion=json.dumps(failed))

    request()

    assert approvals.published[0]["rolled_back_at"] == "2026-01-02T00:00:00Z"
    assert approvals.parameters["Evidence"] == ["Rolled back before: 2026-01-02 00:00 UTC in qa"]


def test_no_approval_is_requested_that_nobody_could_grant(approvals: Approvals) -> None:
    with pytest.raises(PromotionRefusedError, match=r"requires 3 approvals .* only 2 approvers"):
        request(minimum=3)

    assert approvals.statuses == {}
    assert request(minimum=2)["outcome"] == "requested"


@pytest.mark.parametrize("by_event", [True, False])
def test_no_approval_is_requested_while_one_for_a_newer_candidate_is_open(approvals: Approvals, by_event: bool) -> None:
    newer_is_requested(approvals)

    requested = request(by_event=by_event)

    assert requested["outcome"] == "newer_requested"
    assert "of-reviews-3 of the newer candidate reviews-3 is pending" in requested["reason"]
    assert approvals.statuses == {"of-reviews-3": "Waiting"}


def test_a_candidate_older_than_a_rejected_one_is_requested(approvals: Approvals) -> None:
    newer_is_requested(approvals, "Failed")

    assert request()["outcome"] == "requested"


def test_a_request_is_superseded_by_one_for_a_newer_candidate_that_was_recorded_at_the_same_time(
    approvals: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = approvals.start_automation_execution

    def start_after_the_newer_one(**given: Any) -> dict[str, str]:
        # The newer request did not see this one, which is not recorded yet.
        newer_is_requested(approvals)
        return start(**given)

    monkeypatch.setattr(approvals, "start_automation_execution", start_after_the_newer_one)

    requested = request()

    assert requested["outcome"] == "superseded"
    assert approvals.statuses == {"of-reviews-2": "Cancelled", "of-reviews-3": "Waiting"}
    item = get("approval", f"{CANDIDATE['endpoint']}#{CANDIDATE['digest']}") or {}
    assert item["superseded_by"] == "reviews-3"


def test_an_older_request_is_superseded(approvals: Approvals) -> None:
    request(source_name="reviews-1", digest="01" * 32, created_at="2026-01-01T00:00:00Z")

    request(SECOND)

    assert approvals.statuses == {"of-reviews-1": "Cancelled", "of-reviews-2": "Waiting"}


def test_a_start_that_requests_nothing_supersedes_what_an_earlier_one_could_not_cancel(approvals: Approvals) -> None:
    request(source_name="reviews-1", digest="01" * 32, created_at="2026-01-01T00:00:00Z")
    newer_is_requested(approvals)

    assert request(SECOND)["outcome"] == "newer_requested"

    assert approvals.statuses == {"of-reviews-1": "Cancelled", "of-reviews-3": "Waiting"}


def test_an_approval_that_an_interrupted_execution_has_started_is_not_requested_again(
    approvals: Approvals, dynamodb: Any
) -> None:
    request()
    key = f"{CANDIDATE['endpoint']}#{CANDIDATE['digest']}"
    put("approval", key, execution=FIRST, automation="", promotion=json.dumps(CANDIDATE))
    approvals.status = "ABORTED"

    assert request(SECOND)["outcome"] == "already_requested"

    assert (get("approval", key) or {})["automation"] == "of-reviews-2"


def test_a_function_that_outlives_its_execution_cancels_the_approval_that_it_starts(
    approvals: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = approvals.start_automation_execution

    def start_late(**given: Any) -> dict[str, str]:
        key = f"{CANDIDATE['endpoint']}#{CANDIDATE['digest']}"
        put("approval", key, execution=SECOND, automation="of-second", promotion=json.dumps(CANDIDATE))
        return start(**given)

    monkeypatch.setattr(approvals, "start_automation_execution", start_late)

    assert request()["outcome"] == "already_requested"

    assert approvals.statuses == {"of-reviews-2": "Cancelled"}
