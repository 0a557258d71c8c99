"""An approval counts only if it was requested, granted and used as the stage is deployed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.approvals import automation_ended, signal, waiting_approval
from tests.support.settings import register
from tests.support.steps import failure, payload
from tests.support.waiting import wait_until
from tests.support.world import Execution, Lab, Stage

RUNBOOK = "model-promotion-production"


@contextlib.contextmanager
def changed_runbook(production: Stage, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Make a changed version of the approval runbook the default one for a while."""
    ssm = production.client("ssm")
    deployed = ssm.describe_document(Name=RUNBOOK)["Document"]["DefaultVersion"]
    content = json.loads(ssm.get_document(Name=RUNBOOK, DocumentFormat="JSON")["Content"])
    change(content)
    updated = ssm.update_document(Name=RUNBOOK, Content=json.dumps(content), DocumentVersion="$LATEST")
    version = updated["DocumentDescription"]["DocumentVersion"]
    ssm.update_document_default_version(Name=RUNBOOK, DocumentVersion=version)
    try:
        yield
    finally:
        ssm.update_document_default_version(Name=RUNBOOK, DocumentVersion=deployed)


def approve_step(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["mainSteps"][0]
    assert found["name"] == "Approve"
    return found


def sleep(content: dict[str, Any]) -> None:
    approve_step(content).update(action="aws:sleep", inputs={"Duration": "PT1S"})


def one_more_approver(content: dict[str, Any]) -> None:
    approve_step(content)["inputs"]["Approvers"].append("somebody")


def assert_refused(execution: Execution, production: Stage, application: str, message: str) -> None:
    assert execution.error == "InvalidRequestError"
    assert "was not granted as this stage is deployed" in (execution.cause or "")
    assert message in (execution.cause or "")
    assert production.endpoint(application) is None
    assert production.live(application) is None


def is_waiting(production: Stage, automation: str) -> bool | None:
    found = production.client("ssm").get_automation_execution(AutomationExecutionId=automation)["AutomationExecution"]
    return found["AutomationExecutionStatus"] == "Waiting" or None


def test_an_approval_without_an_approval_step_is_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    with changed_runbook(production, sleep):
        model = qa.execution_of(lab.train(application, "good")).output["model_name"]
        promotion = production.execution_of(model, number=1)

    assert_refused(promotion, production, application, "its step Approve has the action aws:sleep, not aws:approve")


def test_an_approval_with_other_approvers_is_refused(lab: Lab, qa: Stage, production: Stage, application: str) -> None:
    with changed_runbook(production, one_more_approver):
        qa.execution_of(lab.train(application, "good"))
        waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Approve", "fine")

    promotion = production.execution_of(waiting)

    assert_refused(promotion, production, application, '"somebody"]')


def test_an_approval_that_was_started_manually_is_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    requested = waiting_approval(production, application)
    started = production.client("ssm").start_automation_execution(
        DocumentName=RUNBOOK, Parameters=requested["Parameters"]
    )["AutomationExecutionId"]
    wait_until(lambda: is_waiting(production, started), f"the approval {started} to wait")
    signal(production, started, "Approve", "fine")

    promotion = production.execution_of(started)

    assert_refused(promotion, production, application, "user/operator, not by the role")
    assert automation_ended(production, started) == "Failed"


def test_an_approval_for_one_application_does_not_admit_another(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    record = qa.execution_of(lab.train(application, "good")).output
    other, started = f"{application}-b", list[str]()
    register(production, other)
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    arn = qa.client("sagemaker").describe_model(ModelName=record["model_name"])["ModelArn"]
    qa.client("sagemaker").add_tags(ResourceArn=arn, Tags=[{"Key": "model-promotion:application", "Value": other}])
    given = {"model": record["model_name"], "digest": record["model_digest"], "approval": waiting}

    def start_another(execution: Any, state: str) -> None:
        if state == "Update endpoint" and waiting in execution.execution_input and not started:
            started.extend(production.start(more) for more in (given, given | {"application": other}))

    with step_functions.watched(start_another):
        signal(production, waiting, "Approve", "fine")
        approved = production.execution_of(waiting)
    same, another = (production.ended(arn) for arn in started)

    assert approved.status == "SUCCEEDED", approved.cause
    assert another.error == "InvalidRequestError"
    assert f"is for the Application {application}, not {other}" in (another.cause or "")
    # The tag is not believed, so it is for the approved application, whose approval was used.
    assert "Update endpoint" not in same.states
    assert production.endpoint(other) is None
    assert production.live(other) is None


def test_an_approval_that_has_ended_does_not_admit_a_redriven_execution(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Approve", "fine")
    promoted = production.execution_of(waiting)
    assert automation_ended(production, waiting) == "Success"
    redriven = promoted.output | {"created_at": "2100-01-01T00:00:00Z", "endpoint_config_name": "another"}
    execution = f"{promoted.arn}-redriven"

    given = payload(production, "Inspect endpoint", promotion=redriven, execution=execution)
    given["settings"] = json.dumps(given["defaults"])
    error = failure(production, "InspectEndpointFunction", given)

    assert error["errorType"] == "InvalidRequestError"
    assert f"The approval {waiting} has the status Success" in error["errorMessage"]
