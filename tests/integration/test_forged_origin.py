"""What another account could have forged, events and tags, decides nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.kernel import accounts
from tests.support.settings import configure, instances
from tests.support.world import DEV, QA, Execution, Lab, Stage

BUS = f"arn:aws:events:{accounts.REGION}:{QA}:event-bus/model-promotion-qa"


def succeeded(model: str, application: str, stage: str, account: str) -> dict[str, Any]:
    """Return an event that claims the promotion of a model."""
    detail = {
        "model_name": model,
        "application": application,
        "stage": stage,
        "source_kind": "training_job",
        "source_arn": f"arn:aws:sagemaker:{accounts.REGION}:{DEV}:training-job/forged",
        "status": "Succeeded",
    }
    envelope = {"version": "0", "source": "model-promotion", "detail-type": "Model Promotion Succeeded"}
    return {**envelope, "account": account, "region": accounts.REGION, "detail": detail}


def tagged(stage: Stage, model: str, **tags: str) -> None:
    arn = f"arn:aws:sagemaker:{accounts.REGION}:{stage.account}:model/{model}"
    listed = [{"Key": f"model-promotion:{key.replace('_', '-')}", "Value": value} for key, value in tags.items()]
    stage.client("sagemaker").add_tags(ResourceArn=arn, Tags=listed)


def made_by_hand(qa: Stage, like: str, name: str) -> str:
    """Create a model of another name with the containers and tags of a promoted one."""
    sagemaker = qa.client("sagemaker")
    described, kept = sagemaker.describe_model(ModelName=like), {"Image", "ModelDataUrl", "Environment"}
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=described["ExecutionRoleArn"],
        PrimaryContainer={key: value for key, value in described["PrimaryContainer"].items() if key in kept},
        Tags=sagemaker.list_tags(ResourceArn=described["ModelArn"])["Tags"],
    )
    return name


def assert_nobody_asked(execution: Execution, production: Stage, application: str) -> None:
    assert execution.error == "PromotionRefusedError"
    assert "was not promoted by model-promotion-qa" in (execution.cause or "")
    assert "Promote it into the upstream stage again" in (execution.cause or "")
    assert not [item for item in production.items("approval") if item["key"].startswith(f"{application}-")]
    assert production.endpoint(application) is None


def test_an_event_made_by_hand_in_the_training_account_starts_nothing(lab: Lab, qa: Stage, application: str) -> None:
    event = succeeded(application, application, "dev", DEV)
    entry = {"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}

    with pytest.raises(ClientError, match="AccessDeniedException"):
        lab.client("events").put_events(Entries=[entry | {"EventBusName": BUS}])
    by_hand = qa.promote(event)

    assert by_hand.states[-1] == "Not for promotion"
    assert "has no upstream stage" in by_hand.output["reason"]
    assert qa.endpoint(application) is None


def test_tags_made_by_hand_in_the_training_account_are_not_believed(lab: Lab, qa: Stage, application: str) -> None:
    configure(qa, application, SmokeTest="skip", QualityGate=[{"MetricName": "f1", "Minimum": 0.9}])
    metrics = lab.upload(f"{application}/metrics.json", b'{"f1": 0.99}')
    archive = lab.upload(f"{application}/model.tar.gz", lab.artifact("forged"))
    lab.create_model(application, ModelDataUrl=archive)
    arn = f"arn:aws:sagemaker:{accounts.REGION}:{DEV}:model/{application}"
    forged = {"metrics": metrics, "source": "arn:forged", "created-at": "2020-01-01T00:00:00.000Z"}
    listed = [{"Key": f"model-promotion:{key}", "Value": value} for key, value in forged.items()]
    lab.client("sagemaker").add_tags(ResourceArn=arn, Tags=listed)

    execution = qa.promote({"model": application, "application": application, "preview": True})

    assert execution.output["would_be"] == "rejected"
    assert "f1" in execution.output["why"]
    assert execution.output["candidate"]["source_arn"] == arn
    assert execution.output["candidate"]["created_at"] > "2020-01-02"
    assert execution.output["candidate"]["metrics"] == {}


def test_a_model_that_the_upstream_stage_has_not_promoted_is_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    promoted = qa.execution_of(lab.train(application, "good")).output
    other = f"{application}-b"
    model = made_by_hand(qa, promoted["model_name"], other)
    given = {"model": model, "application": other}

    with_the_execution_of_another_model = production.promote(given)
    tagged(qa, model, execution=f"arn:aws:states:{accounts.REGION}:{DEV}:execution:model-promotion-qa:forged")
    with_an_execution_of_another_account = production.promote(given)

    assert_nobody_asked(with_the_execution_of_another_model, production, other)
    assert "the model_name in the output of the execution" in (with_the_execution_of_another_model.cause or "")
    assert_nobody_asked(with_an_execution_of_another_account, production, other)


def test_an_event_made_by_hand_in_the_upstream_stage_asks_nobody(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    promoted = qa.execution_of(lab.train(application, "good")).output
    other = f"{application}-b"
    model = made_by_hand(qa, promoted["model_name"], other)
    detail = json.dumps(succeeded(model, other, "qa", QA)["detail"])
    entry = {"Source": "model-promotion", "DetailType": "Model Promotion Succeeded", "EventBusName": BUS}

    qa.client("events").put_events(Entries=[entry | {"Detail": detail}])

    assert_nobody_asked(production.execution_of(f'"{other}"'), production, other)


def test_tags_of_a_promoted_model_do_not_change_its_record(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    promoted = qa.execution_of(lab.train(application, "good")).output
    model = promoted["model_name"]
    tagged(qa, model, source="arn:forged", created_at="2020-01-01T00:00:00.000Z", application=f"{application}-b")

    preview = production.promote({"model": model, "preview": True}).output

    assert preview["candidate"]["application"] == application
    assert preview["candidate"]["source_arn"] == promoted["source_arn"]
    assert preview["candidate"]["created_at"] == promoted["created_at"]


FAILS = {"cases": [{"name": "fails", "body": {}, "expect": "label == 'another'"}]}


def test_a_failed_repetition_of_a_promotion_does_not_revoke_it(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    job = lab.train(application, "good")
    model = qa.execution_of(job).output["model_name"]
    configure(qa, application, EndpointConfig=instances("ml.c5.large"), SmokeTest=FAILS)
    repeated = qa.promote({"training_job": job})

    preview = production.promote({"model": model, "preview": True})

    assert repeated.error == "SmokeTestFailed"
    assert preview.output["would_be"] == "approval_requested", preview.output


def test_a_model_can_be_promoted_by_another_execution_than_the_one_that_created_it(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    configure(qa, application, SmokeTest=FAILS)
    job = lab.train(application, "good")
    failed = qa.execution_of(job)
    configure(qa, application, SmokeTest="skip")
    model = qa.promote({"training_job": job}).output["model_name"]
    configure(production, application, SmokeTest="skip")

    preview = production.promote({"model": model, "preview": True})

    assert failed.error == "SmokeTestFailed"
    assert preview.output["would_be"] == "approval_requested", preview.output
