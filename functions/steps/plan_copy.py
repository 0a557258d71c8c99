"""List and pin every object to copy, name the candidate by its content, and split the work into batches."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from promotion import artifacts, smoke_test
from promotion.artifacts import PinnedObject, Reference
from promotion.candidate import SMOKE_TEST_TAG, Candidate
from promotion.clients import client
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.model import stage_containers
from promotion.naming import sha256_of
from promotion.pinning import explained, manifest, pin
from promotion.settings import SKIP, load
from promotion.step import logger, step

_MAXIMUM_SUITE_BYTES = 16 * 1024**2


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    s3 = client("s3")
    candidate = Candidate.from_json(event["candidate"])
    settings = load(client("ssm"), event["stage"], candidate.application, event["defaults"])

    references = artifacts.references(candidate.containers)
    content = {reference.path: pin(s3, reference, event["upstream_account"]) for reference in references}
    digest = artifacts.digest(
        candidate.containers, candidate.inference_execution_config, candidate.enable_network_isolation, content
    )
    if event["approved_digest"] and digest != event["approved_digest"]:
        raise PromotionRefusedError(
            f"{candidate.source['name']} is not what was approved any more: its digest is {digest}, approved was "
            f"{event['approved_digest']}. Find out who changed it, and ask for a new approval by starting again."
        )
    prefix = f"models/{candidate.application}/{digest}"
    addresses, objects = {}, []
    for reference in references:
        target, placed = artifacts.targets(reference, content[reference.path], prefix)
        addresses[reference.path] = f"s3://{event['bucket']}/{target}"
        objects += placed
    suite_uri, bodies = _place_suite(event, candidate, settings.get("SmokeTest"), prefix)
    objects += bodies

    containers = stage_containers(artifacts.with_values(candidate.containers, addresses), settings.get("Model", {}))
    lines, batches = manifest(objects)
    key = f"manifests/{event['execution'].rsplit(':', 1)[-1]}.jsonl"
    s3.put_object(Bucket=event["bucket"], Key=key, Body=lines.encode(), ExpectedBucketOwner=event["account"])
    logger.info("Copy planned", digest=digest, objects=len(objects), batches=len(batches))
    return {
        "digest": digest,
        "model_digest": artifacts.digest(
            containers, candidate.inference_execution_config, candidate.enable_network_isolation, content
        ),
        "containers": containers,
        "settings": {part: settings.get(part, {}) for part in ("Model", "EndpointConfig")},
        "smoke_test": suite_uri,
        "manifest": key,
        "batches": batches,
        "objects": len(objects),
        "bytes": sum(pinned.size for pinned in objects),
    }


def _place_suite(
    event: dict[str, Any], candidate: Candidate, suite: Any, prefix: str
) -> tuple[str, list[PinnedObject]]:
    """Put the smoke test into this stage's bucket; its address (or "skip") and the bodies that have to be copied.

    The settings' suite goes before the one that travels with the candidate.
    """
    if suite == SKIP:
        return SKIP, []
    if suite is None and candidate.smoke_test is None:
        raise InvalidRequestError(
            f"There is no smoke test for {candidate.application}: tag {candidate.source['name']} with {SMOKE_TEST_TAG} "
            '= the s3:// address of a suite, or set SmokeTest in the application\'s settings (to "skip" to go without).'
        )
    suite = suite or _read_suite(candidate.smoke_test or "", event["upstream_account"])
    cases, bodies = [], []
    for index, case in enumerate(suite["cases"]):
        if "body_uri" in case:
            reference = Reference(("smoke-test", index, "body"), case["body_uri"], is_prefix=False)
            pinned = pin(client("s3"), reference, event["upstream_account"])
            # Below its content's name, since the same model may come with another suite the next time.
            below = f"{prefix}/{sha256_of(pinned[0].content)[:16]}"
            target, placed = artifacts.targets(reference, pinned, below)
            case = {**case, "body_uri": f"s3://{event['bucket']}/{target}"}
            bodies += placed
        cases.append(case)
    suite = {**suite, "cases": cases}
    key = f"{prefix}/smoke-test/{sha256_of(suite)[:16]}.json"
    client("s3").put_object(
        Bucket=event["bucket"],
        Key=key,
        Body=json.dumps(suite).encode(),
        ContentType="application/json",
        ExpectedBucketOwner=event["account"],
    )
    return f"s3://{event['bucket']}/{key}", bodies


def _read_suite(uri: str, owner: str) -> dict[str, Any]:
    bucket, key = artifacts.bucket_and_key(uri)
    try:
        found = client("s3").get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
    except ClientError as error:
        raise explained(error, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", f"The smoke test {uri}") from error
    if found["ContentLength"] > _MAXIMUM_SUITE_BYTES:
        raise InvalidRequestError(
            f"The smoke test {uri} has {found['ContentLength']} bytes; {_MAXIMUM_SUITE_BYTES} fit."
        )
    try:
        suite = json.loads(found["Body"].read())
    except ValueError as error:
        raise InvalidRequestError(f"The smoke test {uri} is no JSON: {error}.") from error
    return smoke_test.validated(suite, uri)
