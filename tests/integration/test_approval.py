"""Production requires an approval, and exactly the approved candidate is promoted."""

import json
import re
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.approvals import automation_ended, signal, waiting_approval
from tests.support.events import event
from tests.support.monitor import invoke_watch
from tests.support.world import PRODUCTION, Lab, Stage

RUNBOOK = "model-promotion-production"
DASHBOARD = "model-promotion-dashboard"


@pytest.fixture
def in_qa(lab: Lab, qa: Stage, application: str) -> dict[str, Any]:
    """Return the record of a promotion into QA that has just succeeded."""
    execution = qa.execution_of(lab.train(application, "good"))
    assert execution.status == "SUCCEEDED", execution.cause
    return dict(execution.output)


def test_an_approved_model_reaches_production(in_qa: dict[str, Any], production: Stage, application: str) -> None:
    waiting = waiting_approval(production, application)
    signal(production, waiting["AutomationExecutionId"], "Approve", "looks good")

    execution = production.execution_of(waiting["AutomationExecutionId"])

    assert execution.status == "SUCCEEDED", execution.cause
    assert production.answer(application) == {"label": "good"}
    live = production.live(application)
    assert live is not None
    assert live["approved_by"].endswith("user/operator")
    assert live["approval_comment"] == "looks good"
    assert live["source_arn"] == in_qa["source_arn"]
    assert live["digest"] == in_qa["model_digest"]
    assert automation_ended(production, waiting["AutomationExecutionId"]) == "Success"
    shown = production.client("lambda").invoke(FunctionName=f"{DASHBOARD}-of-production", Payload=b"{}")
    assert f"[{live['model_name']}](https://" in json.load(shown["Payload"])["markdown"]


def test_what_the_approver_reads_names_the_candidate(
    in_qa: dict[str, Any], production: Stage, application: str
) -> None:
    waiting = waiting_approval(production, application)

    message = waiting["StepExecutions"][0]["Inputs"]["Message"]

    assert application in message
    assert in_qa["model_name"] in message
    assert in_qa["model_digest"] in message
    assert re.search(r"execution that requests it:.*:execution:model-promotion-production:", message)


def test_an_approver_reads_what_the_upstream_stage_reports(
    in_qa: dict[str, Any], lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    job = lab.train(application, "newer")
    newer = qa.execution_of(job).output["model_name"]
    first = waiting_approval(production, application)["StepExecutions"][0]["Inputs"]["Message"]
    assert qa.promote({"rollback": in_qa["endpoint"]}).status == "SUCCEEDED"
    again = qa.promote({"training_job": job})
    assert (again.status, again.output["model_name"]) == ("SUCCEEDED", newer)
    signal(production, waiting_approval(production, application)["AutomationExecutionId"], "Reject", "once more")
    production.promote({"model": newer})

    second = waiting_approval(production, application)["StepExecutions"][0]["Inputs"]["Message"]

    tested = r"Tested upstream: qa reports: promoted \S+ \S+ UTC, smoke test with \d+ invocations, 0 with errors"
    assert re.search(tested, first), first
    assert "Rolled back before: no" in first
    assert re.search(tested, second), second
    assert re.search(r"Rolled back before: \S+ \S+ UTC in qa, as it reports", second), second


def test_a_rejected_model_is_not_promoted_and_the_rejection_is_published(
    in_qa: dict[str, Any], production: Stage, application: str
) -> None:
    waiting = waiting_approval(production, application)
    signal(production, waiting["AutomationExecutionId"], "Reject", "not on a Friday")

    execution = production.execution_of(waiting["AutomationExecutionId"])

    assert execution.states[-1] == "Rejected", execution.cause
    assert "not on a Friday" in execution.output["reason"]
    assert production.endpoint(application) is None


def test_an_event_alone_rejects_nothing(in_qa: dict[str, Any], production: Stage, application: str) -> None:
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    detail = {"ExecutionId": waiting, "Status": "Rejected", "Definition": production.stack}
    forged = event("EC2 Automation Execution Status-change Notification", detail, "aws.ssm", PRODUCTION)

    execution = production.promote(forged)

    assert execution.states[-1] == "Not for promotion", execution.cause
    assert "has not ended" in execution.output["reason"]
    signal(production, waiting, "Approve", "still open")
    assert production.execution_of(waiting, number=1).status == "SUCCEEDED"


def test_a_duplicate_event_does_not_request_another_approval(
    in_qa: dict[str, Any], production: Stage, application: str
) -> None:
    waiting_approval(production, application)
    (first,) = production.executions_with(in_qa["model_name"])
    event = production.client("stepfunctions").describe_execution(executionArn=first)["input"]

    again = production.promote(json.loads(event))

    assert again.states[-1] == "Approval requested"
    assert again.output["outcome"] == "already_requested"
    assert len([item for item in production.items("approval") if application in item["key"]]) == 1


def test_an_approval_that_could_not_be_requested_is_requested_by_the_next_start(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    role = production.role("RequestApprovalFunctionRole")
    with faults.injected(Call(role, "ssm", "StartAutomationExecution"), Kind.DENIED):
        model = qa.execution_of(lab.train(application, "good")).output["model_name"]
        failed = production.execution_of(model)
    event = production.client("stepfunctions").describe_execution(executionArn=failed.arn)["input"]

    again = production.promote(json.loads(event))

    assert failed.status == "FAILED"
    assert again.output["outcome"] == "requested"
    assert waiting_approval(production, application)["Parameters"]["SourceName"] == [model]


def test_an_approval_that_could_not_be_recorded_is_found_by_the_watch(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    role = production.role("RequestApprovalFunctionRole")
    with faults.injected(Call(role, "dynamodb", "UpdateItem"), Kind.DENIED):
        model = qa.execution_of(lab.train(application, "good")).output["model_name"]
        failed = production.execution_of(model)
    assert failed.status == "FAILED"
    assert failed.states[-1] == "Promotion failed"

    invoke_watch(production)

    waiting = waiting_approval(production, application)
    assert waiting["Parameters"]["SourceName"] == [model]
    again = production.promote({"model": model, "application": application})
    assert again.output["outcome"] == "already_requested"


def test_an_artifact_that_changed_after_the_approval_request_is_refused(
    in_qa: dict[str, Any], lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    waiting = waiting_approval(production, application)
    model = qa.client("sagemaker").describe_model(ModelName=in_qa["model_name"])
    bucket, key = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    qa.client("s3").delete_object(Bucket=bucket, Key=key)
    qa.client("s3").put_object(Bucket=bucket, Key=key, Body=lab.artifact("forged"), IfNoneMatch="*")
    signal(production, waiting["AutomationExecutionId"], "Approve", "fine")

    execution = production.execution_of(waiting["AutomationExecutionId"])

    assert execution.error == "PromotionRefusedError"
    assert "has changed since its approval" in (execution.cause or "")
    assert production.endpoint(application) is None


def test_an_approval_is_not_valid_before_the_decision_or_for_another_candidate(
    in_qa: dict[str, Any], production: Stage, application: str
) -> None:
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    asked = {"model": in_qa["model_name"], "application": application, "approval": waiting}

    not_given = production.promote(asked | {"digest": in_qa["model_digest"]})
    unknown = production.promote(asked | {"approval": "00000000-0000-4000-8000-000000000000"})

    assert not_given.error == "InvalidRequestError"
    assert waiting in (not_given.cause or "")
    assert unknown.error == "InvalidRequestError"
    assert "There is no approval" in (unknown.cause or "")
    assert production.endpoint(application) is None


def test_a_newer_candidate_supersedes_a_pending_approval(
    in_qa: dict[str, Any], lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    older = waiting_approval(production, application)["AutomationExecutionId"]
    newer = qa.execution_of(lab.train(application, "newer")).output["model_name"]

    rejection = production.execution_of(older)

    assert rejection.states[-1] == "Rejected", rejection.cause
    assert f"the newer candidate {newer} superseded this one" in rejection.output["reason"]
    assert automation_ended(production, older) == "Cancelled"
    waiting = waiting_approval(production, application)
    assert waiting["Parameters"]["SourceName"] == [newer]
    late = production.promote({"model": in_qa["model_name"], "application": application})
    assert late.states[-1] == "Rejected", late.cause
    assert f"the newer candidate {newer} is pending" in late.output["reason"]
    signal(production, waiting["AutomationExecutionId"], "Approve", "the newer one")
    assert production.execution_of(waiting["AutomationExecutionId"]).status == "SUCCEEDED"
    assert production.answer(application) == {"label": "newer"}


def test_a_superseded_approval_that_could_not_be_canceled_is_canceled_by_the_monitor(
    in_qa: dict[str, Any], lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    older = waiting_approval(production, application)["AutomationExecutionId"]
    role = production.role("RequestApprovalFunctionRole")
    with faults.injected(Call(role, "ssm", "StopAutomationExecution"), Kind.DENIED):
        newer = qa.execution_of(lab.train(application, "newer")).output["model_name"]
        assert production.execution_of(newer).status == "FAILED"
    automation = production.client("ssm").get_automation_execution(AutomationExecutionId=older)["AutomationExecution"]
    assert automation["AutomationExecutionStatus"] == "Waiting"

    invoke_watch(production)

    assert automation_ended(production, older) == "Cancelled"
    assert f"the newer candidate {newer} superseded this one" in production.execution_of(older).output["reason"]
    assert waiting_approval(production, application)["Parameters"]["SourceName"] == [newer]


def test_a_promotion_is_rolled_back_if_its_approval_is_canceled_while_it_runs(
    in_qa: dict[str, Any], production: Stage, application: str
) -> None:
    waiting = waiting_approval(production, application)["AutomationExecutionId"]

    def cancel(execution: Any, state: str) -> None:
        if state == "Check endpoint" and waiting in execution.execution_input:
            production.client("ssm").stop_automation_execution(AutomationExecutionId=waiting, Type="Cancel")

    with step_functions.watched(cancel):
        signal(production, waiting, "Approve", "or rather not")
        promotion = production.execution_of(waiting)
    recovery = production.execution_of(promotion.arn)

    assert promotion.status == "ABORTED"
    assert automation_ended(production, waiting) == "Cancelled"
    assert recovery.states[-1] == "Recovered", recovery.cause
    assert production.endpoint(application) is None
    assert production.running(application) == []


def test_only_an_approver_may_approve(in_qa: dict[str, Any], production: Stage, application: str) -> None:
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    iam = production.client("iam")
    iam.create_user(UserName=application)
    key = iam.create_access_key(UserName=application)["AccessKey"]
    stranger = boto3.client(
        "ssm",
        region_name="eu-west-1",
        endpoint_url=production.client("ssm").meta.endpoint_url,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )

    with pytest.raises(ClientError):
        stranger.send_automation_signal(AutomationExecutionId=waiting, SignalType="Approve")

    assert waiting_approval(production, application)["AutomationExecutionId"] == waiting
