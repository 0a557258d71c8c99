"""Two promotions of a prefix of 20,000 objects, through the steps that plan and copy it."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from promotion.copying import image_copier
from promotion.endpoint import alarms, target
from promotion.errors import EndpointBusyError
from promotion.history import claims
from promotion.source.candidate import Candidate
from steps import copy_artifacts, plan_copy
from tests.support.lambda_context import CONTEXT
from tests.support.s3_service import OWN, S3, UPSTREAM, Stored, client, served

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
    """A boto3 client that keeps manifests in memory; botocore's client resolves the endpoint of a bucket."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(client(), name)

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803 - boto3's name
        self.bodies[Key] = Body

    def get_object(self, *, Key: str, Range: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        first, last = Range.removeprefix("bytes=").split("-")
        return {"Body": io.BytesIO(self.bodies[Key][int(first) : int(last) + 1])}


@pytest.fixture
def _steps(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = Client()
    monkeypatch.setattr(plan_copy, "s3", s3)
    monkeypatch.setattr(image_copier, "digest_of", lambda _, image: image.digest)
    monkeypatch.setattr(target, "describe_endpoint", lambda *_: None)
    monkeypatch.setattr(alarms, "states", lambda *_: {})
    monkeypatch.setattr(plan_copy, "serving_role", lambda _, path, *__: f"{path}reviews-qa")
    # The claim in the promotion table is not part of the measurement.
    monkeypatch.setattr(claims, "use", lambda *_: None)
    monkeypatch.setattr(copy_artifacts, "client", lambda _: s3)


NAMES = {
    "bucket": "stage",
    "account": OWN,
    "upstream_role_arn": f"arn:aws:iam::{UPSTREAM}:role/model-promotion-upstream-of-qa",
    "external_id": "model-promotion-qa",
    "execution": "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:one",
}


def planned() -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the step Plan copy, and return its payload and its result."""
    request: dict[str, Any] = {
        **NAMES,
        "incoming_copies": True,
        "candidate": CANDIDATE.to_json(),
        "approved": {"digest": None, "deployment_digest": None},
        "stage": "qa",
        "upstream_account": UPSTREAM,
        "upstream_buckets": "upstream",
        "image_copy": False,
        "maximum_copy_bytes": 1024**4,
        "image_repository": "model-promotion-qa",
        "serving_role_path": f"arn:aws:iam::{OWN}:role/model-promotion/qa/serving/",
        "require_network_isolation": False,
        "require_pinned_weights": False,
        "settings": json.dumps(SETTINGS),
    }
    return request, plan_copy.handler(request | {"table": "promotions", "preview": False}, CONTEXT)


def promote() -> tuple[list[Any], int]:
    """Run the steps as the state machine does, and return the payloads of all states and the number of objects."""
    request, plan = planned()
    payloads, batches = [request, plan], []
    for batch in plan["batches"]:
        payload = {**NAMES, "batch": batch, "manifest": plan["manifest"]}
        batches.append(copy_artifacts.handler(payload, CONTEXT))
        payloads.append(payload)
    # A request that is repeated on a busy machine counts as a copy, even if an earlier promotion made the object.
    return [*payloads, batches], sum(batch["copied"] + batch["already_present"] for batch in batches)


@pytest.mark.usefixtures("_steps")
def test_nothing_is_written_before_the_digest_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise EndpointBusyError("Superseded resources are being removed.")

    monkeypatch.setattr(claims, "use", refuse)
    s3 = S3()
    s3.put("upstream", "m/weights.bin", 1000)

    async def plan() -> None:
        async with served(s3):
            await asyncio.to_thread(planned)

    with pytest.raises(EndpointBusyError):
        asyncio.run(plan())

    assert plan_copy.s3.bodies == {}


@pytest.mark.usefixtures("_steps")
def test_20_000_objects_have_a_small_payload_and_are_copied_once() -> None:
    s3 = S3()
    s3.page, s3.checks_signatures = 1000, False
    for number in range(OBJECTS):
        s3.put("upstream", f"m/shards/{number:05}.bin", 1000 + number)

    def copies() -> dict[str, Stored]:
        return {key: stored for (bucket, key), stored in s3.objects.items() if bucket == "stage"}

    async def promote_twice() -> list[Any]:
        async with served(s3):
            return [(*await asyncio.to_thread(promote), copies()) for _ in range(2)]

    (payloads, handled, first), (_, handled_again, again) = asyncio.run(promote_twice())

    assert handled == handled_again == len(first) == OBJECTS
    assert again.keys() == first.keys()
    assert all(again[key] is first[key] for key in first)
    assert max(len(json.dumps(payload)) for payload in payloads) < LIMIT
