"""Really invoke the live endpoint, and judge its answers."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from promotion import smoke_test
from promotion.artifacts import bucket_and_key
from promotion.clients import client
from promotion.settings import SKIP
from promotion.smoke_test import Answer
from promotion.step import logger, step

# A model has sixty seconds to answer; InvokeEndpoint's documentation asks for a time-out of seventy.
runtime = boto3.client(
    "sagemaker-runtime",
    config=Config(connect_timeout=5, read_timeout=70, retries={"total_max_attempts": 1}, max_pool_connections=100),
)

# An endpoint that has come into service a moment ago may still answer these.
_NOT_READY = {"ModelNotReadyException", "ServiceUnavailable", "ThrottlingException"}
_PATIENCE_SECONDS = 60
_PAUSE_SECONDS = 2


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    uri, endpoint = event["promotion"]["smoke_test"], event["promotion"]["endpoint"]
    if uri == SKIP:
        return {"passed": True, "reason": None, "invocations": 0, "errors": 0, "p95_latency_ms": 0}
    suite = json.loads(_read(uri, event["account"]))
    bodies = [_body(case, event["account"]) for case in suite["cases"]]
    calls = [(case, body) for case, body in zip(suite["cases"], bodies, strict=True)] * suite["repeat"]
    with ThreadPoolExecutor(suite["concurrency"]) as pool:
        answers = list(pool.map(lambda call: (call[0], _invoke(endpoint, *call)), calls))
    verdict = smoke_test.verdict(suite, answers)
    logger.info("Smoke test run", endpoint=endpoint, **verdict)
    return verdict


def _invoke(endpoint: str, case: dict[str, Any], body: bytes) -> Answer:
    """One answer; an endpoint that is not ready yet is asked again for a while, each time with a fresh clock."""
    patience = time.monotonic() + _PATIENCE_SECONDS
    while True:
        start = time.monotonic()
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint,
                Body=body,
                ContentType=case["content_type"],
                Accept=case["accept"],
                # So that data capture and its readers can tell the smoke test from customers.
                InferenceId="model-promotion-smoke-test",
            )
            return Answer(latency_ms=(time.monotonic() - start) * 1000, body=answer["Body"].read())
        except ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code not in _NOT_READY or time.monotonic() > patience:
                return Answer(latency_ms=(time.monotonic() - start) * 1000, error=f"{code}: {text[:500]}")
        except BotoCoreError as error:
            return Answer(latency_ms=(time.monotonic() - start) * 1000, error=str(error)[:500])
        time.sleep(_PAUSE_SECONDS)


def _body(case: dict[str, Any], owner: str) -> bytes:
    return _read(case["body_uri"], owner) if "body_uri" in case else smoke_test.body_of(case)


def _read(uri: str, owner: str) -> bytes:
    bucket, key = bucket_and_key(uri)
    return bytes(client("s3").get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)["Body"].read())
