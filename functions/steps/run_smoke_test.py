"""Invoke the endpoint with the requests of the smoke test, and check its responses."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

from botocore.config import Config

from promotion.aws import sdk
from promotion.aws.clients import client
from promotion.endpoint import invocation, smoke_test_function
from promotion.endpoint import runtime as runtimes
from promotion.endpoint.config import is_asynchronous
from promotion.endpoint.sagemaker import variant_names
from promotion.endpoint.smoke_test import SKIP
from promotion.endpoint.state import assert_serves
from promotion.endpoint.target import describe_target
from promotion.record import PromotionRecord
from promotion.step import logger, step

runtime = runtimes.of_session(sdk.session())

# The function can run for 15 minutes. An unproven model is live in the meantime, so the test is not repeated.
_MAXIMUM_SECONDS = 840

_PASSED: dict[str, Any] = {
    "passed": True,
    "reason": None,
    "response": None,
    "invocations": 0,
    "errors": 0,
    "p95_latency_ms": 0,
}


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return whether the smoke test `passed`, the `reason` if not, and its statistics."""
    ends = time.monotonic() + _MAXIMUM_SECONDS
    record: PromotionRecord = event["promotion"]
    uri, endpoint, config = record["smoke_test"], record["endpoint"], record["endpoint_config_name"]
    function = json.loads(event.get("settings") or "{}").get("SmokeTestFunction")
    if uri == SKIP and not function:
        return _PASSED
    sagemaker = client("sagemaker")
    before = describe_target(sagemaker, record)
    assert_serves(before, endpoint, config)
    verdict = _PASSED if uri == SKIP else _run_suite(event, uri, before or {}, ends)
    if verdict["passed"] and function:
        invoke = functools.partial(_invoke, function)
        reason = smoke_test_function.run(invoke, function, before or {}, record, ends)
        verdict = verdict | {"passed": reason is None, "reason": reason}
    # The responses count only if the endpoint had this config from the first to the last request.
    assert_serves(describe_target(sagemaker, record), endpoint, config)
    counted = {key: verdict[key] for key in ("passed", "invocations", "errors", "p95_latency_ms")}
    if verdict["response"]:
        verdict["reason"] += " The response is in the execution history, in the output of Run smoke test."
    logger.info("Smoke test run", endpoint=endpoint, **counted)
    return verdict


def _run_suite(event: dict[str, Any], uri: str, description: dict[str, Any], ends: float) -> dict[str, Any]:
    """Return the verdict of the suite at `uri` on the target of `description`, as `invocation.run` returns it."""
    record: PromotionRecord = event["promotion"]
    s3, owner = client("s3"), event["account"]
    suite = json.loads(invocation.read_object(s3, uri, owner))
    # The serving role of the application reads request bodies there, and they expire after some days.
    folder = f"s3://{event['bucket']}/smoke-test/{record['application']}/" if is_asynchronous(description) else None
    return invocation.run(
        runtime,
        s3,
        description.get("HostEndpointName", record["endpoint"]),
        suite,
        folder=folder,
        owner=owner,
        seconds=ends - time.monotonic(),
        component=description.get("InferenceComponentName"),
        variants=variant_names(description),
    )


def _invoke(function: str, payload: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the response of the team's function, which has so many seconds."""
    config = Config(connect_timeout=5, read_timeout=seconds, retries={"total_max_attempts": 1})
    lambda_client = sdk.session().client("lambda", config=config)
    response: dict[str, Any] = lambda_client.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
    return response
