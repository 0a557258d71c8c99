import json
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from promotion.errors import InvalidRequestError
from promotion.history.approval import OPEN, Decision, decision, find, granted, is_given, read
from promotion.source.request import Promote
from tests.support.s3_faults import client_error

IDENTIFIER = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
RUNBOOK = "model-promotion-production"
DIGEST = "ab" * 32
OPERATOR = "arn:aws:iam::333333333333:user/operator"
ASKED = Promote("model", "reviews-qa-1", application="reviews", approval=IDENTIFIER, digest=DIGEST)
STATUSES = botocore.session.get_session().get_service_model("ssm").shape_for("AutomationExecutionStatus").enum


def automation(**changes: Any) -> dict[str, Any]:
    """GetAutomationExecution's answer while the runbook starts what was approved."""
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


def refusal(execution: dict[str, Any], asked: Promote = ASKED) -> str:
    with pytest.raises(InvalidRequestError) as error:
        granted(execution, RUNBOOK, asked)
    assert f"The approval {IDENTIFIER}" in str(error.value)
    return str(error.value)


def test_an_approval_says_who_let_the_candidate_in_and_what_they_wrote() -> None:
    assert granted(automation(), RUNBOOK, ASKED) == Decision(by=OPERATOR, comment="looks good")


def test_an_approval_of_the_tagged_application_needs_none_in_the_input() -> None:
    granted(automation(), RUNBOOK, Promote("model", "reviews-qa-1", approval=IDENTIFIER, digest=DIGEST))


@pytest.mark.parametrize("runbook", ["model-promotion-qa", "AWS-RestartEC2Instance", "model-promotion-production2"])
def test_an_approval_of_another_runbook_counts_for_nothing(runbook: str) -> None:
    message = refusal(automation(DocumentName=runbook))

    assert f"is of the runbook {runbook}, not {RUNBOOK}" in message


@pytest.mark.parametrize("status", sorted(set(STATUSES) - {"InProgress"}))
def test_an_approval_counts_while_its_runbook_runs_and_once(status: str) -> None:
    message = refusal(automation(AutomationExecutionStatus=status))

    assert f"is {status}; an approval counts while its runbook runs and once" in message
    assert "Ask for a new one by starting the promotion again" in message


@pytest.mark.parametrize("status", ["Waiting", "Pending", "InProgress", "Failed", "Cancelled", "TimedOut", "Approved"])
def test_an_approval_that_was_not_given_is_none(status: str) -> None:
    message = refusal(automation(StepExecutions=[approve_step(status)]))

    assert f"was not given: it is {status}" in message


@pytest.mark.parametrize("steps", [{"StepExecutions": []}, {"StepExecutions": [{"StepName": "Promote"}]}])
def test_a_runbook_without_the_approval_step_lets_nothing_in(steps: dict[str, Any]) -> None:
    assert "was not given" in refusal(automation(**steps))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (parameters(SourceKind=["training_job"]), "is for SourceKind training_job, not model"),
        (parameters(SourceName=["reviews-qa-2"]), "is for SourceName reviews-qa-2, not reviews-qa-1"),
        (parameters(Digest=["cd" * 32]), f"is for Digest {'cd' * 32}, not {DIGEST}"),
        (parameters(Digest=[]), f"is for Digest None, not {DIGEST}"),
        (parameters(Application=["other"]), "is for the application other"),
        ({"Parameters": {}}, "is for SourceKind None, not model"),
    ],
)
def test_an_approval_lets_in_nothing_else_than_what_was_approved(changes: dict[str, Any], what: str) -> None:
    assert what in refusal(automation(**changes))


def test_an_approval_without_the_digest_it_is_bound_to_is_refused() -> None:
    assert "Digest" in refusal(automation(), Promote("model", "reviews-qa-1", approval=IDENTIFIER))


@pytest.mark.parametrize(
    ("status", "given"), [("Success", True), ("Waiting", False), ("Failed", False), ("TimedOut", False)]
)
def test_an_approval_is_given_when_its_step_succeeded_whatever_came_of_it(status: str, given: bool) -> None:
    assert is_given(automation(AutomationExecutionStatus="Failed", StepExecutions=[approve_step(status)])) is given


def test_an_execution_without_steps_gave_no_approval() -> None:
    assert not is_given({})


@pytest.mark.parametrize(
    ("decisions", "said"),
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
def test_a_decision_is_read_whatever_it_looks_like(decisions: list[Any], said: Decision) -> None:
    assert decision(automation(StepExecutions=[approve_step("Success", *decisions)])) == said


def test_an_endless_comment_is_cut() -> None:
    told = decision(automation(StepExecutions=[approve_step("Success", {"Approver": "a", "Comment": "x" * 10**6})]))

    assert len(told.comment) == 1000


def test_an_endless_name_of_an_approver_is_cut() -> None:
    told = decision(automation(StepExecutions=[approve_step("Success", {"Approver": "a" * 10**6}, "[" * 10**5)]))

    assert len(told.by) == 1000


def test_a_step_without_outputs_has_no_decision() -> None:
    assert decision({"StepExecutions": [{"StepName": "Approve", "StepStatus": "TimedOut"}]}) == Decision("", "")


def test_every_status_in_which_an_approval_is_still_open_is_one_of_systems_managers() -> None:
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
def test_an_approval_that_has_ended_is_not_open(status: str) -> None:
    assert status in STATUSES
    assert status not in OPEN


class SystemsManager:
    def __init__(self, answer: dict[str, Any] | ClientError) -> None:
        self.answer = answer

    def get_automation_execution(self, AutomationExecutionId: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        if isinstance(self.answer, ClientError):
            raise self.answer
        return {"AutomationExecution": {"AutomationExecutionId": AutomationExecutionId} | self.answer}


def test_an_approval_is_found_while_systems_manager_knows_it() -> None:
    waiting = automation(AutomationExecutionStatus="Waiting")

    gone = SystemsManager(client_error("AutomationExecutionNotFoundException"))

    assert find(SystemsManager(waiting), IDENTIFIER) == {"AutomationExecutionId": IDENTIFIER} | waiting
    assert find(gone, IDENTIFIER) is None
    assert read(SystemsManager(waiting), IDENTIFIER) == find(SystemsManager(waiting), IDENTIFIER)
    with pytest.raises(InvalidRequestError, match=f"There is no approval {IDENTIFIER}"):
        read(gone, IDENTIFIER)


def test_an_approval_that_may_not_be_seen_is_not_taken_for_one_that_is_gone() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        read(SystemsManager(client_error("AccessDeniedException")), IDENTIFIER)
