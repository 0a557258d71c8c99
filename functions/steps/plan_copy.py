"""Pin every object and image of the candidate, compute the digest of its content, and plan the copy in batches."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from typing import Any

from promotion.aws.clients import client, upstream_client
from promotion.copying import image_copier
from promotion.copying.digest import digest_of, digest_without_images
from promotion.copying.incoming import Reader
from promotion.copying.manifest import manifest
from promotion.endpoint import smoke_test_function, tagging
from promotion.history import claims
from promotion.history.claims import Use
from promotion.history.table import PromotionTable
from promotion.plan import (
    approved,
    compatibility,
    content,
    metric_files,
    pinned_weights,
    preview,
    requests,
    serving_properties,
    smoke_test_files,
    time_budget,
)
from promotion.plan.serving_role import serving_role
from promotion.plan.stage_files import write, write_once
from promotion.record import PromotionRecord
from promotion.source.candidate import Candidate
from promotion.stage import Stage, bucket_owners
from promotion.step import logger, step

s3 = client("s3")


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the plan: the requests of the model and endpoint config, the images, and the batches of objects."""
    execution, settings = event["execution"], json.loads(event["settings"])
    region, execution_name = execution.split(":")[3], execution.rsplit(":", 1)[-1]
    own, upstream = event["account"], event["upstream_account"]
    stage = Stage(event["stage"], own, region, event["bucket"], upstream, bucket_owners(event["upstream_buckets"]))
    image_digest = functools.cache(functools.partial(image_copier.digest_of, client("ecr")))
    candidate, maximum_bytes = Candidate.from_json(event["candidate"]), event["maximum_copy_bytes"]
    role = event["upstream_role_arn"], event["external_id"], execution_name, "s3"
    reader = Reader(functools.partial(upstream_client, *role), execution_name) if event["incoming_copies"] else None
    role_arn = serving_role(client("iam"), event["serving_role_path"], candidate.application, settings, stage)

    pinned_content = content.pinned(s3, candidate, settings, stage, image_digest, maximum_bytes, reader)
    candidate, identity = pinned_content.candidate, pinned_content.identity(pinned_content.candidate.containers)
    digest = digest_of(identity)
    approved.assert_candidate(s3, stage, candidate.source["name"], identity, event["approved"]["digest"])
    suite = smoke_test_files.read(s3, candidate, settings.get("SmokeTest"), stage, reader)
    smoke_test_function.assert_permitted(settings.get("SmokeTestFunction"), stage)
    seconds = event.get("deployment_timeout_seconds", time_budget.MAXIMUM_SECONDS)
    clients = client("sagemaker"), client("cloudwatch")
    notes = compatibility.assert_deployable(*clients, candidate, settings, suite, stage, seconds)

    prefix = f"models/{candidate.application}/{digest}"
    containers, artifacts = pinned_content.placed(prefix, stage)
    repository = event["image_repository"] if event["image_copy"] else None
    containers, images = requests.containers_of_stage(containers, settings, stage, repository, image_digest)
    properties = serving_properties.read(s3, pinned_content, stage, reader)
    pinned_only = event["require_pinned_weights"]
    not_pinned = pinned_weights.not_pinned(
        containers, settings, candidate.application, properties, required_by_stage=pinned_only
    )
    metrics = metric_files.read(s3, candidate, stage, reader)
    placed_suite = suite.placed(prefix, stage)
    origin = requests.Origin(digest, execution, placed_suite.uri)
    isolated = event["require_network_isolation"]
    request = requests.build(candidate, containers, settings, stage, role_arn, origin, isolated)
    covered = approved.deployment(candidate, request, settings, suite, metrics, client("sagemaker"))
    deployment_digest = approved.assert_deployment(s3, stage, covered, event["approved"]["deployment_digest"])

    objects = [*artifacts, *placed_suite.objects]
    lines, batches = manifest(objects)
    manifest_key = f"manifests/{execution_name}.jsonl"
    if not event["preview"]:
        # The claim comes first, since retention removes what nobody has claimed.
        table, endpoint = PromotionTable(client("dynamodb"), event["table"]), stage.endpoint(candidate.application)
        claims.use(table, client("stepfunctions"), endpoint, Use(execution, digest), time.time())
        documents = approved.files({digest: identity, deployment_digest: covered})
        write(s3, stage, documents | {manifest_key: lines.encode()})
        write_once(s3, stage, placed_suite.files)
    logger.info("Copy planned", digest=digest, objects=len(objects), batches=len(batches))
    identity_in_stage = pinned_content.identity(containers)
    return {
        "promotion": PromotionRecord(
            digest=digest,
            deployment_digest=deployment_digest,
            model_digest=digest_of(identity_in_stage),
            digest_without_images=digest_without_images(identity_in_stage),
            smoke_test=placed_suite.uri,
            metrics=metrics.values,
            not_pinned=not_pinned,
            tags=tagging.wanted(candidate, settings),
            deployment_config=compatibility.deployment_config(settings, stage.endpoint(candidate.application)),
            register_into=settings.get("RegisterInto", ""),
            component=settings.get("InferenceComponent", {}),
        ),
        "model": request.model,
        "endpoint_config": request.endpoint_config,
        "images": [dataclasses.asdict(copy) for copy in images],
        "metrics_note": metrics.note,
        "deployment_notes": notes,
        "manifest": manifest_key,
        "batches": batches,
        "objects": len(objects),
        "bytes": sum(pinned.size for pinned in objects),
        "preview": preview.copy(s3, stage, prefix, objects, images) if event["preview"] else None,
    }
