"""Artifacts in a bucket of a third account, which UpstreamBuckets names as the owner."""

from __future__ import annotations

import json
from typing import Any

from embedded_aws.kernel import accounts
from tests.support.settings import configure
from tests.support.sources import SERVER_IMAGE
from tests.support.stacks import deployed_with
from tests.support.steps import failure, invoke, payload
from tests.support.world import DEV_BUCKET, PRODUCTION, QA, ROLE, Lab, Stage

STAGE_ROLES = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{QA}:role/model-promotion/qa/*"}}


def shared_bucket(owner: Stage, name: str) -> str:
    """Create a bucket with an encrypted object, which the roles of QA may read and decrypt."""
    principal = {"AWS": f"arn:aws:iam::{QA}:root"}
    administer = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{owner.account}:root"}, "Action": "kms:*"}
    decrypt = {"Effect": "Allow", "Principal": principal, "Action": "kms:Decrypt", "Condition": STAGE_ROLES}
    policy = document(administer | {"Resource": "*"}, decrypt | {"Resource": "*"})
    key = owner.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    s3, bucket = owner.client("s3"), f"shared-{name}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    read = {"Effect": "Allow", "Principal": principal, "Condition": STAGE_ROLES} | {
        "Action": ["s3:GetObject", "s3:GetObjectTagging", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=document(read))
    for file in ("a.txt", "b.txt"):
        encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        s3.put_object(Bucket=bucket, Key=f"tokens/{file}", Body=file.encode(), **encrypted)
    return bucket


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_bucket_of_a_third_account_is_read_only_if_the_stage_names_its_owner(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    bucket = shared_bucket(production, application)
    configure(qa, application, SmokeTest="skip")
    archive = lab.upload(f"{application}/model.tar.gz", b"archive")
    container = {"Image": SERVER_IMAGE, "ModelDataUrl": archive, "Environment": {"TOKENS": f"s3://{bucket}/tokens/"}}
    lab.client("sagemaker").create_model(ModelName=application, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    execution = f"arn:aws:states:{accounts.REGION}:{QA}:execution:model-promotion-qa:{application}"
    resolve = payload(qa, "Resolve candidate", started_at="2026-01-01T00:00:00Z", execution=execution)
    found = invoke(
        qa, "ResolveCandidateFunction", resolve | {"input": {"model": application, "application": application}}
    )
    copied = {key: found[key] for key in ("candidate", "settings", "approved")}

    def planning() -> dict[str, Any]:
        return payload(qa, "Plan copy", **copied, execution=execution, image_copy=False, preview=False)

    with deployed_with(qa, UpstreamBuckets=f"{DEV_BUCKET},{bucket}"):
        refused = failure(qa, "PlanCopyFunction", planning())
    with deployed_with(qa, UpstreamBuckets=f"{bucket}={PRODUCTION},{DEV_BUCKET}"):
        request = planning()
        plan = invoke(qa, "PlanCopyFunction", request)
        where = {name: request[name] for name in ("bucket", "account", "upstream_role_arn", "external_id", "execution")}
        for batch in plan["batches"]:
            invoke(qa, "CopyArtifactsFunction", where | {"batch": batch, "manifest": plan["manifest"]})

    assert refused["errorType"] == "PromotionRefusedError"
    assert f"the bucket {bucket} does not belong to account" in refused["errorMessage"]
    s3, prefix = qa.client("s3"), plan["model"]["PrimaryContainer"]["Environment"]["TOKENS"]
    key = prefix.removeprefix(f"s3://{qa.bucket}/")
    copies = {name: s3.get_object(Bucket=qa.bucket, Key=f"{key}{name}")["Body"].read() for name in ("a.txt", "b.txt")}
    assert copies == {"a.txt": b"a.txt", "b.txt": b"b.txt"}
    lines = s3.get_object(Bucket=qa.bucket, Key=plan["manifest"])["Body"].read().decode().splitlines()
    owners = {each["bucket"]: each["owner"] for each in map(json.loads, lines)}
    assert owners == {DEV_BUCKET: DEV_BUCKET[-12:], bucket: PRODUCTION}
