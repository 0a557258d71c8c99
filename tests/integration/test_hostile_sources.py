"""S3 objects that must not be promoted are refused by name, and nothing of them is created, copied or kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.world import DEV_BUCKET, ECHO_LABEL, Execution, Lab, Stage

ANSWERS_WITHOUT_END = ECHO_LABEL.replace("json.dumps(prediction)", '"x" * (10 * 1024 ** 2)')


def prefix(uri: str) -> dict[str, Any]:
    return {"ModelDataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": "S3Prefix", "CompressionType": "None"}}}


def promoted(qa: Stage, application: str) -> Execution:
    return qa.promote({"model": application, "application": application})


def made(qa: Stage, application: str, execution: Execution) -> list[str]:
    """Return all resources of a promotion in the stage."""
    names = qa.client("sagemaker").list_models(NameContains=application)["Models"]
    configs = qa.client("sagemaker").list_endpoint_configs(NameContains=application)["EndpointConfigs"]
    keys = [
        found["Key"]
        for below in (f"models/{application}/", f"manifests/{execution.arn.rsplit(':', 1)[-1]}")
        for found in qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=below).get("Contents", [])
    ]
    return [*map(str, names), *map(str, configs), *keys, *map(str, qa.running(application))]


OBJECTS: dict[str, tuple[dict[str, Any], str]] = {
    "archived": (
        {"Body": b"x", "StorageClass": "GLACIER"},
        "is archived in GLACIER. Restore the object, and start the promotion again.",
    ),
    "empty": ({"Body": b""}, "is empty, so no container can unpack it. Upload the archive again."),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_that_cannot_be_served_is_refused(lab: Lab, qa: Stage, application: str, kind: str) -> None:
    given, words = OBJECTS[kind]
    uri = lab.upload(f"{application}/model.tar.gz", b"x")
    lab.create_model(application, ModelDataUrl=uri)
    lab.client("s3").put_object(Bucket=DEV_BUCKET, Key=f"{application}/model.tar.gz", **given)

    execution = promoted(qa, application)

    assert execution.error == "PromotionRefusedError"
    assert f"{uri} {words}" in (execution.cause or "")
    assert made(qa, application, execution) == []


KEYS = {
    "nothing": ([], "which contains no objects"),
    "folders": (["", "deep/"], "which contains no objects"),
    "one name in two forms": (
        ["gro\u0308\u00dfe.bin", "gr\u00f6\u00dfe.bin"],
        "differ only in their Unicode normalization",
    ),
    "percent and dots": (["%2e%2e/a.bin"], "has '.' or '..' as a segment"),
    "turned around": (["a\u202eb.bin"], "contains unprintable characters"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_prefix_with_unsafe_keys_or_without_objects_is_refused(
    lab: Lab, qa: Stage, application: str, kind: str
) -> None:
    keys, words = KEYS[kind]
    lab.upload(f"{application}/w/a.bin", b"x")
    lab.create_model(application, **prefix(f"s3://{DEV_BUCKET}/{application}/w/"))
    lab.client("s3").delete_object(Bucket=DEV_BUCKET, Key=f"{application}/w/a.bin")
    for key in keys:
        lab.upload(f"{application}/w/{key}", b"x")

    execution = promoted(qa, application)

    assert execution.error == "PromotionRefusedError"
    assert words in (execution.cause or "")
    assert f"s3://{DEV_BUCKET}/{application}/w/" in (execution.cause or "")
    assert made(qa, application, execution) == []


def test_a_deleted_object_and_a_bucket_of_another_owner_are_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    lab.upload(f"{application}/tokens.json", b"x")
    lab.client("s3").delete_object(Bucket=DEV_BUCKET, Key=f"{application}/tokens.json")
    for number, bucket in enumerate((DEV_BUCKET, production.bucket, qa.bucket)):
        uri = f"s3://{bucket}/{application}/tokens.json"
        lab.create_model(f"{application}-{number}", Environment={"TOKENS": uri})

        execution = qa.promote({"model": f"{application}-{number}", "application": application})

        assert execution.error == "PromotionRefusedError"
        assert uri in (execution.cause or "")
        assert made(qa, application, execution) == []


def test_a_model_does_not_keep_its_own_role(lab: Lab, qa: Stage, application: str) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG"  # noqa: S105
    uri = lab.upload(f"{application}/model.tar.gz", b"x")
    lab.create_model(application, ModelDataUrl=uri, Environment={"AWS_SECRET_ACCESS_KEY": secret})

    execution = promoted(qa, application)

    assert execution.error == "PromotionRefusedError"
    assert f"The environment variable AWS_SECRET_ACCESS_KEY of the model {application} sets credentials" in (
        execution.cause or ""
    )
    assert secret not in (execution.cause or "")
    assert made(qa, application, execution) == []


def test_a_model_with_an_endless_response_leaves_no_endpoint(lab: Lab, qa: Stage, application: str) -> None:
    execution = qa.execution_of(lab.train(application, "good", script=ANSWERS_WITHOUT_END))

    assert execution.error == "SmokeTestFailed"
    assert "larger than 6291456 bytes" in (execution.cause or "")
    assert qa.endpoint(application) is None


def test_an_input_that_imitates_a_recovery_is_read_like_any_other(qa: Stage) -> None:
    execution = qa.promote({"training_job": "Step Functions Execution Status Change " * 9})

    assert execution.error == "InvalidInputError"
    assert '"training_job" is "Step Functions' in (execution.cause or "")
