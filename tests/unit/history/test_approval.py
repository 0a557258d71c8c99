import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from promotion.errors import InvalidRequestError
from promotion.history.approval import (
    OPEN,
    Decision,
    Policy,
    assert_admitted,
    decision,
    find,
    granted_decision,
    is_granted,
    read,
)
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from tests.support.promotion_table import FIRST, SECOND
from tests.support.s3_faults import client_error

ROOT = Path(__file__).parents[3]
IDENTIFIER = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
RUNBOOK = "model-promotion-production"
DIGEST = "ab" * 32
DEPLOYMENT_DIGEST = "cd" * 32
OPERATOR = "arn:aws:iam::333333333333:user/team/operator"
ROLE = "arn:aws:iam::333333333333:role/team/approvers"
SESSION = "arn:aws:sts::333333333333:assumed-role/approvers/ann"
OTHER_SESSION = "arn:aws:sts::333333333333:assumed-role/approvers/bob"
REQUESTER = "model-promotion-production-RequestApprovalFunctionRole-1A2B"
STARTED_BY = f"arn:aws:sts::333333333333:assumed-role/{REQUESTER}/RequestApprovalFunction"
# The forms on docs/deploying.md: a role of IAM Identity Center, and the session of a person.
IDENTITY_CENTER = re.findall(r"`(arn:\S+AWSReservedSSO_\S+)`", (ROOT / "docs/deploying.md").read_text())
ANN = "arn:aws:sts::333333333333:assumed-role/AWSReservedSSO_ModelApprovers_0123456789abcdef/ann@example.com"
POLICY = Policy(required=True, runbook=RUNBOOK, approvers=(OPERATOR,), minimum=1, requester=REQUESTER, seconds=60)
EXPECTED: dict[str, str | None] = {
    "Application": "reviews",
    "SourceKind": "model",
    "SourceName": "reviews-qa-1",
    "Digest": DIGEST,
}
STATUSES = botocore.session.get_session().get_service_model("ssm").shape_for("AutomationExecutionStatus").enum


def automation(**changes: Any) -> dict[str, Any]:
    """Return the AutomationExecution of an approval whose runbook is starting the promotion."""
    return {
        "AutomationExecutionId": IDENTIFIER,
        "DocumentName": RUNBOOK,
        "AutomationExecutionStatus": "InProgress",
        "ExecutedBy": STARTED_BY,
        "Parameters": {
            "Application": ["reviews"],
            "SourceKind": ["model"],
            "SourceName": ["reviews-qa-1"],
            "Digest": [DIGEST],
            "DeploymentDigest": [DEPLOYMENT_DIGEST],
        },
        "StepExecutions": [
            {"StepName": "Promote", "StepStatus": "InProgress"},
            approve_step("Success", approved_by(OPERATOR, Comment="looks good")),
        ],
        **changes,
    }


def approved_by(approver: str, **changes: str) -> dict[str, str]:
    return {"Approver": approver, "Decision": "Approve", "Comment": "", **changes}


def approve_step(status: str, *decisions: Any, policy: Policy = POLICY, **changes: Any) -> dict[str, Any]:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in decisions]
    return {
        "StepName": "Approve",
        "StepStatus": status,
        "Action": "aws:approve",
        "Inputs": {"Approvers": json.dumps(policy.approvers), "MinRequiredApprovals": f'"{policy.minimum}"'},
        "Outputs": {"ApproverDecisions": texts},
        **changes,
    }


def parameters(**changes: list[str]) -> dict[str, Any]:
    return {"Parameters": {**automation()["Parameters"], **changes}}


def granted(*decisions: Any, policy: Policy = POLICY, **changes: Any) -> Decision:
    """Return the decision of an approval that was granted with these decisions, or raise."""
    step = approve_step("Success", *decisions, policy=policy, **changes)
    return granted_decision(automation(StepExecutions=[step]), policy, EXPECTED)


def refusal(execution: dict[str, Any], policy: Policy = POLICY, **expected: str | None) -> str:
    with pytest.raises(InvalidRequestError) as error:
        granted_decision(execution, policy, EXPECTED | expected)
    assert f"The approval {IDENTIFIER}" in str(error.value)
    return str(error.value)


def test_a_granted_approval_has_the_approver_the_comment_and_the_deployment() -> None:
    decision = granted_decision(automation(), POLICY, EXPECTED)

    assert decision == Decision(by=OPERATOR, comment="looks good", deployment_digest=DEPLOYMENT_DIGEST)


@pytest.mark.parametrize("starter", [OPERATOR, STARTED_BY.replace(REQUESTER, f"{REQUESTER}2"), SESSION, ""])
def test_an_approval_that_another_principal_requested_is_refused(starter: str) -> None:
    message = refusal(automation(ExecutedBy=starter))

    assert f"it was started by {starter or 'nobody'}, not by the role {REQUESTER}" in message
    assert "start the promotion again without an approval" in message


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"Action": "aws:sleep"}, "its step Approve has the action aws:sleep, not aws:approve"),
        ({"Inputs": {}}, "its Approvers are null, not"),
        (
            {"Inputs": {"Approvers": '["me"]', "MinRequiredApprovals": "1"}},
            f'its Approvers are ["me"], not ["{OPERATOR}"]',
        ),
        (
            {"Inputs": {"Approvers": json.dumps([OPERATOR, "me"]), "MinRequiredApprovals": "1"}},
            f'its Approvers are ["{OPERATOR}", "me"], not ["{OPERATOR}"]',
        ),
        ({"Inputs": {"Approvers": "not json"}}, "its Approvers are null, not"),
        (
            {"Inputs": {"Approvers": json.dumps([OPERATOR]), "MinRequiredApprovals": "0"}},
            "its MinRequiredApprovals is 0, not 1",
        ),
    ],
)
def test_an_approval_of_a_changed_runbook_is_refused(changes: dict[str, Any], difference: str) -> None:
    step = approve_step("Success", approved_by(OPERATOR), **changes)

    message = refusal(automation(StepExecutions=[step]))

    assert f"was not granted as this stage is deployed: {difference}" in message
    assert f"Find out who changed or started the runbook {RUNBOOK}" in message


@pytest.mark.parametrize(
    ("decisions", "difference"),
    [
        ([], "it was approved by nobody, not by 1 of"),
        ([approved_by("arn:aws:iam::333333333333:user/stranger")], "user/stranger, not by 1 of"),
        ([approved_by(OPERATOR, Decision="Reject")], f"the decision of {OPERATOR} is Reject, not Approve"),
        ([{"Approver": OPERATOR}], f"the decision of {OPERATOR} is unknown, not Approve"),
        (["not json"], "the decision of not json is unknown, not Approve"),
        ([approved_by(OPERATOR), approved_by(SESSION, Decision="Reject")], "is Reject, not Approve"),
    ],
)
def test_an_approval_requires_the_decisions_of_its_approvers(decisions: list[Any], difference: str) -> None:
    message = refusal(automation(StepExecutions=[approve_step("Success", *decisions)]))

    assert difference in message


@pytest.mark.parametrize(
    ("approvers", "approver"),
    [
        ((OPERATOR,), OPERATOR),
        (("operator",), OPERATOR),
        ((ROLE,), SESSION),
        ((SESSION,), SESSION),
        (("someone", ROLE), SESSION),
        *(((entry,), ANN) for entry in IDENTITY_CENTER),
    ],
)
def test_an_approver_can_be_a_user_a_role_or_a_session(approvers: tuple[str, ...], approver: str) -> None:
    policy = dataclasses.replace(POLICY, approvers=approvers)

    assert granted(approved_by(approver), policy=policy).by == approver


def test_the_documented_approvers_are_a_role_and_a_person() -> None:
    assert len(IDENTITY_CENTER) == 2


@pytest.mark.parametrize(
    ("approvers", "approver"),
    [
        (("operator",), "arn:aws:iam::333333333333:user/other/not-operator"),
        (("approvers",), SESSION),
        (("ann",), SESSION),
        ((ROLE,), SESSION.replace("333333333333", "444444444444")),
        ((ROLE,), SESSION.replace("/approvers/", "/approvers-2/")),
        ((SESSION,), OTHER_SESSION),
    ],
)
def test_nobody_else_is_an_approver(approvers: tuple[str, ...], approver: str) -> None:
    policy = dataclasses.replace(POLICY, approvers=approvers)
    step = approve_step("Success", approved_by(approver), policy=policy)

    assert f"it was approved by {approver}, not by" in refusal(automation(StepExecutions=[step]), policy)


@pytest.mark.parametrize(
    "decisions",
    [
        [approved_by(OPERATOR)],
        [approved_by(OPERATOR), approved_by(OPERATOR)],
        [approved_by(SESSION), approved_by(OTHER_SESSION)],
        [approved_by(OPERATOR), approved_by("arn:aws:iam::333333333333:user/stranger")],
    ],
)
def test_two_approvals_require_two_approvers(decisions: list[Any]) -> None:
    policy = dataclasses.replace(POLICY, approvers=(OPERATOR, "operator", ROLE), minimum=2)
    step = approve_step("Success", *decisions, policy=policy)

    assert "not by 2 of" in refusal(automation(StepExecutions=[step]), policy)
    assert granted(approved_by(OPERATOR), approved_by(SESSION), policy=policy).by == f"{OPERATOR}, {SESSION}"


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
        (parameters(Application=["other"]), "is for the Application other, not reviews"),
        ({"Parameters": {}}, "is for the Application None, not reviews"),
    ],
)
def test_an_approval_of_another_candidate_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(automation(**changes))


def test_an_approval_is_refused_without_a_digest_in_the_request() -> None:
    assert "Digest" in refusal(automation(), Digest=None)


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
        ([], Decision()),
        ([{"Approver": OPERATOR, "Comment": ""}], Decision(by=OPERATOR)),
        ([{"Approver": OPERATOR}], Decision(by=OPERATOR)),
        (
            [{"Approver": "a", "Comment": "yes"}, {"Approver": "b", "Comment": "too"}],
            Decision(by="a, b", comment="yes; too"),
        ),
        ([[{"Approver": "a", "Comment": "yes"}, {"Approver": "b"}]], Decision(by="a, b", comment="yes")),
        (["not json"], Decision(by="not json")),
        ([{"Who": "a"}], Decision(by='{"Who": "a"}')),
        (['"a"'], Decision(by="a")),
        (["7"], Decision(by="7")),
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
    assert decision({"StepExecutions": [{"StepName": "Approve", "StepStatus": "TimedOut"}]}) == Decision()


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


RECORD: PromotionRecord = {
    "application": "reviews",
    "source_kind": "model",
    "source_name": "reviews-qa-1",
    "digest": DIGEST,
    "deployment_digest": DEPLOYMENT_DIGEST,
    "stage": "production",
    "approval": IDENTIFIER,
}


def test_an_approval_is_used_by_one_execution(table: PromotionTable) -> None:
    ssm = SystemsManager(automation())

    for _ in range(2):
        assert_admitted(ssm, table, POLICY, FIRST, RECORD)

    with pytest.raises(InvalidRequestError, match=f"The approval {IDENTIFIER} was already used by another execution"):
        assert_admitted(ssm, table, POLICY, SECOND, RECORD)


@pytest.mark.parametrize(
    ("execution", "record", "message"),
    [
        ({"AutomationExecutionStatus": "Success"}, {}, "has the status Success"),
        ({"ExecutedBy": OPERATOR}, {}, "was started by"),
        ({}, {"application": "other"}, "for the Application reviews, not other"),
        ({}, {"digest": "ef" * 32}, "for the Digest"),
        ({}, {"deployment_digest": "ef" * 32}, "for the DeploymentDigest"),
        ({}, {"approval": ""}, "The stage production requires an approval, but this promotion has none"),
    ],
)
def test_an_approval_is_checked_again_before_the_endpoint_is_updated(
    table: PromotionTable, execution: dict[str, Any], record: PromotionRecord, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        assert_admitted(SystemsManager(automation(**execution)), table, POLICY, FIRST, RECORD | record)

    assert table.get("used-approval", IDENTIFIER) is None
