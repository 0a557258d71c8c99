"""Really invoke the live endpoint, and judge its answers."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from promotion.aws.clients import client
from promotion.aws.s3_uri import bucket_and_key
from promotion.endpoint import invocation, smoke_test
from promotion.endpoint.config import is_asynchronous
from promotion.endpoint.sagemaker import describe_endpoint
from promotion.endpoint.smoke_test import SKIP, Answer
from promotion.step import logger, step

# A model has sixty seconds to answer; InvokeEndpoint's documentation asks for a time-out of seventy.
runtime = boto3.client(
    "sagemaker-runtime",
    config=Config(connect_timeout=5, read_timeout=70, retries={"total_max_attempts": 1}, max_pool_connections=100),
)

# An asynchronous answer may take an hour, but the function has a quarter of one.
_LONGEST_SECONDS = 840


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    uri, endpoint = event["promotion"]["smoke_test"], event["promotion"]["endpoint"]
    if uri == SKIP:
        return {"passed": True, "reason": None, "answered": None, "invocations": 0, "errors": 0, "p95_latency_ms": 0}
    suite = json.loads(_read(uri, event["account"]))
    if is_asynchronous(describe_endpoint(client("sagemaker"), endpoint) or {}):
        answers = _asked_asynchronously(suite, endpoint, event)
    else:
        answers = _asked(suite, endpoint, event["account"])
    verdict = smoke_test.verdict(suite, answers)
    counted = {key: verdict[key] for key in ("passed", "invocations", "errors", "p95_latency_ms")}
    logger.info("Smoke test run", endpoint=endpoint, **counted)
    return verdict


def _asked(suite: dict[str, Any], endpoint: str, owner: str) -> list[tuple[dict[str, Any], Answer]]:
    bodies = [
        _read(case["body_uri"], owner) if "body_uri" in case else smoke_test.body_of(case) for case in suite["cases"]
    ]
    calls = list(zip(suite["cases"], bodies, strict=True)) * suite["repeat"]
    with ThreadPoolExecutor(suite["concurrency"]) as pool:
        return list(pool.map(lambda call: (call[0], invocation.ask(runtime, endpoint, *call)), calls))


def _asked_asynchronously(
    suite: dict[str, Any], endpoint: str, event: dict[str, Any]
) -> list[tuple[dict[str, Any], Answer]]:
    """As `_asked`, but the endpoint reads the bodies in the stage's bucket itself."""
    ends, owner, s3 = time.monotonic() + _LONGEST_SECONDS, event["account"], client("s3")

    def source(case: dict[str, Any]) -> str:
        if "body_uri" in case:
            return str(case["body_uri"])
        body = smoke_test.body_of(case)
        return invocation.place_body(s3, event["bucket"], body, case["content_type"], owner)

    calls = [(case, source(case)) for case in suite["cases"]] * suite["repeat"]

    def asked(call: tuple[dict[str, Any], str]) -> tuple[dict[str, Any], Answer]:
        case, uri = call
        return case, invocation.ask_asynchronously(runtime, s3, endpoint, case, uri, owner, ends)

    with ThreadPoolExecutor(suite["concurrency"]) as pool:
        return list(pool.map(asked, calls))


def _read(uri: str, owner: str) -> bytes:
    bucket, key = bucket_and_key(uri)
    return bytes(client("s3").get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)["Body"].read())
