"""Invoke the endpoint with the requests of the smoke test, and check its responses."""

from __future__ import annotations

import json
from typing import Any

from promotion.aws import sdk
from promotion.aws.clients import client
from promotion.endpoint import invocation
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


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return whether the smoke test `passed`, the `reason` if not, and its statistics."""
    record: PromotionRecord = event["promotion"]
    uri, endpoint, owner, config = (
        record["smoke_test"],
        record["endpoint"],
        event["account"],
        record["endpoint_config_name"],
    )
    if uri == SKIP:
        return {"passed": True, "reason": None, "response": None, "invocations": 0, "errors": 0, "p95_latency_ms": 0}
    s3, sagemaker = client("s3"), client("sagemaker")
    suite = json.loads(invocation.read_object(s3, uri, owner))
    before = describe_target(sagemaker, record)
    assert_serves(before, endpoint, config)
    # The serving role of the application reads request bodies there, and they expire after some days.
    folder = f"s3://{event['bucket']}/smoke-test/{record['application']}/" if is_asynchronous(before or {}) else None
    verdict = invocation.run(
        runtime,
        s3,
        (before or {}).get("HostEndpointName", endpoint),
        suite,
        folder=folder,
        owner=owner,
        seconds=_MAXIMUM_SECONDS,
        component=(before or {}).get("InferenceComponentName"),
        variants=variant_names(before or {}),
    )
    # The responses count only if the endpoint had this config from the first to the last request.
    assert_serves(describe_target(sagemaker, record), endpoint, config)
    counted = {key: verdict[key] for key in ("passed", "invocations", "errors", "p95_latency_ms")}
    if verdict["response"]:
        verdict["reason"] += " The response is in the execution history, in the output of Run smoke test."
    logger.info("Smoke test run", endpoint=endpoint, **counted)
    return verdict
