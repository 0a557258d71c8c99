import json
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from promotion.errors import InvalidRequestError
from promotion.history.approval import OPEN, Decision, decision, find, granted_decision, is_granted, read
from promotion.source.request import Promote
from tests.support.s3_faults import client_error

IDENTIFIER = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
RUNBOOK = "model-promotion-production"
DIGEST = "ab" * 32
OPERATOR = "arn:aws:iam::333333333333:user/operator"
REQUEST = Promote("model", "reviews-qa-1", application="reviews", approval=IDENTIFIER, digest=DIGEST)
STATUSES = botocore.session.get_session().get_service_model("ssm").shape_for("AutomationExecutionStatus").enum


def automation(**changes: Any) -> dict[str, Any]:
    """Return the AutomationExecution of an approval whose runbook is starting the promotion."""
    return {
        "AutomationExecutionId": IDENTIFIER,
        "DocumentName": RUNBOOK,
        "AutomationExecutionStatus": "InProgress",
        "Parameters": {
            "Application": ["reviews"],
            "SourceKind": ["model"],
            "SourceName": ["reviews-qa-1"],
            "Digest": [DIGEST],
        },
        "StepExecutions": [
            {"StepName": "Promote", "StepStatus": "InProgress"},
            approve_step("Success", {"Approver": OPERATOR, "Comment": "looks good"}),
        ],
        **changes,
    }


def approve_step(status: str, *decisions: Any) -> dict[str, Any]:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in decisions]
    return {"StepName": "Approve", "StepStatus": status, "Outputs": {"ApproverDecisions": texts}}


def parameters(**changes: list[str]) -> dict[str, Any]:
    return {"Parameters": {**automation()["Parameters"], **changes}}


def refusal(execution: dict[str, Any], request: Promote = REQUEST) -> str:
    with pytest.raises(InvalidRequestError) as error:
        granted_decision(execution, RUNBOOK, request)
    assert f"The approval {IDENTIFIER}" in str(error.value)
    return str(error.value)


def test_a_granted_approval_has_the_approver_and_the_comment() -> None:
    assert granted_decision(automation(), RUNBOOK, REQUEST) == Decision(by=OPERATOR, comment="looks good")


def test_the_application_may_be_missing_from_the_request() -> None:
    granted_decision(automation(), RUNBOOK, Promote("model", "reviews-qa-1", approval=IDENTIFIER, digest=DIGEST))


@pytest.mark.parametrize("runbook", ["model-promotion-qa", "AWS-RestartEC2Instance", "model-promotion-production2"])
def test_an_approval_of_another_runbook_is_refused(runbook: str) -> None:
    message = refusal(automation(DocumentName=runbook))

    assert f"is an execution of the runbook {runbook}, not of {RUNBOOK}" in message


@pytest.mark.parametrize("status", sorted(set(STATUSES) - {"InProgress"}))
def test_an_approval_is_valid_only_while_its_runbook_is_running(status: str) -> None:
    message = refusal(automation(AutomationExecutionStatus=status))

    assert f"has the status {status}" in message
    assert "start the promotion again without an approval" in message


@pytest.mark.parametrize("status", ["Waiting", "Pending", "InProgress", "Failed", "Cancelled", "TimedOut", "Approved"])
def test_an_approval_that_was_not_granted_is_refused(status: str) -> None:
    message = refusal(automation(StepExecutions=[approve_step(status)]))

    assert f"was not granted: its step Approve has the status {status}" in message


@pytest.mark.parametrize("steps", [{"StepExecutions": []}, {"StepExecutions": [{"StepName": "Promote"}]}])
def test_a_runbook_without_the_approval_step_is_refused(steps: dict[str, Any]) -> None:
    assert "was not granted" in refusal(automation(**steps))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (parameters(SourceKind=["training_job"]), "is for the SourceKind training_job, not model"),
        (parameters(SourceName=["reviews-qa-2"]), "is for the SourceName reviews-qa-2, not reviews-qa-1"),
        (parameters(Digest=["cd" * 32]), f"is for the Digest {'cd' * 32}, not {DIGEST}"),
        (parameters(Digest=[]), f"is for the Digest None, not {DIGEST}"),
        (parameters(Application=["other"]), "is for the application other, not reviews"),
        ({"Parameters": {}}, "is for the SourceKind None, not model"),
    ],
)
def test_an_approval_of_another_candidate_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(automation(**changes))


def test_an_approval_is_refused_without_a_digest_in_the_request() -> None:
    assert "Digest" in refusal(automation(), Promote("model", "reviews-qa-1", approval=IDENTIFIER))


@pytest.mark.parametrize(
    ("status", "is_given"), [("Success", True), ("Waiting", False), ("Failed", False), ("TimedOut", False)]
)
def test_an_approval_is_granted_if_its_step_succeeded_even_if_the_promotion_failed(status: str, is_given: bool) -> None:
    assert is_granted(automation(AutomationExecutionStatus="Failed", StepExecutions=[approve_step(status)])) is is_given


def test_an_execution_without_steps_is_not_granted() -> None:
    assert not is_granted({})


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([], Decision(by="", comment="")),
        ([{"Approver": OPERATOR, "Comment": ""}], Decision(by=OPERATOR, comment="")),
        ([{"Approver": OPERATOR}], Decision(by=OPERATOR, comment="")),
        (
            [{"Approver": "a", "Comment": "yes"}, {"Approver": "b", "Comment": "too"}],
            Decision(by="a, b", comment="yes; too"),
        ),
        ([[{"approver": "a", "comment": "yes"}, {"approver": "b"}]], Decision(by="a, b", comment="yes")),
        (["not json"], Decision(by="not json", comment="")),
        ([{"Who": "a"}], Decision(by='{"Who": "a"}', comment="")),
        (['"a"'], Decision(by="a", comment="")),
        (["7"], Decision(by="7", comment="")),
        ([{"Approver": {"Arn": "a"}, "Comment": 7}], Decision(by='{"Arn": "a"}', comment="7")),
    ],
)
def test_a_decision_in_any_format_is_read(decisions: list[Any], expected: Decision) -> None:
    assert decision(automation(StepExecutions=[approve_step("Success", *decisions)])) == expected


def test_a_long_comment_is_truncated() -> None:
    result = decision(automation(StepExecutions=[approve_step("Success", {"Approver": "a", "Comment": "x" * 10**6})]))

    assert len(result.comment) == 1000


def test_a_long_approver_is_truncated() -> None:
    result = decision(automation(StepExecutions=[approve_step("Success", {"Approver": "a" * 10**6}, "[" * 10**5)]))

    assert len(result.by) == 1000


def test_a_step_without_outputs_has_no_decision() -> None:
    assert decision({"StepExecutions": [{"StepName": "Approve", "StepStatus": "TimedOut"}]}) == Decision("", "")


def test_the_statuses_of_open_approvals_are_statuses_of_systems_manager() -> None:
    assert set(STATUSES) > OPEN


@pytest.mark.parametrize(
    "status",
    [
        "Success",
        "TimedOut",
        "Cancelled",
        "Failed",
        "Rejected",
        "CompletedWithSuccess",
        "CompletedWithFailure",
        "Exited",
    ],
)
def test_a_final_status_is_not_open(status: str) -> None:
    assert status in STATUSES
    assert status not in OPEN


class SystemsManager:
    def __init__(self, answer: dict[str, Any] | ClientError) -> None:
        self.answer = answer

    def get_automation_execution(self, AutomationExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if isinstance(self.answer, ClientError):
            raise self.answer
        return {"AutomationExecution": {"AutomationExecutionId": AutomationExecutionId} | self.answer}


def test_an_approval_that_does_not_exist_is_not_found() -> None:
    waiting = automation(AutomationExecutionStatus="Waiting")

    missing = SystemsManager(client_error("AutomationExecutionNotFoundException"))

    assert find(SystemsManager(waiting), IDENTIFIER) == {"AutomationExecutionId": IDENTIFIER} | waiting
    assert find(missing, IDENTIFIER) is None
    assert read(SystemsManager(waiting), IDENTIFIER) == find(SystemsManager(waiting), IDENTIFIER)
    with pytest.raises(InvalidRequestError, match=f"There is no approval {IDENTIFIER}"):
        read(missing, IDENTIFIER)


def test_a_denied_request_for_an_approval_is_raised() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        read(SystemsManager(client_error("AccessDeniedException")), IDENTIFIER)
