import json
from typing import Any

import boto3
import pytest

from promotion.aws import clients
from promotion.errors import InvalidRequestError, PromotionRefusedError
from steps import inspect_endpoint
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, make_config, make_endpoint
from tests.support.promotion_table import FIRST, NAME, get, put

PROMOTION = {
    "endpoint": ENDPOINT,
    "endpoint_config_name": "new",
    "digest": "ab" * 32,
    "application": "reviews",
    "stage": "qa",
    "source_kind": "training_job",
    "source_name": "reviews-2",
    "approval": "",
    "by_event": False,
    "created_at": "2026-01-02T00:00:00.000Z",
    "smoke_test": "skip",
    "metrics": {},
    "quality_gate": [],
}
NO_APPROVAL = {
    "required": False,
    "runbook": "model-promotion-qa",
    "approvers": "",
    "minimum": 1,
    "requester": "role",
    "seconds": 60,
}


def inspect(
    dynamodb: Any, *, policy: dict[str, Any] | None = None, settings: str = "{}", planned: str = "{}", **promotion: Any
) -> dict[str, Any]:
    record = PROMOTION | promotion
    boto3.client("ssm").put_parameter(Name="/model-promotion/qa/reviews", Value=settings, Type="String", Overwrite=True)
    put("lock", ENDPOINT, execution=FIRST, promotion=json.dumps(record))
    event = {"promotion": record, "settings": planned, "defaults": {}, "execution": FIRST, "table": NAME}
    event |= {"input": {"training_job": "reviews-2"}, "bucket": "stage", "account": "222222222222"}
    event |= {"upstream_account": "111111111111"}
    return inspect_endpoint.handler(event | {"approval_policy": NO_APPROVAL | (policy or {})}, CONTEXT)


def journal(dynamodb: Any) -> Any:
    return json.loads((get("lock", ENDPOINT) or {})["promotion"])


def test_the_journal_of_a_first_deployment_has_no_previous_config(dynamodb: Any) -> None:
    make_config("new")

    inspected = inspect(dynamodb)

    assert inspected["outcome"] == "update"
    assert journal(dynamodb) == inspected["promotion"]
    assert (journal(dynamodb)["changing"], journal(dynamodb)["previous_endpoint_config_name"]) == (True, "")


def test_the_journal_of_an_update_has_the_previous_config(dynamodb: Any) -> None:
    make_endpoint("old")
    make_config("new")

    inspect(dynamodb)

    assert journal(dynamodb)["previous_endpoint_config_name"] == "old"


def test_an_endpoint_is_updated_without_a_rollback_target_only_if_the_settings_permit_it(dynamodb: Any) -> None:
    make_endpoint("old")
    make_config("new")
    boto3.client("sagemaker").delete_model(ModelName="old")

    with pytest.raises(PromotionRefusedError, match=r"rolled back to the endpoint config old: the model old no longer"):
        inspect(dynamodb)
    assert "changing" not in journal(dynamodb)
    permitted = '{"RequireRollback": false}'
    assert inspect(dynamodb, settings=permitted, planned=permitted)["outcome"] == "update"


def test_no_settings_permit_an_update_without_the_live_endpoint_config(dynamodb: Any) -> None:
    make_endpoint("old")
    make_config("new")
    boto3.client("sagemaker").delete_endpoint_config(EndpointConfigName="old")
    permitted = '{"RequireRollback": false}'

    with pytest.raises(PromotionRefusedError, match=r"The endpoint config old, which is live .*, was deleted"):
        inspect(dynamodb, settings=permitted, planned=permitted)


def test_an_endpoint_that_already_has_the_config_is_not_updated(dynamodb: Any) -> None:
    make_endpoint("new")
    put("live", ENDPOINT, promotion=json.dumps(PROMOTION))

    assert inspect(dynamodb)["outcome"] == "already_live"

    assert "changing" not in journal(dynamodb)


def test_a_deployment_is_refused_while_one_of_its_alarms_is_in_alarm(dynamodb: Any) -> None:
    make_endpoint("old")
    make_config("new")
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="mine",
        Namespace="Mine",
        MetricName="errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName="mine", StateValue="ALARM", StateReason="a test")
    guarded = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "mine"}]}}

    with pytest.raises(PromotionRefusedError, match="in ALARM: mine"):
        inspect(dynamodb, deployment_config=guarded)

    assert "changing" not in journal(dynamodb)


def test_a_promotion_is_planned_again_once_after_its_settings_have_changed(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, str] = {}

    class StepFunctions:
        exceptions = boto3.client("stepfunctions").exceptions

        def start_execution(self, name: str, **request: str) -> dict[str, str]:
            if name in started:
                raise self.exceptions.ExecutionAlreadyExists({"Error": {}}, "StartExecution")
            started[name] = request["input"]
            return {"executionArn": f"{FIRST.rsplit(':', 1)[0]}:{name}"}

    stepfunctions, client = StepFunctions(), clients.client
    monkeypatch.setattr(
        inspect_endpoint, "client", lambda name: stepfunctions if name == "stepfunctions" else client(name)
    )
    make_config("new")

    found = [inspect(dynamodb, settings='{"Retention": {"Keep": 3}}') for _ in range(2)]

    assert [each["outcome"] for each in found] == ["settings_changed"] * 2
    assert list(started.values()) == ['{"training_job": "reviews-2"}']
    assert "(Retention)" in found[0]["reason"]
    assert f"{FIRST.rsplit(':', 1)[0]}:{next(iter(started))} plans it again" in found[0]["reason"]
    assert "changing" not in journal(dynamodb)


def test_an_approved_promotion_is_not_planned_again(dynamodb: Any) -> None:
    with pytest.raises(PromotionRefusedError, match=r"/model-promotion/qa/reviews have changed .* new approval"):
        inspect(dynamodb, settings='{"Retention": {"Keep": 3}}', approval="of-reviews-2")

    assert "changing" not in journal(dynamodb)


def test_a_rollback_uses_the_settings_as_they_are(dynamodb: Any) -> None:
    make_config("new")
    original: dict[str, Any] = {"original_source_kind": "training_job", "original_source_name": "reviews-1"}
    scaling = {"Autoscaling": {"MinCapacity": 1, "MaxCapacity": 3}}

    inspected = inspect(dynamodb, settings=json.dumps(scaling), source_kind="rollback", **original)

    assert inspected["outcome"] == "update"
    (wanted,) = json.loads((get("autoscaling", ENDPOINT) or {})["wanted"])
    assert wanted["MaxCapacity"] == 3


def test_an_endpoint_is_not_updated_without_an_approval_that_the_stage_requires(dynamodb: Any) -> None:
    make_config("new")

    with pytest.raises(InvalidRequestError, match="The stage qa requires an approval, but this promotion has none"):
        inspect(dynamodb, policy={"required": True})

    assert "changing" not in journal(dynamodb)


def test_a_rollback_requires_no_approval(dynamodb: Any) -> None:
    make_config("new")
    original = {"original_source_kind": "training_job", "original_source_name": "reviews-1"}

    inspected = inspect(dynamodb, policy={"required": True}, source_kind="rollback", **original)

    assert inspected["outcome"] == "update"
