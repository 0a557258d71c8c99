"""A prefix of 20,000 objects goes through the steps that plan and copy it, twice."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from promotion.endpoint import alarms
from promotion.history import claims
from promotion.plan import compatibility
from promotion.source.candidate import Candidate
from steps import copy_artifacts, plan_copy
from tests.support.lambda_context import CONTEXT
from tests.support.s3_service import OWN, S3, UPSTREAM, client, served

OBJECTS = 20_000
LIMIT = 32 * 1024
CANDIDATE = Candidate(
    application="reviews",
    source={"kind": "model", "name": "reviews", "arn": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model/reviews"},
    created_at="2026-01-01T00:00:00Z",
    containers=[
        {
            "Image": f"{UPSTREAM}.dkr.ecr.eu-west-1.amazonaws.com/reviews@sha256:{0:064}",
            "ModelDataSource": {
                "S3DataSource": {"S3Uri": "s3://upstream/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            },
        }
    ],
)

SETTINGS = {
    "EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]},
    "SmokeTest": "skip",
}


class Client:
    """A boto3 client whose own few requests are answered from memory; where a bucket is, botocore's says."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(client(), name)

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803 - as boto3 has it
        self.bodies[Key] = Body

    def get_object(self, *, Key: str, Range: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        first, last = Range.removeprefix("bytes=").split("-")
        return {"Body": io.BytesIO(self.bodies[Key][int(first) : int(last) + 1])}


@pytest.fixture
def _steps(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = Client()
    monkeypatch.setattr(plan_copy, "s3", s3)
    monkeypatch.setattr(compatibility, "live_config", lambda *_: None)
    monkeypatch.setattr(alarms, "states", lambda *_: {})
    # What it says in the promotion table is no part of what is measured.
    monkeypatch.setattr(claims, "use", lambda *_: None)
    monkeypatch.setattr(copy_artifacts, "client", lambda _: s3)


def promote() -> tuple[list[Any], dict[str, int]]:
    """What the state machine would do: everything that goes in and out of its states, and what was copied."""
    where = {"bucket": "stage", "account": OWN, "upstream_account": UPSTREAM}
    asked: dict[str, Any] = {
        **where,
        "candidate": CANDIDATE.to_json(),
        "approved_digest": None,
        "execution": "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:one",
        "stage": "qa",
        "image_copy": False,
        "image_repository": "model-promotion-qa",
        "sagemaker_role_arn": f"arn:aws:iam::{OWN}:role/model-promotion/qa/sagemaker",
        "settings": json.dumps(SETTINGS),
    }
    plan = plan_copy.handler(asked | {"table": "promotions", "preview": False}, CONTEXT)
    payloads, batches = [asked, plan], []
    for batch in plan["batches"]:
        given = {**where, "batch": batch, "manifest": plan["manifest"]}
        batches.append(copy_artifacts.handler(given, CONTEXT))
        payloads.append(given)
    done = {count: sum(batch[count] for batch in batches) for count in ("copied", "already_present")}
    return [*payloads, batches], done


@pytest.mark.usefixtures("_steps")
def test_20_000_objects_have_a_small_payload_and_are_copied_once() -> None:
    s3 = S3()
    s3.page, s3.checks_signatures = 1000, False
    for number in range(OBJECTS):
        s3.put("upstream", f"m/shards/{number:05}.bin", 1000 + number)

    async def promote_twice() -> list[Any]:
        async with served(s3):
            return [await asyncio.to_thread(promote) for _ in range(2)]

    (payloads, first), (_, again) = asyncio.run(promote_twice())

    copies = {key: stored.content for (bucket, key), stored in s3.objects.items() if bucket == "stage"}
    assert len(copies) == OBJECTS
    assert first == {"copied": OBJECTS, "already_present": 0}
    assert again == {"copied": 0, "already_present": OBJECTS}
    assert max(len(json.dumps(payload)) for payload in payloads) < LIMIT
