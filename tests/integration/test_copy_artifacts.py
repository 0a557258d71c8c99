"""Artifacts of any size are copied completely, and exactly as planned."""

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.s3.responses import S3Response

from embedded_aws.kernel import accounts
from promotion.copying.copier import MULTIPART_THRESHOLD, Copier
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import pin
from promotion.copying.references import Reference, targets
from promotion.errors import PromotionRefusedError
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.world import DEV, DEV_BUCKET, QA, Lab, Stage

GIB = 1024**3
FUNCTIONS = str(Path(__file__).parents[2] / "functions")


def big_object(lab: Lab, key: str, gib: int) -> str:
    """Create an object of a size in dev, composed of one part that is copied repeatedly."""
    s3 = lab.client("s3")
    part = 64 * 1024**2
    s3.put_object(Bucket=DEV_BUCKET, Key=f"{key}.seed", Body=bytes(range(256)) * (part // 256))
    upload = s3.create_multipart_upload(
        Bucket=DEV_BUCKET, Key=key, ContentType="application/x-tar", ChecksumAlgorithm="CRC64NVME"
    )
    parts = []
    for number in range(1, gib * GIB // part + 1):
        copied = s3.upload_part_copy(
            Bucket=DEV_BUCKET,
            Key=key,
            UploadId=upload["UploadId"],
            PartNumber=number,
            CopySource={"Bucket": DEV_BUCKET, "Key": f"{key}.seed"},
        )
        parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(
        Bucket=DEV_BUCKET, Key=key, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}
    )
    return f"s3://{DEV_BUCKET}/{key}"


@pytest.fixture
def copier(qa: Stage) -> Copier:
    """Return the copier as its function has it, with the permissions of the function."""
    session = qa.acting_as("CopyArtifactsFunction", "s3")
    return Copier(session, qa.bucket, QA)


def planned(lab: Lab, uri: str, application: str) -> PinnedObject:
    reference = Reference((0, "ModelDataUrl"), uri, is_prefix=False)
    _, (placed,) = targets(reference, pin(lab.client("s3"), reference, DEV), f"models/{application}/digest")
    return placed


def test_an_object_of_6_gb_is_copied_in_parts_and_verified(
    lab: Lab, qa: Stage, copier: Copier, application: str
) -> None:
    pinned = planned(lab, big_object(lab, f"{application}/model.tar.gz", 6), application)

    summary = copier.copy([pinned], seconds=PATIENCE_SECONDS)

    head = qa.client("s3").head_object(Bucket=qa.bucket, Key=pinned.target, ChecksumMode="ENABLED")
    assert pinned.size == 6 * GIB
    assert head["ContentLength"] == 6 * GIB
    assert head["ChecksumCRC64NVME"] == pinned.checksum
    assert head["ContentType"] == "application/x-tar"
    assert head["ETag"].endswith('-192"')
    assert summary.verified_by == {"CRC64NVME": 1}
    again = copier.copy([pinned], seconds=PATIENCE_SECONDS)
    assert (again.copied, again.already_present) == (0, 1)


COPY = """
import sys, boto3
from promotion.copying.copier import Copier
from promotion.copying.manifest import PinnedObject
bucket, owner, line = sys.argv[1:]
Copier(boto3.client("s3"), bucket, owner, in_flight=4).copy([PinnedObject.from_line(line)], 180)
"""


def test_a_copy_is_resumed_after_its_process_has_died(
    lab: Lab, qa: Stage, copier: Copier, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = planned(lab, big_object(lab, f"{application}/model.tar.gz", 1), application)
    keys = qa.acting_as("CopyArtifactsFunction", "s3")._request_signer._credentials
    dying = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", COPY, qa.bucket, QA, pinned.to_line()],
        env={
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_ENDPOINT_URL": accounts.endpoint_url(),
            "AWS_DEFAULT_REGION": accounts.REGION,
            "PYTHONPATH": FUNCTIONS,
        },
    )
    copied: list[int] = []
    requests, taken_up = itertools.count(1), threading.Event()
    copy_part = S3Response.upload_part_copy

    def kill_at_the_tenth(response: Any) -> Any:
        number = next(requests)
        if number == 10:
            dying.kill()
        # What the dead process has sent beyond that never reaches S3.
        if number > 10 and not taken_up.is_set():
            return 503, {}, ""
        copied.append(int(response.querystring["partNumber"][0]))
        return copy_part(response)

    monkeypatch.setattr(S3Response, "upload_part_copy", kill_at_the_tenth)

    assert dying.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL
    s3 = qa.client("s3")
    (upload,) = s3.list_multipart_uploads(Bucket=qa.bucket, Prefix=pinned.target)["Uploads"]

    def ten_parts() -> set[int] | None:
        parts = s3.list_parts(Bucket=qa.bucket, Key=pinned.target, UploadId=upload["UploadId"]).get("Parts", [])
        return {part["PartNumber"] for part in parts} if len(parts) == 10 else None

    # S3 goes on with what it was asked.
    kept = wait_until(ten_parts, "ten parts")
    copied.clear()
    taken_up.set()
    copier.copy([pinned], seconds=PATIENCE_SECONDS)

    assert set(copied) == set(range(1, 33)) - kept
    head = s3.head_object(Bucket=qa.bucket, Key=pinned.target, ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["ChecksumCRC64NVME"]) == (GIB, pinned.checksum)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=qa.bucket, Prefix=pinned.target)


def test_an_abandoned_multipart_upload_expires(qa: Stage) -> None:
    rules = qa.client("s3").get_bucket_lifecycle_configuration(Bucket=qa.bucket)["Rules"]

    (rule,) = (rule for rule in rules if rule["ID"] == "abandoned-copies")
    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule.get("Filter", {}).get("Prefix", "") == ""


@pytest.mark.parametrize("size", [1024, MULTIPART_THRESHOLD], ids=["whole", "by-parts"])
def test_an_artifact_that_changes_between_plan_and_copy_is_refused(
    lab: Lab, qa: Stage, copier: Copier, application: str, size: int
) -> None:
    uri = lab.upload(f"{application}/model.tar.gz", b"a" * size)
    pinned = planned(lab, uri, application)
    lab.upload(f"{application}/model.tar.gz", b"b" * size)

    with pytest.raises(PromotionRefusedError, match="was overwritten or deleted after the promotion was planned"):
        copier.copy([pinned], seconds=PATIENCE_SECONDS)

    found = qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=pinned.target)
    assert found["KeyCount"] == 0
    assert "Uploads" not in qa.client("s3").list_multipart_uploads(Bucket=qa.bucket, Prefix=pinned.target)


@pytest.mark.parametrize("size", [1024, MULTIPART_THRESHOLD], ids=["whole", "by-parts"])
def test_an_artifact_that_is_deleted_between_plan_and_copy_is_refused(
    lab: Lab, qa: Stage, copier: Copier, application: str, size: int
) -> None:
    pinned = planned(lab, lab.upload(f"{application}/model.tar.gz", b"a" * size), application)
    lab.client("s3").delete_object(Bucket=DEV_BUCKET, Key=f"{application}/model.tar.gz")

    with pytest.raises(PromotionRefusedError, match="does not exist"):
        copier.copy([pinned], seconds=PATIENCE_SECONDS)

    assert qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=pinned.target)["KeyCount"] == 0


def test_a_damaged_copy_is_refused(lab: Lab, qa: Stage, copier: Copier, application: str) -> None:
    pinned = planned(lab, lab.upload(f"{application}/model.tar.gz", b"as it is"), application)
    other = planned(lab, lab.upload(f"{application}/other.tar.gz", b"as it was"), application)

    with pytest.raises(PromotionRefusedError, match="is a damaged copy"):
        copier.copy([dataclasses.replace(pinned, checksum=other.checksum)], seconds=PATIENCE_SECONDS)


@pytest.fixture
def versioned(lab: Lab) -> Iterator[None]:
    """Enable versioning of the lab's bucket for a while."""
    s3 = lab.client("s3")
    s3.put_bucket_versioning(Bucket=DEV_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield
    s3.put_bucket_versioning(Bucket=DEV_BUCKET, VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.usefixtures("versioned")
@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms"], ids=["copied directly", "copied by the upstream account"])
def test_the_version_of_a_versioned_artifact_is_pinned(lab: Lab, qa: Stage, application: str, algorithm: str) -> None:
    promotion = qa.execution_of(lab.train(application, "good", encryption={"ServerSideEncryption": algorithm}))

    assert promotion.status == "SUCCEEDED", promotion.cause
    manifest = qa.client("s3").get_object(Bucket=qa.bucket, Key=promotion.output["manifest"])["Body"].read().decode()
    pinned = PinnedObject.from_line(manifest)
    lab.upload(pinned.key, b"overwritten")
    head = lab.client("s3").head_object(Bucket=DEV_BUCKET, Key=pinned.key, VersionId=pinned.version_id)
    assert head["ETag"] == pinned.etag
    assert qa.answer(application) == {"label": "good"}


def test_a_target_with_other_content_is_never_overwritten(
    lab: Lab, qa: Stage, copier: Copier, application: str
) -> None:
    pinned = planned(lab, lab.upload(f"{application}/model.tar.gz", b"new"), application)
    qa.client("s3").put_object(Bucket=qa.bucket, Key=pinned.target, Body=b"old", IfNoneMatch="*")

    with pytest.raises(PromotionRefusedError, match="never overwritten"):
        copier.copy([pinned], seconds=PATIENCE_SECONDS)

    assert qa.client("s3").get_object(Bucket=qa.bucket, Key=pinned.target)["Body"].read() == b"old"


MIB = 1024**2


@pytest.mark.parametrize("threshold", [5 * MIB, 100 * MIB], ids=["by-parts", "whole"])
def test_a_copy_keeps_metadata_and_tags_and_is_encrypted_with_the_key_of_the_stage(
    lab: Lab, qa: Stage, application: str, threshold: int
) -> None:
    key = f"{application}/model.tar.gz"
    told = {"ContentType": "application/x-tar", "CacheControl": "no-cache", "Metadata": {"trained-by": "me"}}
    tags = [{"Key": "team", "Value": "reviews + more"}, {"Key": "cost", "Value": "1+1"}]
    lab.client("s3").put_object(
        Bucket=DEV_BUCKET,
        Key=key,
        Body=bytes(6 * MIB),
        StorageClass="STANDARD_IA",
        Tagging="team=reviews%20%2B%20more&cost=1%2B1",
        **told,
    )
    reference = Reference((0, "ModelDataUrl"), f"s3://{DEV_BUCKET}/{key}", is_prefix=False)
    found = pin(qa.acting_as("PlanCopyFunction", "s3"), reference, DEV)
    _, (placed,) = targets(reference, found, f"models/{application}/digest")

    copying = qa.acting_as("CopyArtifactsFunction", "s3")
    copier = Copier(copying, qa.bucket, QA, threshold=threshold, part_size=5 * MIB)
    summary = copier.copy([placed], seconds=PATIENCE_SECONDS)

    s3, place = qa.client("s3"), {"Bucket": qa.bucket, "Key": placed.target}
    head = s3.head_object(**place)
    assert {name: head[name] for name in told} == told
    assert head["StorageClass"] == "STANDARD_IA"
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"].endswith(qa.physical_id("StageKey"))
    assert sorted(s3.get_object_tagging(**place)["TagSet"], key=str) == sorted(tags, key=str)
    assert summary.without_tags == 0


def test_many_small_objects_with_odd_names_are_copied_exactly(
    lab: Lab, qa: Stage, copier: Copier, application: str
) -> None:
    names = ["a b.bin", "a+b.bin", "100%.bin", "q?x=1&y.bin", "#hash.bin", "ümläut/日本.bin", "deep/er/still.bin"]
    for name in names:
        lab.upload(f"{application}/model/{name}", name.encode())
    reference = Reference((0, "ModelDataSource"), f"s3://{DEV_BUCKET}/{application}/model/", is_prefix=True)
    prefix, placed = targets(reference, pin(lab.client("s3"), reference, DEV), f"models/{application}/digest")

    summary = copier.copy(placed, seconds=PATIENCE_SECONDS)

    s3 = qa.client("s3")
    assert summary.copied == len(names)
    for name in names:
        assert s3.get_object(Bucket=qa.bucket, Key=prefix + name)["Body"].read() == name.encode()


def test_a_prefix_in_the_upstream_stage_is_found_although_only_its_models_can_be_listed(
    qa: Stage, production: Stage, application: str
) -> None:
    key = f"models/{application}/digest/0/Environment/TOKENIZER"
    for name in ("vocabulary", "merges"):
        qa.client("s3").put_object(Bucket=qa.bucket, Key=f"{key}/{name}", Body=b"x", IfNoneMatch="*")
    reader = production.acting_as("PlanCopyFunction", "s3")

    # S3 denies the check for an object of that name.
    found = pin(reader, Reference((0, "Environment", "TOKENIZER"), f"s3://{qa.bucket}/{key}", is_prefix=False), QA)
    missing = Reference((0, "Environment", "TOKENIZER"), f"s3://{qa.bucket}/{key}-missing", is_prefix=False)

    assert sorted(pinned.name for pinned in found) == ["merges", "vocabulary"]
    with pytest.raises(PromotionRefusedError, match="contains no objects"):
        pin(reader, missing, QA)


def test_a_bucket_of_another_account_than_upstream_is_refused(qa: Stage, lab: Lab, application: str) -> None:
    qa.client("s3").put_object(Bucket=qa.bucket, Key=f"models/{application}/x", Body=b"x", IfNoneMatch="*")
    reference = Reference((0, "ModelDataUrl"), f"s3://{qa.bucket}/models/{application}/x", is_prefix=False)

    with pytest.raises(PromotionRefusedError, match="cannot be read"):
        pin(qa.client("s3"), reference, DEV)


def test_the_record_contains_how_each_copy_was_verified(lab: Lab, qa: Stage, application: str) -> None:
    promotion = qa.execution_of(lab.train(application, "good")).output

    assert promotion["objects"] == 1
    assert promotion["verified_by"] == "CRC32"
    manifest = qa.client("s3").get_object(Bucket=qa.bucket, Key=promotion["manifest"])
    (line,) = manifest["Body"].read().decode().splitlines()
    assert json.loads(line)["checksum_algorithm"] == "CRC32"
    assert json.loads(line)["target"].startswith(f"models/{application}/{promotion['digest']}/")
    assert dataclasses.asdict(PinnedObject.from_line(line))["size"] == promotion["bytes"]
