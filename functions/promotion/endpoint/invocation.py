"""Invocation of a live endpoint, real-time or asynchronous, with the cases of a smoke test."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from promotion.aws.aws_errors import none_if_not_found
from promotion.aws.s3_uri import bucket_and_key
from promotion.endpoint.smoke_test import MAXIMUM_BODY_BYTES, Answer, body_of

INFERENCE_ID = "model-promotion-smoke-test"
"""Tells the smoke test from customers in data capture."""

INPUTS = "inference/smoke-test/"
"""The prefix of the bodies of asynchronous cases in the stage's bucket, where they expire after some days."""

MAXIMUM_ANSWER_BYTES = MAXIMUM_BODY_BYTES
"""How much of an answer is read: all that InvokeEndpoint returns, and enough of an asynchronous one."""

# An endpoint that has just come into service, or a serverless one that starts, may still return these.
_NOT_READY = {"ModelNotReadyException", "ServiceUnavailable", "ThrottlingException"}
_PATIENCE_SECONDS = 60
_PAUSE_SECONDS = 2
_LOOK_SECONDS = 0.5


def invoke_all(
    runtime: Any, s3: Any, endpoint: str, suite: dict[str, Any], owner: str
) -> list[tuple[dict[str, Any], Answer]]:
    """Return each case of a smoke test with its answer, as often as the suite repeats it.

    Bodies in S3 have to belong to the account `owner`.
    """

    def body(case: dict[str, Any]) -> bytes:
        return read_object(s3, case["body_uri"], owner) if "body_uri" in case else body_of(case)

    return _answers(suite, body, lambda case, found: invoke(runtime, endpoint, case, found))


def invoke_all_async(
    runtime: Any, s3: Any, endpoint: str, suite: dict[str, Any], bucket: str, owner: str, ends: float
) -> list[tuple[dict[str, Any], Answer]]:
    """Return what `invoke_all` does; the endpoint reads the bodies from S3, those of the suite from `bucket`.

    Wait for no answer beyond `ends` (of the monotonic clock).
    """

    def uri(case: dict[str, Any]) -> str:
        return case["body_uri"] if "body_uri" in case else place_body(s3, bucket, case, owner)

    return _answers(suite, uri, lambda case, found: invoke_async(runtime, s3, endpoint, case, found, owner, ends))


def _answers[T](
    suite: dict[str, Any], prepare: Callable[[dict[str, Any]], T], ask: Callable[[dict[str, Any], T], Answer]
) -> list[tuple[dict[str, Any], Answer]]:
    """Prepare each case once, and then send all of them, `concurrency` at once."""
    prepared = [(case, prepare(case)) for case in suite["cases"]] * suite["repeat"]
    with ThreadPoolExecutor(suite["concurrency"]) as pool:
        return list(pool.map(lambda one: (one[0], ask(*one)), prepared))


def invoke(runtime: Any, endpoint: str, case: dict[str, Any], body: bytes) -> Answer:
    """Return one answer; call an endpoint that is not ready again for a while, each time with a new clock."""
    patience = time.monotonic() + _PATIENCE_SECONDS
    targets = {
        member: case[key]
        for member, key in (("TargetModel", "target_model"), ("TargetContainerHostname", "target_container_hostname"))
        if case.get(key)
    }
    while True:
        start = time.monotonic()
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint,
                Body=body,
                ContentType=case["content_type"],
                Accept=case["accept"],
                InferenceId=INFERENCE_ID,
                **targets,
            )
            body = answer["Body"].read(MAXIMUM_ANSWER_BYTES + 1)
            return _answered(_milliseconds_since(start), body)
        except (ClientError, BotoCoreError) as error:
            if not _is_not_ready(error) or time.monotonic() > patience:
                return _failed(start, error)
        time.sleep(_PAUSE_SECONDS)


def invoke_async(
    runtime: Any, s3: Any, endpoint: str, case: dict[str, Any], source: str, owner: str, ends: float
) -> Answer:
    """Return the answer to the object `source`, read from where SageMaker puts it, or why there is none.

    Wait for it as long as the case allows, and never beyond `ends` (of the monotonic clock). Its bucket has to belong
    to the account `owner`.
    """
    patience = time.monotonic() + _PATIENCE_SECONDS
    while True:
        start = time.monotonic()
        try:
            accepted = runtime.invoke_endpoint_async(
                EndpointName=endpoint,
                InputLocation=source,
                ContentType=case["content_type"],
                Accept=case["accept"],
                InferenceId=INFERENCE_ID,
            )
            break
        except (ClientError, BotoCoreError) as error:
            if not _is_not_ready(error) or time.monotonic() > patience:
                return _failed(start, error)
        time.sleep(_PAUSE_SECONDS)
    limit = case["maximum_latency_ms"]
    ends = min(ends, start + limit / 1000) if limit is not None else ends
    places = [(accepted["OutputLocation"], False)]
    if accepted.get("FailureLocation"):
        places.append((accepted["FailureLocation"], True))
    while True:
        for place, is_failure in places:
            try:
                found = _read_if_there(s3, place, owner)
            except (ClientError, BotoCoreError) as error:
                failed = _failed(start, error)
                return dataclasses.replace(failed, error=f"{place} could not be read: {failed.error}")
            if found is not None and is_failure:
                said = found[:500].decode(errors="replace")
                return Answer(latency_ms=_milliseconds_since(start), error=f"SageMaker wrote {place}", words=said)
            if found is not None:
                return _answered(_milliseconds_since(start), found)
        if time.monotonic() > ends:
            waited = _milliseconds_since(start)
            return Answer(latency_ms=waited, error=f"no answer at {accepted['OutputLocation']} within {waited:.0f} ms")
        time.sleep(_LOOK_SECONDS)


def place_body(s3: Any, bucket: str, case: dict[str, Any], owner: str) -> str:
    """Put the body of a case where the endpoint can read it, under its own checksum; return its `s3://` URI."""
    body = body_of(case)
    key = f"{INPUTS}{hashlib.sha256(body).hexdigest()}"
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=case["content_type"], ExpectedBucketOwner=owner)
    return f"s3://{bucket}/{key}"


def read_object(s3: Any, uri: str, owner: str) -> bytes:
    bucket, key = bucket_and_key(uri)
    return bytes(s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)["Body"].read())


def _read_if_there(s3: Any, uri: str, owner: str) -> bytes | None:
    bucket, key = bucket_and_key(uri)
    found = none_if_not_found(s3.get_object, Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
    return found["Body"].read(MAXIMUM_ANSWER_BYTES + 1) if found else None


def _answered(latency_ms: float, body: bytes) -> Answer:
    if len(body) > MAXIMUM_ANSWER_BYTES:
        return Answer(latency_ms, error=f"its answer is larger than {MAXIMUM_ANSWER_BYTES} bytes")
    return Answer(latency_ms, body)


def _is_not_ready(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_READY


def _failed(start: float, error: Exception) -> Answer:
    """The answer that `error` is: with AWS's words, and the model's apart from them."""
    latency = _milliseconds_since(start)
    if not isinstance(error, ClientError):
        return Answer(latency, error=str(error)[:500])
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")[:500]
    # Its message has what the container answered (API reference, InvokeEndpoint).
    return (
        Answer(latency, error=code, words=message)
        if code == "ModelError"
        else Answer(latency, error=f"{code}: {message}")
    )


def _milliseconds_since(start: float) -> float:
    return (time.monotonic() - start) * 1000
