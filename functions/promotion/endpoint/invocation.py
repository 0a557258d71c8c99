"""Invocations of a live endpoint, real-time or asynchronous, with the cases of a smoke test."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from promotion.aws.aws_errors import none_if_not_found
from promotion.aws.s3_uri import bucket_and_key
from promotion.endpoint import model_errors, request_members
from promotion.endpoint.judgment import Judgment, Response
from promotion.endpoint.runtime import joined
from promotion.endpoint.smoke_test import MAXIMUM_BODY_BYTES, body_of

INFERENCE_ID = "model-promotion-smoke-test"
"""Identifies the requests of the smoke test in data capture."""

MAXIMUM_RESPONSE_BYTES = MAXIMUM_BODY_BYTES
"""The maximum size of a response that is read: that of InvokeEndpoint, for asynchronous responses too."""

# The error codes of an endpoint that has just become InService, or of a serverless endpoint that is starting.
_NOT_READY = {"ModelNotReadyException", "ServiceUnavailable", "ThrottlingException"}
# The message of a ModelError contains the response of the container (API reference, InvokeEndpoint).
_OF_MODEL = {"ModelError", "ModelStreamError"}
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
    variants: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the verdict of `suite` on `endpoint` or its `component`, as soon as it is decided and within `seconds`.

    `runtime` has the operations of `runtime.Runtime`. `folder` is the `s3://` URI for the request bodies of an
    asynchronous endpoint, or None for another endpoint. The buckets of bodies and responses must belong to the account
    `owner`. With several `variants`, each is called with each case that has no target_variant; InvokeEndpointAsync
    cannot choose a variant.
    """
    ends = time.monotonic() + seconds
    targets = list(variants) if len(variants) > 1 and folder is None else [None]
    of_component = {"inference_component_name": component} if component else {}
    calls = [
        (index, case | of_component, target)
        for index, case in enumerate(suite["cases"])
        for target in ([None] if case.get("target_variant") else targets)
    ]
    order = calls * suite["repeat"]
    judgment = Judgment(suite, len(order))

    def respond(case: dict[str, Any]) -> Response:
        if folder is None:
            body = read_object(s3, case["body_uri"], owner) if "body_uri" in case else body_of(case)
            return invoke(runtime, endpoint, case, body)
        uri = case["body_uri"] if "body_uri" in case else place_body(s3, folder, case, owner)
        return invoke_async(runtime, s3, endpoint, case, uri, owner, ends)

    def judge(index: int, case: dict[str, Any], target: str | None) -> None:
        if judgment.is_decided:
            return
        start = time.monotonic()
        try:
            response = respond(case | {"target_variant": target} if target else case)
        except (ClientError, BotoCoreError) as error:
            failed = _failed(start, error)
            response = dataclasses.replace(failed, error=f"its request body is not available: {failed.error}")
        judgment.add(index, response, target)

    pool = ThreadPoolExecutor(suite["concurrency"])
    try:
        for future in as_completed([pool.submit(judge, *call) for call in order], timeout=seconds):
            future.result()
            if judgment.is_decided:
                break
    except TimeoutError:
        pass  # the verdict says so
    finally:
        # Requests in flight can take more minutes. An unproven model must not stay live for it.
        pool.shutdown(wait=False, cancel_futures=True)
    return judgment.verdict(seconds)


def invoke(runtime: Any, endpoint: str, case: dict[str, Any], body: bytes) -> Response:
    """Return the response to one request; retry for a minute while the endpoint is not ready."""
    retry_until = time.monotonic() + _RETRY_SECONDS
    operation = request_members.STREAM if case.get("stream") else request_members.REGULAR
    request = {
        "EndpointName": endpoint,
        "Body": body,
        "InferenceId": INFERENCE_ID,
        **request_members.request(case, operation),
    }
    while True:
        start = time.monotonic()
        try:
            if case.get("stream"):
                response = runtime.invoke_endpoint_with_response_stream(**request)
                content = joined(response, MAXIMUM_RESPONSE_BYTES)
            else:
                response = runtime.invoke_endpoint(**request)
                content = response["Body"].read(MAXIMUM_RESPONSE_BYTES + 1)
            return _responded(_milliseconds_since(start), content, response.get("ContentType", ""))
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
                InferenceId=INFERENCE_ID,
                **request_members.request(case, request_members.ASYNCHRONOUS),
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
                found = _get_if_exists(s3, location, owner)
            except (ClientError, BotoCoreError) as error:
                failed = _failed(start, error)
                return dataclasses.replace(failed, error=f"{location} could not be read: {failed.error}")
            if found is None:
                continue
            content = found["Body"].read(MAXIMUM_RESPONSE_BYTES + 1)
            if is_failure:
                text = content[:500].decode(errors="replace")
                return Response(_milliseconds_since(start), error=f"SageMaker wrote {location}", model_message=text)
            return _responded(_milliseconds_since(start), content, found.get("ContentType", ""))
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


def _get_if_exists(s3: Any, uri: str, owner: str) -> dict[str, Any] | None:
    bucket, key = bucket_and_key(uri)
    return none_if_not_found(s3.get_object, Bucket=bucket, Key=key, ExpectedBucketOwner=owner)


def _responded(latency_ms: float, body: bytes, content_type: str) -> Response:
    if len(body) > MAXIMUM_RESPONSE_BYTES:
        return Response(latency_ms, error=f"the response is larger than {MAXIMUM_RESPONSE_BYTES} bytes")
    return Response(latency_ms, body, content_type=content_type)


def _is_not_ready(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_READY


def _failed(start: float, error: Exception) -> Response:
    """Return `error` as a response, with the model's message apart from that of AWS."""
    latency = _milliseconds_since(start)
    if not isinstance(error, ClientError):
        return Response(latency, error=str(error)[:500])
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")[:500]
    if code not in _OF_MODEL:
        return Response(latency, error=f"{code}: {message}")
    explanation = model_errors.explanation(error)
    return Response(latency, error=f"{code}. {explanation}" if explanation else code, model_message=message)


def _milliseconds_since(start: float) -> float:
    return (time.monotonic() - start) * 1000
