import datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from promotion.history import approval, approval_requests
from promotion.history.approval_requests import ApprovalRequest
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from tests.support import promotion_table
from tests.support.promotion_table import FIRST, PROMOTION, SECOND
from tests.support.s3_faults import client_error


def test_requests_are_open_until_they_are_recorded_as_ended(table: PromotionTable) -> None:
    requested = {digest: PROMOTION | {"digest": digest * 64} for digest in "abc"}
    for digest, promotion in requested.items():
        approval_requests.claim(table, FIRST, promotion, None)
        if digest != "c":
            approval_requests.record_started(table, FIRST, promotion, f"automation-{digest}")
    approval_requests.claim(table, FIRST, PROMOTION | {"endpoint": "reviews-qa-2"}, None)

    requests = approval_requests.open_requests(table, "reviews-qa")
    approval_requests.record_ended(table, *requests[0])
    # The approval was requested again in the meantime, and another request has ended.
    approval_requests.record_ended(table, requested["b"], ApprovalRequest(FIRST, "automation-before"))

    assert requests == [(requested[d], ApprovalRequest(FIRST, f"automation-{d}")) for d in "ab"]
    assert approval_requests.open_requests(table, "reviews-qa") == requests[1:]
    assert approval_requests.open_requests(table) == requests[1:]


def test_a_request_that_is_requested_again_is_open_again(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)
    approval_requests.record_started(table, FIRST, PROMOTION, "automation")
    (request,) = approval_requests.open_requests(table)
    approval_requests.record_ended(table, *request)

    approval_requests.claim(table, SECOND, PROMOTION, request[1])
    approval_requests.record_started(table, SECOND, PROMOTION, "automation-2")

    assert approval_requests.open_requests(table) == [(PROMOTION, ApprovalRequest(SECOND, "automation-2"))]


def test_an_error_of_a_claim_is_raised(moto: None) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        approval_requests.claim(promotion_table.missing(), FIRST, PROMOTION, None)


def test_only_one_execution_claims_a_request(table: PromotionTable) -> None:
    claimed = approval_requests.claim(table, FIRST, PROMOTION, None)
    claimed_again = approval_requests.claim(table, SECOND, PROMOTION, None)

    assert (claimed, claimed_again) == (True, False)
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_a_claim_whose_response_was_lost_succeeds_again(table: PromotionTable) -> None:
    approval_requests.claim(table, "zeroth", PROMOTION, None)
    last = approval_requests.last(table, PROMOTION)

    claims = [approval_requests.claim(table, FIRST, PROMOTION, last) for _ in range(2)]

    assert claims == [True, True]
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_a_candidate_has_no_request_at_first(table: PromotionTable) -> None:
    assert approval_requests.last(table, PROMOTION) is None


def test_the_automation_execution_is_recorded_with_the_request(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)

    approval_requests.record_started(table, FIRST, PROMOTION, "automation-1")

    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, "automation-1")


def test_only_one_execution_claims_the_request_after_one_that_ended(table: PromotionTable) -> None:
    approval_requests.claim(table, "zeroth", PROMOTION, None)
    approval_requests.record_started(table, "zeroth", PROMOTION, "automation-1")
    last = approval_requests.last(table, PROMOTION)

    claims = [approval_requests.claim(table, one, PROMOTION, last) for one in (FIRST, SECOND)]

    assert claims == [True, False]
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_a_repeated_claim_keeps_the_started_approval(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)
    approval_requests.record_started(table, FIRST, PROMOTION, "automation-1")
    last = approval_requests.last(table, PROMOTION)

    assert approval_requests.claim(table, FIRST, PROMOTION, last)
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, "automation-1")


def test_another_candidate_or_endpoint_has_another_request(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)

    for other in (PROMOTION | {"digest": "cd" * 32}, PROMOTION | {"endpoint": "other-qa"}):
        assert approval_requests.last(table, other) is None
        assert approval_requests.claim(table, SECOND, other, None)


NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)


def test_an_approval_is_recorded_only_for_the_execution_that_claimed_the_request(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)
    approval_requests.claim(table, SECOND, PROMOTION, ApprovalRequest(FIRST, ""))

    recorded = [approval_requests.record_started(table, each, PROMOTION, f"of-{each}") for each in (SECOND, FIRST)]

    assert recorded == [True, False]
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(SECOND, f"of-{SECOND}")


class SystemsManager:
    """Automation executions, each with its status and the status of its approval step."""

    exceptions = boto3.client("ssm").exceptions

    def __init__(self, **automations: tuple[str, str]) -> None:
        self.automations = automations
        self.requested_by: dict[str, str] = {}
        self.failing = False
        self.stopped: list[str] = []
        self.started: list[dict[str, Any]] = []

    def get_automation_execution(self, AutomationExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if AutomationExecutionId not in self.automations:
            raise client_error("AutomationExecutionNotFoundException")
        status, step = self.automations[AutomationExecutionId]
        return {
            "AutomationExecution": {
                "AutomationExecutionId": AutomationExecutionId,
                "DocumentName": "model-promotion-qa",
                "AutomationExecutionStatus": status,
                "ExecutionStartTime": NOON,
                "Parameters": {"RequestedBy": [self.requested_by.get(AutomationExecutionId, "")]},
                "StepExecutions": [{"StepName": "Approve", "StepStatus": step}],
            }
        }

    def get_paginator(self, operation: str) -> Any:
        assert operation == "describe_automation_executions"
        return self

    def paginate(self, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: N803
        assert [each["Values"] for each in Filters] == [["model-promotion-qa"], ["Waiting"]]
        waiting = [name for name, (status, _) in self.automations.items() if status == "Waiting"]
        return [{"AutomationExecutionMetadataList": [{"AutomationExecutionId": name} for name in waiting]}]

    def stop_automation_execution(self, AutomationExecutionId: str, Type: str) -> None:  # noqa: N803
        assert Type == "Cancel"
        if self.failing:
            raise client_error("ThrottlingException")
        self.stopped.append(AutomationExecutionId)
        if AutomationExecutionId.endswith("ended"):
            error = {"Error": {"Code": "InvalidAutomationStatusUpdateException"}}
            raise self.exceptions.InvalidAutomationStatusUpdateException(error, "StopAutomationExecution")

    def start_automation_execution(self, **request: Any) -> dict[str, str]:
        self.started.append(request)
        return {"AutomationExecutionId": "automation-1"}


class StepFunctions:
    def __init__(self, status: str) -> None:
        self.status = status

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803
        return {"executionArn": executionArn, "status": self.status}


PENDING = (
    "The approval waiting was already requested and has the status Waiting. To request another one, for example after "
    "a change of the settings, reject it first."
)


@pytest.mark.parametrize(
    ("last", "by_event", "reason"),
    [
        ("waiting", True, PENDING),
        ("waiting", False, PENDING),
        (
            "rejected",
            True,
            "The approval rejected of the same candidate ended with the status Failed. To request another approval, "
            "start the promotion manually.",
        ),
        ("rejected", False, None),
        ("gone", True, None),
    ],
)
def test_an_approval_is_not_requested_again_while_one_is_open_or_by_an_event(
    last: str, by_event: bool, reason: str | None
) -> None:
    ssm = SystemsManager(waiting=("Waiting", "Waiting"), rejected=("Failed", "Failed"))

    found = approval_requests.reason_not_to_request(
        ssm, StepFunctions("RUNNING"), ApprovalRequest(FIRST, last), by_event
    )

    assert found == reason


def test_an_approval_is_not_requested_while_another_execution_is_requesting_it() -> None:
    claimed, ssm = ApprovalRequest(FIRST, automation=""), SystemsManager()

    assert approval_requests.reason_not_to_request(ssm, StepFunctions("RUNNING"), claimed, True) == (
        f"The execution {FIRST} is already requesting the approval."
    )
    assert approval_requests.reason_not_to_request(ssm, StepFunctions("FAILED"), claimed, True) is None


def test_an_approval_request_names_what_the_digest_does_not_pin() -> None:
    candidate: PromotionRecord = {"source_kind": "model", "source_name": "m", "smoke_test": "skip"}
    promotion, ssm = PROMOTION | candidate | {"deployment_digest": "cd" * 32}, SystemsManager()

    for found in (["Containers[0].Environment.A: fetched at start from s3a://b/x"], ["x" * 300, "y" * 300]):
        approval_requests.start(ssm, "runbook", FIRST, promotion | {"not_pinned": found}, "", "")

    named, long = (started["Parameters"]["NotPinned"][0] for started in ssm.started)
    assert named == "Containers,0,.Environment.A: fetched at start from s3a://b/x"
    assert len(long) == 512


def test_each_attempt_of_an_execution_has_the_same_client_token() -> None:
    candidate: PromotionRecord = {"source_kind": "model", "source_name": "m", "smoke_test": "skip"}
    promotion, ssm = PROMOTION | candidate | {"deployment_digest": "cd" * 32}, SystemsManager()

    started = [
        approval_requests.start(
            ssm, "runbook", execution, promotion, "Metrics: f1 0.8 (live: 0.7)", "Rolled back before: no"
        )
        for execution in (FIRST, FIRST, SECOND)
    ]

    assert started == ["automation-1"] * 3
    first, again, other = ssm.started
    assert first == again
    assert other["ClientToken"] != first["ClientToken"]
    assert first["Parameters"]["Digest"] == [PROMOTION["digest"]]
    assert first["Parameters"]["DeploymentDigest"] == ["cd" * 32]
    assert first["Parameters"]["NotPinned"] == ["nothing"]
    assert first["Parameters"]["Comparison"] == ["Metrics: f1 0.8 ,live: 0.7,"]
    assert first["Parameters"]["Evidence"] == ["Rolled back before: no"]
    assert first["Parameters"]["SmokeTest"] == ["skip"]
    assert {tag["Key"]: tag["Value"] for tag in first["Tags"]} == {
        "model-promotion:stage": "qa",
        "model-promotion:application": "reviews",
        "model-promotion:source": "m",
    }


@pytest.mark.parametrize(("status", "orphans"), [("ABORTED", ["of-first"]), ("RUNNING", [])])
def test_an_approval_of_an_execution_that_ended_before_it_recorded_it_is_found(
    table: PromotionTable, status: str, orphans: list[str]
) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)
    ssm = SystemsManager(**{"of-first": ("Waiting", "Waiting"), "of-second": ("Waiting", "Waiting")})
    ssm.requested_by = {"of-first": FIRST, "of-second": SECOND}

    found = approval_requests.record_orphans(table, ssm, StepFunctions(status), "model-promotion-qa")

    assert [automation for _, automation in found] == orphans
    last = approval_requests.last(table, PROMOTION)
    assert last == ApprovalRequest(FIRST, "of-first" if orphans else "")


def requested(table: PromotionTable, automation: str, created_at: str = "2026-01-01T00:00:00Z") -> None:
    promotion = PROMOTION | {"digest": automation, "source_name": f"of-{automation}", "created_at": created_at}
    approval_requests.claim(table, FIRST, promotion, None)
    approval_requests.record_started(table, FIRST, promotion, automation)


def test_older_requests_are_superseded_unless_granted(table: PromotionTable) -> None:
    for automation in ("waiting", "just-ended", "granted", "rejected", "gone"):
        requested(table, automation)
    requested(table, "newer", "2026-02-01T00:00:00Z")
    requested(table, "newest", "2026-03-01T00:00:00Z")
    automations = dict.fromkeys(("waiting", "just-ended", "newer", "newest"), ("Waiting", "Waiting"))
    ssm = SystemsManager(**automations, granted=("InProgress", "Success"), rejected=("Failed", "Failed"))

    found = approval_requests.supersede_older(table, ssm, "reviews-qa")

    assert [request.automation for request in found] == ssm.stopped == ["just-ended", "newer", "waiting"]
    # The watch records which of the others have ended, after it has made sure that their ends were heard.
    still_open = [request.automation for _, request in approval_requests.open_requests(table)]
    assert still_open == ["gone", "granted", "newest", "rejected"]
    superseded_by = {
        automation: approval_requests.superseded_by(table, "reviews-qa", automation, automation)
        for automation in ("waiting", "newer", "newest", "rejected")
    }
    assert superseded_by == {"waiting": "of-newest", "newer": "of-newest", "newest": "", "rejected": ""}
    assert approval_requests.superseded_by(table, "reviews-qa", "waiting", "requested-before") == ""


def test_a_request_stays_open_until_it_was_canceled(table: PromotionTable) -> None:
    requested(table, "older")
    requested(table, "newer", "2026-02-01T00:00:00Z")
    ssm = SystemsManager(older=("Waiting", "Waiting"), newer=("Waiting", "Waiting"))
    ssm.failing = True

    with pytest.raises(ClientError, match="ThrottlingException"):
        approval_requests.supersede_older(table, ssm, "reviews-qa")

    assert [request.automation for _, request in approval_requests.open_requests(table)] == ["newer", "older"]
    # The next start, of any candidate, repeats the cancellation.
    ssm.failing = False
    assert approval_requests.supersede_older(table, ssm, "reviews-qa") == [ApprovalRequest(FIRST, "older")]
    assert ssm.stopped == ["older"]


def test_a_candidate_waits_until_its_approval_is_granted(table: PromotionTable) -> None:
    ssm = SystemsManager(waiting=("Waiting", "Waiting"), granted=("InProgress", "Success"))

    now = NOON + datetime.timedelta(hours=1)
    found = {name: approval.find(ssm, name) for name in ("waiting", "granted")}

    assert {name: approval_requests.waiting_seconds(each or {}, now) for name, each in found.items()} == {
        "waiting": 3600,
        "granted": None,
    }
