"""List and pin every object and image, name the candidate by its content, and split the work into batches."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import s3_uri
from promotion.aws.aws_errors import Meaning, meaning
from promotion.aws.clients import client
from promotion.copying import image_copier
from promotion.copying import references as artifacts
from promotion.copying.digest import changed, digest_of, digest_without_images, identity
from promotion.copying.manifest import PinnedObject, manifest
from promotion.copying.pinning import assert_not_too_much, pin
from promotion.copying.references import Path, Reference
from promotion.copying.s3_errors import explained
from promotion.endpoint import alarms, config, guardrails, smoke_test
from promotion.endpoint.model import assert_room_for_tags, assert_taken, own_tags, stage_containers
from promotion.endpoint.sagemaker import live_config
from promotion.endpoint.smoke_test import SKIP
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.history import claims
from promotion.history.claims import Use
from promotion.history.table import PromotionTable
from promotion.naming import endpoint_name, sha256_of
from promotion.plan import compatibility
from promotion.plan.compatibility import Deployment
from promotion.plan.settings import load
from promotion.source import images, model_metrics
from promotion.source.candidate import METRICS_TAG, SMOKE_TEST_TAG, Candidate
from promotion.step import logger, step

_MAXIMUM_SUITE_BYTES = 16 * 1024**2
_PREVIEWED_OBJECTS = 10
_SHOWN = 300

ecr = client("ecr")
s3 = client("s3")


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    candidate = Candidate.from_json(event["candidate"])
    settings = load(client("ssm"), event["stage"], candidate.application, event["defaults"])
    region = event["execution"].split(":")[3]
    image_digest = functools.cache(functools.partial(image_copier.digest_of, ecr))
    candidate = dataclasses.replace(candidate, containers=images.pinned(candidate.containers, region, image_digest))

    references = artifacts.references(candidate.containers)
    content = {reference.path: pin(s3, reference, event["upstream_account"]) for reference in references}
    assert_not_too_much([pinned for objects in content.values() for pinned in objects])
    _assert_etags(candidate, references, content)
    identified = identity(
        candidate.containers, candidate.inference_execution_config, candidate.enable_network_isolation, content
    )
    digest = digest_of(identified)
    if event["approved_digest"] and digest != event["approved_digest"]:
        raise PromotionRefusedError(
            f"{candidate.source['name']} is not what was approved any more: its digest is {digest}, approved was "
            f"{event['approved_digest']}. What changed: {_what_changed(event, identified)}. Find out who changed it, "
            "and ask for a new approval by starting again."
        )
    suite, bodies = _suite(event, candidate, settings.get("SmokeTest"))
    _assert_deployable(event, candidate, settings, suite, bodies)

    prefix = f"models/{candidate.application}/{digest}"
    artifacts.assert_apart(references, event["bucket"], prefix)
    addresses, objects = {}, []
    for reference in references:
        target, placed = artifacts.targets(reference, content[reference.path], prefix)
        addresses[reference.path] = f"s3://{event['bucket']}/{target}"
        objects += placed
    containers = stage_containers(artifacts.with_values(candidate.containers, addresses), settings.get("Model", {}))
    # The settings may have brought an image of their own.
    containers = images.pinned(containers, region, image_digest)
    copies: list[images.Copy] = []
    if event["image_copy"]:
        containers, copies = images.redirected(containers, event["account"], event["image_repository"])
    if config.is_serverless(settings["EndpointConfig"]):
        images.assert_serverless(containers, event["account"])
    assert_taken(containers, candidate.source["name"])
    found, metrics_note = _metrics(candidate, event["upstream_account"])
    # Each container may get one more, with the digest of its image.
    tags = own_tags(
        candidate, digest, event["execution"], SMOKE_TEST_TAG if suite != SKIP else None, METRICS_TAG if found else None
    )
    assert_room_for_tags(candidate, len(tags) + len(containers))

    # From here on something is written.
    _put_json(event, _identity_key(digest), identified)
    suite_uri, placed = _place_suite(event, suite, bodies, prefix)
    objects += placed
    metrics_uri = _place_metrics(event, found, prefix)
    model = identity(containers, candidate.inference_execution_config, candidate.enable_network_isolation, content)
    lines, batches = manifest(objects)
    key = f"manifests/{event['execution'].rsplit(':', 1)[-1]}.jsonl"
    _put(event, key, lines.encode(), "application/jsonl")
    if not event["preview"]:
        endpoint = endpoint_name(candidate.application, event["stage"])
        claim = Use(event["execution"], digest)
        table = PromotionTable(client("dynamodb"), event["table"])
        claims.use(table, client("stepfunctions"), endpoint, claim, time.time())
    logger.info("Copy planned", digest=digest, objects=len(objects), batches=len(batches))
    return {
        "digest": digest,
        "model_digest": digest_of(model),
        "digest_without_images": digest_without_images(model),
        "containers": containers,
        "settings": {part: settings.get(part, {}) for part in ("Model", "EndpointConfig", "DeploymentConfig")},
        "quality_gate": settings.get("QualityGate", []),
        "smoke_test": suite_uri,
        "images": [dataclasses.asdict(copy) for copy in copies],
        "metrics": found,
        "metrics_note": metrics_note,
        "metrics_uri": metrics_uri,
        "manifest": key,
        "batches": batches,
        "objects": len(objects),
        "bytes": sum(pinned.size for pinned in objects),
        "preview": _preview(event, prefix, objects) if event["preview"] else None,
    }


def _preview(event: dict[str, Any], prefix: str, objects: list[PinnedObject]) -> dict[str, Any]:
    """What would be copied, in short, however many objects there are."""
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=event["bucket"], Prefix=f"{prefix}/", ExpectedBucketOwner=event["account"]
    )
    there = {found["Key"] for page in pages for found in page.get("Contents", [])}
    missing = [pinned for pinned in objects if pinned.target not in there]
    return {
        "to": f"s3://{event['bucket']}/{prefix}/",
        "objects": len(missing),
        "bytes": sum(pinned.size for pinned in missing),
        "objects_already_there": len(objects) - len(missing),
        "first": [
            {"from": f"s3://{pinned.bucket}/{pinned.key}"[:_SHOWN], "bytes": pinned.size}
            for pinned in missing[:_PREVIEWED_OBJECTS]
        ],
    }


def _assert_etags(candidate: Candidate, references: list[Reference], content: dict[Path, list[PinnedObject]]) -> None:
    for reference in references:
        expected, found = candidate.etags.get(reference.slot), content[reference.path][0].etag.strip('"')
        if expected and found != expected:
            raise PromotionRefusedError(
                f"{reference.uri} is not what {candidate.source['name']} was registered with any more: its ETag is "
                f"{found}, not {expected}. Register it anew."
            )


def _what_changed(event: dict[str, Any], identity: dict[str, Any]) -> str:
    """Where the candidate differs from the approved one, which was written down when the approval was asked for."""
    key = _identity_key(event["approved_digest"])
    try:
        approved = s3.get_object(Bucket=event["bucket"], Key=key, ExpectedBucketOwner=event["account"])
    except ClientError as error:
        if meaning(error) not in (Meaning.NOT_FOUND, Meaning.DENIED):
            raise
        return "unknown, since what was approved is not on record any more"
    return ", ".join(changed(json.loads(approved["Body"].read()), identity))


def _identity_key(digest: str) -> str:
    return f"manifests/{digest}.json"


def _put_json(event: dict[str, Any], key: str, value: Any) -> None:
    _put(event, key, json.dumps(value).encode(), "application/json")


def _put(event: dict[str, Any], key: str, body: bytes, content_type: str) -> None:
    if not event["preview"]:
        s3.put_object(
            Bucket=event["bucket"], Key=key, Body=body, ContentType=content_type, ExpectedBucketOwner=event["account"]
        )


def _assert_deployable(
    event: dict[str, Any],
    candidate: Candidate,
    settings: dict[str, Any],
    suite: dict[str, Any] | str,
    bodies: dict[int, PinnedObject],
) -> None:
    """Refuse, before anything is made, what SageMaker would refuse of these settings, this model and this endpoint."""
    endpoint = endpoint_name(candidate.application, event["stage"])
    cases = suite["cases"] if isinstance(suite, dict) else []
    named = guardrails.alarm_names(settings.get("DeploymentConfig", {}))
    deployment = Deployment(
        settings=settings,
        containers=candidate.containers,
        mode=(candidate.inference_execution_config or {}).get("Mode", ""),
        isolated=candidate.enable_network_isolation,
        suite=suite,
        body_sizes=[
            bodies[index].size if index in bodies else len(smoke_test.body_of(case)) for index, case in enumerate(cases)
        ],
        endpoint=endpoint,
        live=live_config(client("sagemaker"), endpoint),
        alarms=set(alarms.states(client("cloudwatch"), named)),
    )
    refusals = compatibility.refusals(deployment)
    if refusals:
        raise InvalidRequestError(
            f"{candidate.application} cannot be deployed in {event['stage']}: {' '.join(refusals)}"
        )


def _suite(
    event: dict[str, Any], candidate: Candidate, suite: Any
) -> tuple[dict[str, Any] | str, dict[int, PinnedObject]]:
    """The smoke test (or "skip"), and the bodies of those of its cases that have one in S3, pinned.

    The settings' suite goes before the one that travels with the candidate.
    """
    if suite == SKIP:
        return SKIP, {}
    if suite is None and candidate.smoke_test is None:
        raise InvalidRequestError(
            f"There is no smoke test for {candidate.application}: tag {candidate.source['name']} with {SMOKE_TEST_TAG} "
            '= the s3:// address of a suite, or set SmokeTest in the application\'s settings (to "skip" to go without).'
        )
    suite = suite or _read_suite(candidate.smoke_test or "", event["upstream_account"])
    return suite, {
        index: pin(s3, _body_reference(index, case), event["upstream_account"])[0]
        for index, case in enumerate(suite["cases"])
        if "body_uri" in case
    }


def _body_reference(index: int, case: dict[str, Any]) -> Reference:
    return Reference(("smoke-test", index, "body"), case["body_uri"], is_prefix=False)


def _place_suite(
    event: dict[str, Any], suite: dict[str, Any] | str, bodies: dict[int, PinnedObject], prefix: str
) -> tuple[str, list[PinnedObject]]:
    """Put the smoke test into this stage's bucket; its address (or "skip") and the bodies that have to be copied."""
    if isinstance(suite, str):
        return suite, []
    cases, objects = list(suite["cases"]), []
    for index, body in bodies.items():
        # Below its content's name, since the same model may come with another suite the next time.
        below = f"{prefix}/{sha256_of(body.content)[:16]}"
        target, placed = artifacts.targets(_body_reference(index, cases[index]), [body], below)
        cases[index] = {**cases[index], "body_uri": f"s3://{event['bucket']}/{target}"}
        objects += placed
    suite = {**suite, "cases": cases}
    key = f"{prefix}/smoke-test/{sha256_of(suite)[:16]}.json"
    _put_json(event, key, suite)
    return f"s3://{event['bucket']}/{key}", objects


def _read_suite(uri: str, owner: str) -> dict[str, Any]:
    bucket, key = s3_uri.bucket_and_key(uri, f"The smoke test (the tag {SMOKE_TEST_TAG})")
    try:
        found = s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
    except ClientError as error:
        raise explained(error, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", f"The smoke test {uri}") from error
    if found["ContentLength"] > _MAXIMUM_SUITE_BYTES:
        raise InvalidRequestError(
            f"The smoke test {uri} has {found['ContentLength']} bytes; {_MAXIMUM_SUITE_BYTES} fit."
        )
    return smoke_test.read(found["Body"].read(), uri)


def _metrics(candidate: Candidate, owner: str) -> tuple[dict[str, float], str]:
    """The candidate's metrics, and why there are none where its file of metrics cannot be read."""
    uri = candidate.metrics_uri
    if uri is None:
        return candidate.metrics, ""
    try:
        bucket, key = s3_uri.bucket_and_key(uri)
        body = s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)["Body"]
        text = body.read(model_metrics.MAXIMUM_FILE_BYTES + 1)
        if len(text) > model_metrics.MAXIMUM_FILE_BYTES:
            raise model_metrics.UnreadableMetricsError(f"it has more than {model_metrics.MAXIMUM_FILE_BYTES} bytes")
        return model_metrics.read(text), ""
    except ClientError as error:
        refused = explained(error, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", uri)
        if not isinstance(refused, PromotionRefusedError):
            raise refused from error
        why = str(refused)
    except (PromotionRefusedError, model_metrics.UnreadableMetricsError) as error:
        why = str(error)
    # Only a gate that asks for one of them needs them.
    logger.warning("Metrics left out", source=uri, reason=why)
    return {}, f"the file of metrics {uri} could not be read: {why}"[:1000]


def _place_metrics(event: dict[str, Any], found: dict[str, float], prefix: str) -> str | None:
    """Put the metrics beside the model, for the next stage."""
    if not found:
        return None
    key = f"{prefix}/metrics/{sha256_of(found)[:16]}.json"
    _put_json(event, key, found)
    return f"s3://{event['bucket']}/{key}"
