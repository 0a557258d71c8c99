"""What is superseded goes, what is needed stays, and neither ever harms what is live."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.world import Lab, Stage, wait_until

FAILED_TO_DELETE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "sagemaker:DeleteModel", "Resource": "*"}],
}


def keep(stage: Stage, application: str, number: int) -> None:
    stage.client("ssm").put_parameter(
        Name=f"/model-promotion/{stage.name}/{application}",
        Type="String",
        Value=json.dumps({"Retention": {"Keep": number}}),
    )


def there(stage: Stage, application: str) -> dict[str, set[str]]:
    """The models, configs and digests with objects that an application has in a stage."""
    sagemaker = stage.client("sagemaker")
    objects = stage.client("s3").list_objects_v2(Bucket=stage.bucket, Prefix=f"models/{application}/")
    return {
        "models": {m["ModelName"] for m in sagemaker.list_models(NameContains=application)["Models"]},
        "configs": {
            c["EndpointConfigName"]
            for c in sagemaker.list_endpoint_configs(NameContains=application)["EndpointConfigs"]
        },
        "digests": {found["Key"].split("/")[2] for found in objects.get("Contents", [])},
    }


def of(*records: dict[str, Any]) -> dict[str, set[str]]:
    """What `there` says when all of these promotions are there, and nothing else."""
    return {
        "models": {record["model_name"] for record in records},
        "configs": {record["endpoint_config_name"] for record in records},
        "digests": {record["digest"] for record in records},
    }


def promoted(lab: Lab, qa: Stage, application: str, label: str) -> dict[str, Any]:
    execution = qa.execution_of(lab.train(application, label))
    assert execution.status == "SUCCEEDED", execution.cause
    return dict(execution.output)


def test_a_rollback_and_a_rollback_of_the_rollback_with_retention_at_two_in_between(
    lab: Lab, qa: Stage, application: str
) -> None:
    keep(qa, application, 2)
    job = lab.train(application, "first")
    first = qa.execution_of(job).output
    second = promoted(lab, qa, application, "second")
    assert there(qa, application) == of(first, second)

    third = promoted(lab, qa, application, "third")
    assert there(qa, application) == of(second, third)

    back = qa.promote({"rollback": f"{application}-qa"})
    assert back.status == "SUCCEEDED", back.cause
    assert qa.answer(application) == {"label": "second"}
    forth = qa.promote({"rollback": f"{application}-qa"})
    assert forth.status == "SUCCEEDED", forth.cause
    assert qa.answer(application) == {"label": "third"}
    assert there(qa, application) == of(second, third)

    too_far = qa.promote({"rollback": f"{application}-qa", "to": first["model_name"]})
    assert too_far.error == "InvalidRequestError"
    assert "Retention keeps only the newest" in (too_far.cause or "")

    # What was removed is made anew where it is asked for again, here only to find that it is too old by now.
    again = qa.promote({"training_job": job})
    assert again.states[-1] == "Rejected", again.cause
    assert there(qa, application) == of(first, second, third)
    versions = qa.client("s3").list_object_versions(Bucket=qa.bucket, Prefix=f"models/{application}/{first['digest']}/")
    assert len(versions["Versions"]) == 2 * len(versions["DeleteMarkers"])
    assert qa.items("removal") == []


def test_what_somebody_else_refers_to_stays_and_a_failure_is_made_up_for_by_the_next_promotion(
    lab: Lab, qa: Stage, application: str
) -> None:
    keep(qa, application, 2)
    first = promoted(lab, qa, application, "first")
    sagemaker, iam = qa.client("sagemaker"), qa.client("iam")
    made = sagemaker.describe_model(ModelName=first["model_name"])
    sagemaker.create_model(
        ModelName=f"{application}-of-a-colleague",
        ExecutionRoleArn=made["ExecutionRoleArn"],
        PrimaryContainer={key: made["PrimaryContainer"][key] for key in ("Image", "ModelDataUrl")},
    )
    second = promoted(lab, qa, application, "second")
    newer = sagemaker.describe_model(ModelName=second["model_name"])["PrimaryContainer"]
    containers = [{key: newer[key] for key in ("Image", "ModelDataUrl")}]
    package = sagemaker.create_model_package(
        ModelPackageName=application, InferenceSpecification={"Containers": containers}
    )["ModelPackageArn"]
    sagemaker.create_model(
        ModelName=f"{application}-of-a-package",
        ExecutionRoleArn=made["ExecutionRoleArn"],
        PrimaryContainer={"ModelPackageName": package},
    )
    role = function_role(qa, "RemoveSupersededModelsFunction")

    iam.put_role_policy(RoleName=role, PolicyName="broken", PolicyDocument=json.dumps(FAILED_TO_DELETE))
    try:
        third = promoted(lab, qa, application, "third")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="broken")
    halfway = there(qa, application)
    previewed = qa.promote({"rollback": f"{application}-qa", "preview": True}).output["remove"]
    fourth = promoted(lab, qa, application, "fourth")
    after = there(qa, application)

    assert qa.answer(application) == {"label": "fourth"}
    # The config that refers to the model went before the model could not.
    assert halfway["configs"] == {second["endpoint_config_name"], third["endpoint_config_name"]}
    assert first["model_name"] in halfway["models"]
    others = {f"{application}-of-a-colleague", f"{application}-of-a-package"}
    assert after["models"] == {third["model_name"], fourth["model_name"], *others}
    assert after["configs"] == {third["endpoint_config_name"], fourth["endpoint_config_name"]}
    # The colleagues' models are made of the artifacts of the first and, by a package, of the second.
    assert after["digests"] == {first["digest"], second["digest"], third["digest"], fourth["digest"]}
    assert (previewed["models"], previewed["artifacts"]) == ([first["model_name"]], [])


def removes(qa: Stage, application: str, seconds: float) -> float:
    """Put into the table that someone removes what is superseded for so long; until when, in seconds since 1970."""
    someone = f"{qa.state_machine.replace(':stateMachine:', ':execution:')}:someone"
    ends_at = round(time.time() + seconds)
    key = {"kind": {"S": "removal"}, "key": {"S": f"{application}-qa#{someone}"}}
    qa.client("dynamodb").put_item(TableName=qa.table, Item=key | {"ends_at": {"N": str(ends_at)}})
    return ends_at


def test_a_promotion_waits_while_something_is_removed_that_it_might_use(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good", tagged=False)
    qa.client("ssm").put_parameter(
        Name=f"/model-promotion/qa/{application}", Type="String", Value=json.dumps({"SmokeTest": "skip"})
    )
    ends_at = removes(qa, application, 4)

    execution = qa.promote({"training_job": job, "application": application})

    assert execution.status == "SUCCEEDED", execution.cause
    assert first_entered(qa, execution.arn, "Check quality gate") > ends_at - 1


def test_what_a_running_execution_uses_stays(lab: Lab, qa: Stage, application: str) -> None:
    keep(qa, application, 2)
    job = lab.train(application, "first")
    first = qa.execution_of(job).output
    second = promoted(lab, qa, application, "second")
    dynamodb = qa.client("dynamodb")
    # Whoever wants to use the first again says so, and waits.
    removes(qa, application, 60)
    waiting = qa.start({"training_job": job})
    used = f"{application}-qa#{waiting}"
    wait_until(lambda: True if used in [item["key"] for item in qa.items("use")] else None, "the use")
    remove = {"promotion": second, "execution": f"{waiting.rsplit(':', 1)[0]}:other", "stage": "qa"}
    where = {"account": qa.account, "bucket": qa.bucket, "table": qa.table}
    where["settings"] = json.dumps({"Retention": {"Keep": 2}})
    third = second | {"model_name": "third", "endpoint_config_name": "third", "digest": "3" * 64}
    fourth = second | {"model_name": "fourth", "endpoint_config_name": "fourth", "digest": "4" * 64}
    for number, record in enumerate((third, fourth)):
        dynamodb.put_item(
            TableName=qa.table,
            Item={
                "kind": {"S": f"history#{application}-qa"},
                "key": {"S": f"2100-{number}"},
                "promotion": {"S": json.dumps(record)},
            },
        )
    dynamodb.put_item(
        TableName=qa.table,
        Item={"kind": {"S": "live"}, "key": {"S": f"{application}-qa"}, "promotion": {"S": json.dumps(fourth)}},
    )

    call(qa, "RemoveSupersededModels", remove | where)
    meanwhile = there(qa, application)
    qa.client("stepfunctions").stop_execution(executionArn=waiting)
    qa.ended(waiting)
    call(qa, "RemoveSupersededModels", remove | where)

    # The second is on the endpoint.
    assert meanwhile == of(first, second)
    assert there(qa, application) == of(second)


def test_only_what_the_stage_has_made_may_be_deleted(qa: Stage, application: str) -> None:
    remover = qa.trying_as("RemoveSupersededModelsFunction", "sagemaker")
    role = next(r["Arn"] for r in qa.client("iam").list_roles(PathPrefix="/model-promotion/qa/serving/")["Roles"])
    name = f"{application}-qa-20260101-0000-12345678"
    forged = [{"Key": "model-promotion:application", "Value": application}]
    qa.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=role,
        PrimaryContainer={"Image": f"{qa.account}.dkr.ecr.eu-west-1.amazonaws.com/echo:1"},
        Tags=forged,
    )
    s3 = qa.trying_as("RemoveSupersededModelsFunction", "s3")
    reader = qa.trying_as("PreviewPromotionFunction", "sagemaker")

    for call_of, request in (
        (remover.delete_model, {"ModelName": name}),
        (reader.delete_model, {"ModelName": name}),
        (s3.delete_object, {"Bucket": qa.bucket, "Key": "manifests/x"}),
        (s3.delete_object, {"Bucket": qa.bucket, "Key": "models/x", "VersionId": "1"}),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            call_of(**request)


def function_role(stage: Stage, function: str) -> str:
    resources = stage.client("cloudformation").describe_stack_resources(StackName=f"model-promotion-{stage.name}")
    found = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources["StackResources"]}
    return str(found[f"{function}Role"])


def call(stage: Stage, function: str, payload: dict[str, Any]) -> None:
    resources = stage.client("cloudformation").describe_stack_resources(StackName=f"model-promotion-{stage.name}")
    found = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources["StackResources"]}
    answer = stage.client("lambda").invoke(FunctionName=found[f"{function}Function"], Payload=json.dumps(payload))
    assert "FunctionError" not in answer, answer["Payload"].read()


def first_entered(stage: Stage, arn: str, state: str) -> float:
    """When an execution first entered a state, in seconds since 1970."""
    pages = stage.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return next(
        float(event["timestamp"].timestamp())
        for page in pages
        for event in page["events"]
        if event.get("stateEnteredEventDetails", {}).get("name") == state
    )
