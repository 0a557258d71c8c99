"""Record the digest of each image that the endpoint runs, so that the next stage runs the same images."""

from __future__ import annotations

from typing import Any

from promotion.aws.clients import client
from promotion.copying import digest
from promotion.endpoint.model import tag_list
from promotion.endpoint.smoke_test import SKIP
from promotion.endpoint.target import describe_target
from promotion.record import PromotionRecord
from promotion.source import images
from promotion.source.candidate import containers_of
from promotion.source.tags import EXECUTION_TAG, SMOKE_TEST_TAG
from promotion.step import logger, step


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the digests of the model's images and its complete digest.

    The model is tagged with its execution and its smoke test.
    """
    record: PromotionRecord = event["promotion"]
    sagemaker = client("sagemaker")
    model = sagemaker.describe_model(ModelName=record["model_name"])
    containers = containers_of(model)
    resolved = images.resolved(containers, describe_target(sagemaker, record) or {})
    if record["source_kind"] != "rollback":
        # The next stage asks this execution for the promotion, which has passed its smoke test. An earlier one may have
        # created the model and failed, or tested it with another smoke test.
        tags = {EXECUTION_TAG: record["execution"], SMOKE_TEST_TAG: record["smoke_test"]}
        if record["smoke_test"] == SKIP:
            sagemaker.delete_tags(ResourceArn=model["ModelArn"], TagKeys=[SMOKE_TEST_TAG])
            del tags[SMOKE_TEST_TAG]
        sagemaker.add_tags(ResourceArn=model["ModelArn"], Tags=tag_list(tags))
    logger.info("Images resolved", images=resolved)
    return {
        "images": resolved,
        "model_digest": digest.with_images(
            record["digest_without_images"], [images.identity(image) for image in resolved]
        ),
    }
