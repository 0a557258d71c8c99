from typing import Any

import pytest

from promotion.history.rejection import resolve
from promotion.history.table import PromotionTable
from promotion.source.request import PublishRejection
from tests.support import promotion_table
from tests.support.promotion_table import FIRST, PROMOTION

IDENTIFIER = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
RUNBOOK = "model-promotion-qa"
OPERATOR = "arn:aws:iam::222222222222:user/operator"


class SystemsManager:
    def __init__(self, step: str, decision: str = "", runbook: str = RUNBOOK, status: str = "Failed") -> None:
        outputs = {"ApproverDecisions": [decision]} if decision else {}
        self.execution = {
            "DocumentName": runbook,
            "AutomationExecutionStatus": status,
            "FailureMessage": "No role.",
            "Parameters": {
                "Application": ["reviews"],
                "SourceKind": ["model"],
                "SourceName": ["reviews-1"],
                "Digest": [PROMOTION["digest"]],
            },
            "StepExecutions": [{"StepName": "Approve", "StepStatus": step, "Outputs": outputs}],
        }

    def get_automation_execution(self, AutomationExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"AutomationExecution": {"AutomationExecutionId": AutomationExecutionId} | self.execution}


def resolved(table: PromotionTable, ssm: SystemsManager) -> dict[str, Any]:
    return resolve(table, ssm, PublishRejection(IDENTIFIER), runbook=RUNBOOK, stage="qa", execution=FIRST)


@pytest.mark.parametrize(
    ("status", "decision", "reason"),
    [
        ("TimedOut", "", "The approval timed out before anyone decided."),
        ("Cancelled", "", "The approval request was canceled."),
        ("Rejected", "", "Rejected by an approver."),
        (
            "Failed",
            "",
            "The approval runbook ended with the status Failed before the candidate was approved or rejected. No role.",
        ),
        # One of two approvers had approved when the automation failed.
        (
            "Failed",
            f'{{"Approver": "{OPERATOR}", "Decision": "Approve"}}',
            "The approval runbook ended with the status Failed before the candidate was approved or rejected. No role.",
        ),
        ("Failed", f'{{"Approver": "{OPERATOR}"}}', f"Rejected by {OPERATOR}."),
        (
            "Failed",
            f'{{"Approver": "{OPERATOR}", "Comment": "too slow"}}',
            f"Rejected by {OPERATOR}. Comment: too slow",
        ),
    ],
)
def test_a_rejection_has_the_reason_that_the_approval_ended(
    table: PromotionTable, status: str, decision: str, reason: str
) -> None:
    found = resolved(table, SystemsManager("Failed", decision, status=status))

    assert (found["outcome"], found["reason"]) == ("rejected", reason)
    assert found["promotion"] | {"source_name": "reviews-1", "endpoint": "reviews-qa"} == found["promotion"]


def test_a_superseded_request_names_the_newer_candidate(table: PromotionTable) -> None:
    key = f"{PROMOTION['endpoint']}#{PROMOTION['digest']}"
    promotion_table.put("approval", key, execution=FIRST, automation=IDENTIFIER, superseded_by="reviews-2")

    found = resolved(table, SystemsManager("Cancelled", status="Cancelled"))

    assert "the newer candidate reviews-2 superseded this one" in found["reason"]


@pytest.mark.parametrize("ssm", [SystemsManager("Success"), SystemsManager("Failed", runbook="another")])
def test_an_approval_that_was_granted_or_is_of_another_runbook_is_not_a_rejection(
    table: PromotionTable, ssm: SystemsManager
) -> None:
    found = resolved(table, ssm)

    assert found == {
        "outcome": "not_for_promotion",
        "reason": f"The approval {IDENTIFIER} was granted, or is not an execution of the runbook {RUNBOOK}.",
    }
