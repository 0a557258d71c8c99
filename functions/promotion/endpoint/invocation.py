"""Invocations of a live endpoint, real-time or asynchronous, with the cases of a smoke test."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from promotion.aws.aws_errors import none_if_not_found
from promotion.aws.s3_uri import bucket_and_key
from promotion.endpoint.judgment import Judgment, Response
from promotion.endpoint.smoke_test import MAXIMUM_BODY_BYTES, body_of

INFERENCE_ID = "model-promotion-smoke-test"
"""Identifies the requests of the smoke test in data capture."""

MAXIMUM_RESPONSE_BYTES = MAXIMUM_BODY_BYTES
"""The maximum size of a response that is read: that of InvokeEndpoint, for asynchronous responses too."""

# The error codes of an endpoint that has just become InService, or of a serverless endpoint that is starting.
_NOT_READY = {"ModelNotReadyException", "ServiceUnavailable", "ThrottlingException"}
_RETRY_SECONDS = 60
_PAUSE_SECONDS = 2
_POLL_SECONDS = 0.5


def run(
    runtime: Any,
    s3: Any,
    endpoint: str,
    suite: dict[str, Any],
    *,
    folder: str | None,
    owner: str,
    seconds: float,
    component: str | None = None,
) -> dict[str, Any]:
    """Return the verdict of `suite` on `endpoint` or its `component`, as soon as it is decided and within `seconds`.

    `folder` is the `s3://` URI for the request bodies of an asynchronous endpoint, or None for another endpoint. The
    buckets of bodies and responses must belong to the account `owner`.
    """
    ends = time.monotonic() + seconds
    order = list(range(len(suite["cases"]))) * suite["repeat"]
    judgment = Judgment(suite, len(order))

    def respond(case: dict[str, Any]) -> Response:
        if folder is None:
            body = read_object(s3, case["body_uri"], owner) if "body_uri" in case else body_of(case)
            return invoke(runtime, endpoint, case, body, component)
        uri = case["body_uri"] if "body_uri" in case else place_body(s3, folder, case, owner)
        return invoke_async(runtime, s3, endpoint, case, uri, owner, ends)

    def judge(index: int) -> None:
        if judgment.is_decided:
            return
        start = time.monotonic()
        try:
            response = respond(suite["cases"][index])
        except (ClientError, BotoCoreError) as error:
            failed = _failed(start, error)
            response = dataclasses.replace(failed, error=f"its request body is not available: {failed.error}")
        judgment.add(index, response)

    pool = ThreadPoolExecutor(suite["concurrency"])
    try:
        for future in as_completed([pool.submit(judge, index) for index in order], timeout=seconds):
            future.result()
            if judgment.is_decided:
                break
    except TimeoutError:
        pass  # the verdict says so
    finally:
        # Requests in flight can take another minute. An unproven model must not stay live for it.
        pool.shutdown(wait=False, cancel_futures=True)
    return judgment.verdict(seconds)


def invoke(runtime: Any, endpoint: str, case: dict[str, Any], body: bytes, component: str | None = None) -> Response:
    """Return the response to one request; retry for a minute while the endpoint is not ready."""
    retry_until = time.monotonic() + _RETRY_SECONDS
    targets = {
        member: case[key]
        for member, key in (("TargetModel", "target_model"), ("TargetContainerHostname", "target_container_hostname"))
        if case.get(key)
    } | ({"InferenceComponentName": component} if component else {})
    while True:
        start = time.monotonic()
        try:
            response = runtime.invoke_endpoint(
                EndpointName=endpoint,
                Body=body,
                ContentType=case["content_type"],
                Accept=case["accept"],
                InferenceId=INFERENCE_ID,
                **targets,
            )
            return _responded(_milliseconds_since(start), response["Body"].read(MAXIMUM_RESPONSE_BYTES + 1))
        except (ClientError, BotoCoreError) as error:
            if not _is_not_ready(error) or time.monotonic() > retry_until:
                return _failed(start, error)
        time.sleep(_PAUSE_SECONDS)


def invoke_async(
    runtime: Any, s3: Any, endpoint: str, case: dict[str, Any], source: str, owner: str, ends: float
) -> Response:
    """Return the response to the request body `source` (an `s3://` URI), which SageMaker writes to S3.

    Wait until the maximum latency of the case, but not beyond `ends` (of the monotonic clock). The bucket of the
    response must belong to the account `owner`.
    """
    retry_until = time.monotonic() + _RETRY_SECONDS
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
            if not _is_not_ready(error) or time.monotonic() > retry_until:
                return _failed(start, error)
        time.sleep(_PAUSE_SECONDS)
    limit = case["maximum_latency_ms"]
    ends = min(ends, start + limit / 1000) if limit is not None else ends
    locations = [(accepted["OutputLocation"], False)]
    if accepted.get("FailureLocation"):
        locations.append((accepted["FailureLocation"], True))
    while True:
        for location, is_failure in locations:
            try:
                content = _read_if_exists(s3, location, owner)
            except (ClientError, BotoCoreError) as error:
                failed = _failed(start, error)
                return dataclasses.replace(failed, error=f"{location} could not be read: {failed.error}")
            if content is not None and is_failure:
                text = content[:500].decode(errors="replace")
                return Response(_milliseconds_since(start), error=f"SageMaker wrote {location}", model_message=text)
            if content is not None:
                return _responded(_milliseconds_since(start), content)
        if time.monotonic() > ends:
            waited = _milliseconds_since(start)
            return Response(waited, error=f"no response in {accepted['OutputLocation']} within {waited:.0f} ms")
        time.sleep(_POLL_SECONDS)


def place_body(s3: Any, folder: str, case: dict[str, Any], owner: str) -> str:
    """Put the body of a case into an `s3://` folder, under its checksum, and return its URI."""
    body = body_of(case)
    bucket, key = bucket_and_key(f"{folder}{hashlib.sha256(body).hexdigest()}")
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=case["content_type"], ExpectedBucketOwner=owner)
    return f"s3://{bucket}/{key}"


def read_object(s3: Any, uri: str, owner: str) -> bytes:
    """Return the object at an `s3://` URI, whose bucket must belong to the account `owner`."""
    bucket, key = bucket_and_key(uri)
    return bytes(s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)["Body"].read())


def _read_if_exists(s3: Any, uri: str, owner: str) -> bytes | None:
    bucket, key = bucket_and_key(uri)
    response = none_if_not_found(s3.get_object, Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
    return response["Body"].read(MAXIMUM_RESPONSE_BYTES + 1) if response else None


def _responded(latency_ms: float, body: bytes) -> Response:
    if len(body) > MAXIMUM_RESPONSE_BYTES:
        return Response(latency_ms, error=f"the response is larger than {MAXIMUM_RESPONSE_BYTES} bytes")
    return Response(latency_ms, body)


def _is_not_ready(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_READY


def _failed(start: float, error: Exception) -> Response:
    """Return `error` as a response, with the model's message apart from that of AWS."""
    latency = _milliseconds_since(start)
    if not isinstance(error, ClientError):
        return Response(latency, error=str(error)[:500])
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")[:500]
    # The message of a ModelError contains the response of the container (API reference, InvokeEndpoint).
    return (
        Response(latency, error=code, model_message=message)
        if code == "ModelError"
        else Response(latency, error=f"{code}: {message}")
    )


def _milliseconds_since(start: float) -> float:
    return (time.monotonic() - start) * 1000
