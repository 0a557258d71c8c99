"""The step Remove superseded models, as it is deployed."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from tests.support.retention import keep, of, promoted, removes, there
from tests.support.steps import invoke
from tests.support.waiting import wait_until
from tests.support.world import Lab, Stage


def test_resources_of_a_running_execution_are_kept(lab: Lab, qa: Stage, application: str) -> None:
    keep(qa, application, 2)
    job = lab.train(application, "first")
    first = qa.execution_of(job).output
    second = promoted(lab, qa, application, "second")
    dynamodb = qa.client("dynamodb")
    # An execution that uses the first one again claims it, and waits.
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

    invoke(qa, "RemoveSupersededModelsFunction", remove | where)
    meanwhile = there(qa, application)
    qa.client("stepfunctions").stop_execution(executionArn=waiting)
    qa.ended(waiting)
    invoke(qa, "RemoveSupersededModelsFunction", remove | where)

    # The second is on the endpoint.
    assert meanwhile == of(first, second)
    assert there(qa, application) == of(second)


def test_only_resources_of_the_stage_can_be_deleted(qa: Stage, application: str) -> None:
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
