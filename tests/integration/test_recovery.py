"""After the recovery of a stopped execution, the endpoint has its previous state and no lock."""

import json
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from promotion.history.lock import LATER_RECOVERIES, RECOVERY_ATTEMPTS
from tests.support.events import lost_events_of_executions
from tests.support.mail import mail
from tests.support.scaling import scale_manually
from tests.support.settings import configure, instances
from tests.support.steps import failure
from tests.support.waiting import wait_until
from tests.support.world import QA, SLOW, Lab, Stage


@pytest.mark.parametrize("stopped_in", ["Check endpoint", "Wait for deployment to start", "Run smoke test"])
def test_a_stopped_update_is_rolled_back(lab: Lab, qa: Stage, application: str, stopped_in: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    before = qa.endpoint(application)
    job = lab.train(application, "next", script=SLOW)

    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if stopped_in in qa.states(arn) else None, stopped_in)
    qa.client("stepfunctions").stop_execution(executionArn=arn, error="Operator", cause="changed my mind")

    recovery = qa.execution_of(arn)
    after = qa.endpoint(application)
    assert recovery.states[-1] == "Recovered", recovery.cause
    assert before is not None
    assert after is not None
    assert after["EndpointStatus"] == "InService"
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert qa.answer(application) == {"label": "good"}
    assert qa.running(application) == []
    failed = qa.history(application)[-1]
    assert failed["status"] == "Failed"
    assert "changed my mind" in failed["reason"]


def test_a_recovery_releases_the_lock_for_the_next_promotion(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "stopped", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Check endpoint" in qa.states(arn) else None, "the update")
    qa.client("stepfunctions").stop_execution(executionArn=arn)
    qa.execution_of(arn)

    execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "next"}


def test_writes_by_functions_of_a_dead_execution_are_refused(lab: Lab, qa: Stage, application: str) -> None:
    good = qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "stopped", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Run smoke test" in qa.states(arn) else None, "the smoke test")
    journal = json.loads(qa.running(application)[0]["promotion"])
    qa.client("stepfunctions").stop_execution(executionArn=arn)
    assert qa.execution_of(arn).states[-1] == "Recovered"
    before = qa.endpoint(application), qa.scaling(application), qa.items("autoscaling"), qa.live(application)
    # As if they had hung all the while: first with the endpoint free, then with another execution that holds it.
    late = {"promotion": journal, "execution": arn, "stage": "qa", "table": qa.table}

    for holder in ("", good.arn):
        if holder:
            item = {"kind": "lock", "key": f"{application}-qa", "execution": holder, "promotion": "{}"}
            held = {key: {"S": value} for key, value in item.items()}
            qa.client("dynamodb").put_item(TableName=qa.table, Item=held)
        for function in ("UpdateEndpointFunction", "ApplyAutoscalingFunction", "RollBackEndpointFunction"):
            error = failure(qa, function, late)
            assert error["errorType"] == "PromotionRefusedError", error
            assert "no longer holds the lock" in error["errorMessage"]
        assert bool(qa.running(application)) is bool(holder)
    qa.client("dynamodb").delete_item(
        TableName=qa.table, Key={"kind": {"S": "lock"}, "key": {"S": f"{application}-qa"}}
    )

    assert (qa.endpoint(application), qa.scaling(application), qa.items("autoscaling"), qa.live(application)) == before
    assert qa.answer(application) == {"label": "good"}


def test_a_stopped_first_deployment_leaves_no_endpoint(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "first", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Check endpoint" in qa.states(arn) else None, "the deployment")
    qa.client("stepfunctions").stop_execution(executionArn=arn)

    recovery = qa.execution_of(arn)

    assert recovery.states[-1] == "Recovered", recovery.cause
    assert qa.endpoint(application) is None
    assert qa.running(application) == []


def test_a_recovery_does_not_overwrite_a_change_by_someone_else(lab: Lab, qa: Stage, application: str) -> None:
    first: Any = qa.execution_of(lab.train(application, "good")).output
    second: Any = qa.execution_of(lab.train(application, "better")).output
    # The promotion removes the autoscaling of the endpoint, because the instances differ.
    scale_manually(qa, application)
    scaling = qa.scaling(application)
    configure(qa, application, EndpointConfig=instances("ml.c5.large"))
    job = lab.train(application, "stopped", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Run smoke test" in qa.states(arn) else None, "the smoke test")
    qa.client("stepfunctions").stop_execution(executionArn=arn)
    sagemaker = qa.client("sagemaker")
    sagemaker.update_endpoint(EndpointName=second["endpoint"], EndpointConfigName=first["endpoint_config_name"])

    recovery = qa.execution_of(arn)

    # The endpoint was rolled back to the first model, which neither the promotion nor its recovery requested.
    assert recovery.error == "RollbackFailed"
    assert "Someone else changed the endpoint" in (recovery.cause or "")
    assert qa.answer(application) == {"label": "good"}
    assert qa.scaling(application) == scaling
    assert qa.running(application) == []


def test_a_manual_recovery_without_a_lock_has_nothing_to_do(qa: Stage, application: str) -> None:
    execution = qa.promote({"recover": f"{application}-qa"})

    assert execution.states[-1] == "Nothing to recover"


def test_a_missing_recovery_is_started_by_the_next_promotion(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "stopped", script=SLOW)
    arn = wait_until(lambda: next(iter(qa.executions_with(job)), None), "the execution")
    wait_until(lambda: True if "Run smoke test" in qa.states(arn) else None, "the smoke test")
    with lost_events_of_executions(qa):
        qa.client("stepfunctions").stop_execution(executionArn=arn)
        execution = qa.execution_of(lab.train(application, "next"))

    assert execution.status == "SUCCEEDED", execution.cause
    assert "Wait for endpoint lock" in execution.states
    assert qa.answer(application) == {"label": "next"}
    assert [record["status"] for record in qa.history(application)] == ["Succeeded", "Failed", "Succeeded"]
    assert qa.running(application) == []


def test_a_recovery_that_failed_too_often_requires_an_operator_and_keeps_the_journal(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    qa.execution_of(lab.train(application, "good"))
    dead = f"{qa.state_machine.replace(':stateMachine:', ':execution:')}:{application}"
    promotion = {"endpoint": f"{application}-qa", "application": application, "stage": "qa", "execution": dead}
    journal = {
        "kind": {"S": "lock"},
        "key": {"S": f"{application}-qa"},
        "execution": {"S": dead},
        "recoveries": {"N": str(RECOVERY_ATTEMPTS + len(LATER_RECOVERIES))},
        "promotion": {"S": json.dumps(promotion)},
    }
    reference = {"kind": {"S": "execution"}, "key": {"S": dead}, "endpoint": {"S": f"{application}-qa"}}
    for item in (journal, reference):
        qa.client("dynamodb").put_item(TableName=qa.table, Item=item)
    detail = {"executionArn": dead, "name": application, "status": "FAILED", "cause": "once more"}
    kind = {"source": "aws.states", "detail-type": "Step Functions Execution Status Change"}

    given_up = qa.promote(kind | {"account": QA, "region": accounts.REGION, "detail": detail})

    assert given_up.error == "RecoveryAbandoned"
    assert f"{application}-qa could not be recovered in 6 attempts and is still locked" in (given_up.cause or "")
    assert given_up.arn in mail(stacks, "] RecoveryAbandoned: ", f"{application}-qa")
    assert len(qa.running(application)) == 1
    by_hand = qa.promote({"recover": f"{application}-qa"})
    assert by_hand.states[-1] == "Recovered", by_hand.cause
    assert qa.running(application) == []
    assert qa.answer(application) == {"label": "good"}
