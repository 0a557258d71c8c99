from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.history import starter
from tests.support.s3_faults import client_error

IDENTIFIER = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
PERSON = "arn:aws:sts::333333333333:assumed-role/operators/ann"


class SystemsManager:
    """Systems Manager with one Automation execution, or with none."""

    def __init__(self, runbook: str | None, status: str = "InProgress") -> None:
        self._runbook = runbook
        self._status = status

    def get_automation_execution(self, AutomationExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if self._runbook is None:
            raise client_error("AutomationExecutionNotFoundException")
        execution = {"AutomationExecutionId": AutomationExecutionId, "ExecutedBy": PERSON}
        execution |= {"DocumentName": self._runbook, "AutomationExecutionStatus": self._status}
        return {"AutomationExecution": execution}


def test_the_person_who_started_a_runbook_is_named() -> None:
    assert starter.read(SystemsManager("model-promotion-qa-promote"), "qa", IDENTIFIER) == PERSON


@pytest.mark.parametrize(
    "ssm",
    [
        SystemsManager(None),
        SystemsManager("model-promotion-qa-promote", "Success"),
        SystemsManager("model-promotion-qa"),  # that of approvals, which operators do not start
        SystemsManager("model-promotion-production-promote"),
        SystemsManager("somebody-elses"),
    ],
)
def test_only_a_running_execution_of_a_runbook_of_the_stage_names_a_person(ssm: SystemsManager) -> None:
    with pytest.raises(InvalidRequestError, match="Leave out this key"):
        starter.read(ssm, "qa", IDENTIFIER)
