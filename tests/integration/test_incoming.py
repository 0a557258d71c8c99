"""Artifacts that only their own account can decrypt go through incoming/, where the upstream account can write."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.iam import clients as identity
from promotion.copying.incoming import IncomingCopier, Reader
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import pin
from promotion.copying.references import Reference, targets
from promotion.errors import PromotionRefusedError, TransientError
from tests.support.settings import configure
from tests.support.stacks import deployed_with
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.world import DEV, DEV_BUCKET, IMAGE, QA, ROLE, TRYING, Lab, Stage, physical_id

MIB, GIB = 1024**2, 1024**3
PART = 5 * MIB
READER_ROLE = f"arn:aws:iam::{DEV}:role/model-promotion-upstream-of-qa"
DEFAULT = {"ServerSideEncryption": "aws:kms"}


def refused(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value)


def of_reader(qa: Stage, session: str) -> Any:
    """Return a client of S3 with the credentials of the reader role, which its own account can give to anyone."""
    sts = (
        qa.trying_as("CopyArtifactsFunction", "sts")
        if session == TRYING
        else qa.acting_as("CopyArtifactsFunction", "sts")
    )
    credentials = sts.assume_role(RoleArn=READER_ROLE, RoleSessionName=session, ExternalId="model-promotion-qa")[
        "Credentials"
    ]
    return identity.client_as_caller("s3", credentials["AccessKeyId"])


@pytest.fixture
def attacker(qa: Stage) -> Any:
    return of_reader(qa, TRYING)


def objects(qa: Stage, prefix: str) -> dict[str, int]:
    pages = qa.client("s3").get_paginator("list_objects_v2").paginate(Bucket=qa.bucket, Prefix=prefix)
    return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}


def content(qa: Stage, key: str) -> bytes:
    return bytes(qa.client("s3").get_object(Bucket=qa.bucket, Key=key)["Body"].read())


def make_model(lab: Lab, application: str, uri: str) -> str:
    lab.create_model(application, ModelDataUrl=uri)
    return application


# The way


def test_a_training_job_without_a_key_of_its_own_reaches_qa(lab: Lab, qa: Stage, application: str) -> None:
    job = lab.train(application, "good", metrics={"loss": 0.5})
    artifact = lab.client("s3").head_object(Bucket=DEV_BUCKET, Key=f"{job}/output/model.tar.gz")
    managed = lab.client("kms").describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]
    assert artifact["SSEKMSKeyId"] == managed

    execution = qa.execution_of(job)

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "good"}
    model = qa.client("sagemaker").describe_model(ModelName=execution.output["model_name"])["PrimaryContainer"]
    for uri in (model["ModelDataUrl"], model["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"]):
        key = uri.removeprefix(f"s3://{qa.bucket}/")
        head = qa.client("s3").head_object(Bucket=qa.bucket, Key=key)
        assert key.startswith(f"models/{application}/{execution.output['digest']}/")
        assert head["SSEKMSKeyId"].endswith(qa.physical_id("StageKey"))
    # The code and the model, in the names of the stage.
    prefix = f"incoming/{execution.arn.rpartition(':')[2]}/"
    arrived = objects(qa, prefix)
    assert len(arrived) == 2
    assert all("model" not in key.removeprefix(prefix) and "source" not in key.removeprefix(prefix) for key in arrived)
    for key in arrived:
        assert qa.client("s3").get_object_tagging(Bucket=qa.bucket, Key=key)["TagSet"] == []


def test_an_object_that_the_stage_can_decrypt_does_not_go_through_incoming(
    lab: Lab, qa: Stage, application: str
) -> None:
    key = physical_id(DEV, "model-promotion-upstream-of-qa", "ArtifactKey")
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    job = lab.train(application, "good", encryption=encrypted)

    execution = qa.execution_of(job)

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "good"}
    assert objects(qa, f"incoming/{execution.arn.rpartition(':')[2]}/") == {}


def test_an_object_with_a_key_that_denies_the_stage_goes_through_incoming(
    lab: Lab, qa: Stage, application: str
) -> None:
    key = lab.client("kms").create_key(Description="not shared")["KeyMetadata"]["Arn"]
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    job = lab.train(application, "good", encryption=encrypted)

    execution = qa.execution_of(job)

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "good"}


def test_a_smoke_test_and_its_bodies_that_the_stage_cannot_decrypt_are_read_by_the_role(
    lab: Lab, qa: Stage, application: str
) -> None:
    body = lab.upload_as_sdk(f"{application}/body.json", b"{}")
    suite = {"cases": [{"name": "answers", "body_uri": body, "expect": "label == 'good'", "maximum_latency_ms": 30000}]}
    uri = lab.upload_as_sdk(f"{application}/suite.json", json.dumps(suite).encode())
    artifact = lab.upload_as_sdk(f"{application}/model.tar.gz", lab.artifact("good"))
    lab.client("sagemaker").create_model(
        ModelName=application,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact},
        Tags=[{"Key": "model-promotion:smoke-test", "Value": uri}],
    )

    execution = qa.promote({"model": application, "application": application})

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "good"}


def test_a_stage_can_refuse_incoming_copies_and_says_what_to_configure(lab: Lab, qa: Stage, application: str) -> None:
    artifact = lab.upload_as_sdk(f"{application}/model.tar.gz", lab.artifact("good"))
    configure(qa, application, SmokeTest="skip")
    model = make_model(lab, application, artifact)
    reader = of_reader(qa, TRYING)

    with deployed_with(qa, IncomingCopies="false"):
        execution = qa.promote({"model": model, "application": application})
        denied = refused(reader.put_object, Bucket=qa.bucket, Key="incoming/a", Body=b"", IfNoneMatch="*")

    cause = execution.cause or ""
    assert execution.error == "PromotionRefusedError"
    for what in ("IncomingCopies=true", "CopiedBuckets", "CreateArtifactKey=true", "ArtifactKeyArn", "KmsKeyId"):
        assert what in cause
    assert '"Action": "kms:Decrypt"' in cause
    assert "no resource-based policy allows the s3:PutObject action" in denied
    assert qa.endpoint(application) is None


def test_an_object_that_the_reader_role_cannot_decrypt_either_is_refused(lab: Lab, qa: Stage, application: str) -> None:
    principals = {"AWS": [f"arn:aws:iam::{DEV}:user/operator", ROLE]}
    statement = {"Effect": "Allow", "Principal": principals, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    key = lab.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    uri = lab.upload(f"{application}/model.tar.gz", b"secret", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    configure(qa, application, SmokeTest="skip")

    execution = qa.promote({"model": make_model(lab, application, uri), "application": application})

    assert execution.error == "PromotionRefusedError"
    assert "the reader role of the upstream account cannot read the object either" in (execution.cause or "")
    assert f"KMS key {key}" in (execution.cause or "")
    assert execution.states.count("Plan copy") == 1


# Copies


def planned(lab: Lab, qa: Stage, application: str, key: str = "model.tar.gz") -> PinnedObject:
    """Return the object that only its own account can decrypt, pinned with the permissions of the plan."""
    connect = lambda: of_reader(qa, application)  # noqa: E731
    reference = Reference((0, "ModelDataUrl"), f"s3://{DEV_BUCKET}/{application}/{key}", is_prefix=False)
    found = pin(qa.acting_as("PlanCopyFunction", "s3"), reference, DEV, Reader(connect, application))
    _, (placed,) = targets(reference, found, f"models/{application}/digest")
    assert placed.incoming.startswith(f"incoming/{application}/")
    return placed


def copier(qa: Stage, application: str, **options: Any) -> IncomingCopier:
    """Return the copier with the permissions of its function."""
    s3 = qa.acting_as("CopyArtifactsFunction", "s3")
    return IncomingCopier(s3, lambda: of_reader(qa, application), qa.bucket, QA, **options)


def large_object(lab: Lab, key: str, gib: int) -> None:
    """Create an object with the key aws/s3, composed of one part that is copied repeatedly."""
    s3 = lab.client("s3")
    part = 64 * MIB
    s3.put_object(Bucket=DEV_BUCKET, Key=f"{key}.seed", Body=bytes(range(256)) * (part // 256))
    upload = s3.create_multipart_upload(Bucket=DEV_BUCKET, Key=key, ChecksumAlgorithm="CRC64NVME", **DEFAULT)
    place = {"Bucket": DEV_BUCKET, "Key": key, "UploadId": upload["UploadId"]}
    source = {"Bucket": DEV_BUCKET, "Key": f"{key}.seed"}
    parts = []
    for number in range(1, gib * GIB // part + 1):
        copied = s3.upload_part_copy(**place, PartNumber=number, CopySource=source)
        parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})


def test_an_object_of_6_gb_goes_through_incoming_in_parts(lab: Lab, qa: Stage, application: str) -> None:
    large_object(lab, f"{application}/model.tar.gz", 6)
    pinned = planned(lab, qa, application)

    summary = copier(qa, application).copy([pinned], seconds=PATIENCE_SECONDS)

    head = qa.client("s3").head_object(Bucket=qa.bucket, Key=pinned.target, ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["ChecksumCRC64NVME"]) == (6 * GIB, pinned.checksum)
    assert head["ETag"].endswith('-192"')
    assert (summary.copied, summary.bytes, summary.verified_by) == (1, 6 * GIB, {"CRC64NVME": 1})
    again = copier(qa, application).copy([pinned], seconds=PATIENCE_SECONDS)
    assert (again.copied, again.already_present, again.verified_by) == (0, 1, {"CRC64NVME": 1})
    assert list(objects(qa, f"incoming/{application}/")) == [pinned.incoming]


# Attacks with the credentials of the reader role


def test_the_reader_role_creates_objects_in_incoming_and_can_do_nothing_else(
    qa: Stage, attacker: Any, application: str
) -> None:
    place = {"Bucket": qa.bucket, "Key": f"incoming/{application}/one"}
    version = attacker.put_object(**place, Body=b"one", IfNoneMatch="*")["VersionId"]
    upload = {**place, "UploadId": qa.client("s3").create_multipart_upload(**place)["UploadId"]}
    tags = {"TagSet": [{"Key": "team", "Value": "blue"}]}

    assert "explicit deny in a resource-based policy" in refused(attacker.put_object, **place, Body=b"two")
    assert "PreconditionFailed" in refused(attacker.put_object, **place, Body=b"two", IfNoneMatch="*")
    assert "s3:GetObject" in refused(attacker.get_object, **place)
    assert "403" in refused(attacker.head_object, **place)
    assert "s3:GetObjectVersion" in refused(attacker.get_object, **place, VersionId=version)
    assert "s3:ListBucket" in refused(attacker.list_objects_v2, Bucket=qa.bucket, Prefix="incoming/")
    assert "s3:ListBucketVersions" in refused(attacker.list_object_versions, Bucket=qa.bucket, Prefix="incoming/")
    assert "s3:ListBucketMultipartUploads" in refused(attacker.list_multipart_uploads, Bucket=qa.bucket)
    assert "s3:ListMultipartUploadParts" in refused(attacker.list_parts, **upload)
    assert "s3:AbortMultipartUpload" in refused(attacker.abort_multipart_upload, **upload)
    assert "s3:DeleteObject" in refused(attacker.delete_object, **place)
    assert "s3:DeleteObjectVersion" in refused(attacker.delete_object, **place, VersionId=version)
    assert "s3:PutObjectTagging" in refused(attacker.put_object_tagging, **place, Tagging=tags)
    tagged = {**place, "Key": f"incoming/{application}/two", "Body": b"two", "Tagging": "team=blue"}
    assert "s3:PutObjectTagging" in refused(attacker.put_object, **tagged, IfNoneMatch="*")
    assert content(qa, place["Key"]) == b"one"
    assert list(objects(qa, f"incoming/{application}/")) == [place["Key"]]


@pytest.mark.parametrize("folder", ["models", "manifests", "inference", "smoke-test", "incoming-of-others"])
def test_the_reader_role_writes_nowhere_else(qa: Stage, attacker: Any, application: str, folder: str) -> None:
    place = {"Bucket": qa.bucket, "Key": f"{folder}/{application}/forged"}

    assert "s3:PutObject" in refused(attacker.put_object, **place, Body=b"forged", IfNoneMatch="*")
    assert "s3:PutObject" in refused(attacker.create_multipart_upload, **place)
    assert objects(qa, place["Key"]) == {}


def test_the_reader_role_cannot_choose_a_key_or_a_storage_class(
    lab: Lab, qa: Stage, attacker: Any, application: str
) -> None:
    place = {"Bucket": qa.bucket, "Key": f"incoming/{application}/one"}
    kms = {"ServerSideEncryption": "aws:kms"}
    key = lab.client("kms").create_key()["KeyMetadata"]["Arn"]
    stage_key = qa.client("kms").describe_key(KeyId=qa.physical_id("StageKey"))["KeyMetadata"]["Arn"]

    for chosen in (kms, {**kms, "SSEKMSKeyId": key}, {"ServerSideEncryption": "AES256"}, {"StorageClass": "GLACIER"}):
        denied = refused(attacker.put_object, **place, **chosen, Body=b"", IfNoneMatch="*")
        assert "no resource-based policy allows the s3:PutObject action" in denied, chosen
    # The key of the stage encrypts nothing elsewhere, and the role cannot use it itself.
    elsewhere = {"Bucket": DEV_BUCKET, "Key": f"{application}/elsewhere", **kms, "SSEKMSKeyId": stage_key}
    assert "kms:GenerateDataKey" in refused(lab.client("s3").put_object, **elsewhere, Body=b"")
    assert objects(qa, f"incoming/{application}/") == {}


def test_no_other_role_of_the_upstream_account_reaches_incoming(lab: Lab, qa: Stage, application: str) -> None:
    place = {"Bucket": qa.bucket, "Key": f"incoming/{application}/one"}
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = lab.client("iam").create_role(
        RoleName=f"model-promotion-upstream-of-qa-{application}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    lab.client("iam").put_role_policy(
        RoleName=role["RoleName"],
        PolicyName="everything",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )
    by = identity.ServiceCall("lambda.amazonaws.com", f"arn:aws:lambda:eu-west-1:{DEV}:function:any")
    similar = identity.client_as_role("s3", role["Arn"], TRYING, by)

    for s3 in (lab.client("s3"), similar):
        assert "resource-based" in refused(s3.put_object, **place, Body=b"", IfNoneMatch="*")


def test_only_the_copy_reads_incoming_and_nothing_of_the_stage_writes_it(
    qa: Stage, attacker: Any, application: str
) -> None:
    place = {"Bucket": qa.bucket, "Key": f"incoming/{application}/one"}
    attacker.put_object(**place, Body=b"one", IfNoneMatch="*")
    readers = set()
    for function in qa.functions():
        s3 = qa.trying_as(function, "s3")
        assert "s3:PutObject" in refused(s3.put_object, **place, Body=b"two", IfNoneMatch="*"), function
        assert "s3:DeleteObject" in refused(s3.delete_object, **place), function
        try:
            s3.get_object(**place)
            readers.add(function)
        except ClientError as error:
            assert "s3:GetObject" in str(error)  # noqa: PT017 - a function that cannot read
    assert readers == {"CopyArtifactsFunction"}


def test_a_flooded_prefix_changes_no_promotion_and_expires(
    lab: Lab, qa: Stage, attacker: Any, application: str
) -> None:
    for number in range(60):
        attacker.put_object(Bucket=qa.bucket, Key=f"incoming/{application}/{number}", Body=b"flood", IfNoneMatch="*")
        attacker.create_multipart_upload(Bucket=qa.bucket, Key=f"incoming/{application}/upload-{number}")
    job = lab.train(application, "good")

    execution = qa.execution_of(job)

    assert execution.status == "SUCCEEDED", execution.cause
    assert qa.answer(application) == {"label": "good"}
    assert len(objects(qa, f"models/{application}/")) == 2  # the model and its smoke test
    rules = qa.client("s3").get_bucket_lifecycle_configuration(Bucket=qa.bucket)["Rules"]
    (rule,) = [rule for rule in rules if rule["ID"] == "incoming-copies"]
    assert (rule["Status"], rule.get("Prefix") or rule["Filter"]["Prefix"]) == ("Enabled", "incoming/")
    assert rule["Expiration"]["Days"] == 1
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 1


def test_a_model_larger_than_the_stage_copies_does_not_reach_incoming(lab: Lab, qa: Stage, application: str) -> None:
    artifact = lab.upload_as_sdk(f"{application}/model.tar.gz", lab.artifact("good"))
    configure(qa, application, SmokeTest="skip")

    with deployed_with(qa, MaximumCopyBytes="10"):
        execution = qa.promote({"model": make_model(lab, application, artifact), "application": application})

    assert "MaximumCopyBytes" in (execution.cause or "")
    assert objects(qa, f"incoming/{execution.arn.rpartition(':')[2]}/") == {}


# Attacks on a copy


@pytest.fixture
def two_parts(lab: Lab, qa: Stage, application: str) -> PinnedObject:
    body = bytes(range(256)) * (8 * MIB // 256)
    lab.upload(f"{application}/model.tar.gz", body, ChecksumAlgorithm="CRC64NVME", **DEFAULT)
    return planned(lab, qa, application)


FORGED = b"f" * 8 * MIB
IN_PARTS = {"threshold": 6 * MIB, "part_size": PART}


def test_an_object_that_someone_else_put_at_the_key_is_not_used(
    qa: Stage, attacker: Any, two_parts: PinnedObject, application: str
) -> None:
    attacker.put_object(Bucket=qa.bucket, Key=two_parts.incoming, Body=FORGED, IfNoneMatch="*")

    with pytest.raises(PromotionRefusedError, match="already exists, and its content differs"):
        copier(qa, application, **IN_PARTS).copy([two_parts], seconds=PATIENCE_SECONDS)

    assert objects(qa, f"models/{application}/") == {}


def test_a_part_that_someone_else_wrote_is_found_by_the_checksum_and_copied_again(
    lab: Lab, qa: Stage, attacker: Any, two_parts: PinnedObject, application: str
) -> None:
    place = {"Bucket": qa.bucket, "Key": two_parts.incoming}
    upload = attacker.create_multipart_upload(
        **place, ChecksumAlgorithm=two_parts.checksum_algorithm, ChecksumType="FULL_OBJECT"
    )["UploadId"]
    part = {**place, "UploadId": upload, "PartNumber": 1, "Body": FORGED[:PART]}
    attacker.upload_part(**part, ChecksumAlgorithm=two_parts.checksum_algorithm)

    def copy_until_done() -> None:
        try:
            copier(qa, application, **IN_PARTS).copy([two_parts], seconds=PATIENCE_SECONDS)
        except TransientError as error:
            assert "is damaged" in str(error)  # noqa: PT017 - the state machine repeats the step
            copier(qa, application, **IN_PARTS).copy([two_parts], seconds=PATIENCE_SECONDS)

    copy_until_done()

    original = lab.client("s3").get_object(Bucket=DEV_BUCKET, Key=two_parts.key)["Body"].read()
    assert content(qa, two_parts.target) == original


@pytest.mark.parametrize("checksum", [True, False], ids=["with_checksum", "without_checksum"])
def test_an_object_that_is_replaced_before_the_second_copy_does_not_continue(
    lab: Lab,
    qa: Stage,
    attacker: Any,
    two_parts: PinnedObject,
    application: str,
    monkeypatch: pytest.MonkeyPatch,
    checksum: bool,
) -> None:
    pinned = two_parts if checksum else dataclasses.replace(two_parts, checksum_algorithm=None, checksum=None)
    place_of = IncomingCopier._place

    def replace_object(self: IncomingCopier, *arguments: Any) -> dict[str, Any]:
        # The reader role cannot delete. An administrator of the stage helps it.
        found = place_of(self, *arguments)
        place = {"Bucket": qa.bucket, "Key": found["key"]}
        qa.client("s3").delete_object(**place, VersionId=found["version_id"])
        attacker.put_object(**place, Body=FORGED, IfNoneMatch="*")
        return found

    monkeypatch.setattr(IncomingCopier, "_place", replace_object)
    with pytest.raises(PromotionRefusedError, match="was overwritten or deleted"):
        copier(qa, application).copy([pinned], seconds=PATIENCE_SECONDS)

    assert objects(qa, f"models/{application}/") == {}


def test_a_source_that_is_replaced_before_the_first_copy_does_not_continue(
    lab: Lab, qa: Stage, two_parts: PinnedObject, application: str
) -> None:
    lab.upload(two_parts.key, FORGED, **DEFAULT)

    with pytest.raises(PromotionRefusedError, match="was overwritten or deleted"):
        copier(qa, application).copy([two_parts], seconds=PATIENCE_SECONDS)

    assert objects(qa, f"incoming/{application}/") == {}
    assert objects(qa, f"models/{application}/") == {}
