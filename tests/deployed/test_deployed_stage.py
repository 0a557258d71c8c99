"""The stage that is deployed does what the embedded AWS shows; nothing that runs here changes an endpoint."""

import json
import time
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def ended(stepfunctions: Any, outputs: dict[str, str], given: Any) -> dict[str, Any]:
    arn = stepfunctions.start_execution(stateMachineArn=outputs["StateMachineArn"], input=json.dumps(given))[
        "executionArn"
    ]
    for _ in range(60):
        found = stepfunctions.describe_execution(executionArn=arn)
        if found["status"] != "RUNNING":
            return dict(found)
        time.sleep(2)
    raise AssertionError(f"{arn} is still running")


def test_an_input_that_names_no_source_is_refused(stepfunctions: Any, outputs: dict[str, str]) -> None:
    execution = ended(stepfunctions, outputs, {})

    assert execution["status"] == "FAILED"
    assert execution["error"] == "InvalidInputError"


def test_a_job_that_does_not_exist_is_refused_by_the_upstream_account(
    stepfunctions: Any, outputs: dict[str, str]
) -> None:
    execution = ended(stepfunctions, outputs, {"training_job": "there-is-no-such-job"})

    assert execution["error"] == "InvalidInputError"
    assert "The training job there-is-no-such-job does not exist" in execution["cause"]


def test_there_is_nothing_to_recover(stepfunctions: Any, outputs: dict[str, str]) -> None:
    execution = ended(stepfunctions, outputs, {"recover": "there-is-no-such-endpoint"})

    assert json.loads(execution["output"])["outcome"] == "nothing_to_recover"
