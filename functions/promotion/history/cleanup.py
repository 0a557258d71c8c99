"""Looking for what is superseded in SageMaker and S3, and removing it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.errors import TransientError
from promotion.history import claims, lock, records
from promotion.history.retention import Kept, Made, Superseded, Survey, kept, superseded, unprotected
from promotion.history.table import PromotionTable
from promotion.naming import resource_prefix
from promotion.record import PromotionRecord
from promotion.source.candidate import APPLICATION_TAG, DIGEST_TAG, EXECUTION_TAG, containers_of

# SageMaker throttles those who ask more at once.
_REQUESTS_IN_FLIGHT = 4

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an application's artifacts, models and configs are in a stage, and the ARNs of what has made them.

    `executions` is what the ARNs of all executions of the stage's state machine begin with.
    """

    application: str
    stage: str
    bucket: str
    account: str
    executions: str

    @property
    def folder(self) -> str:
        return f"models/{self.application}"


def needed(
    table: PromotionTable, stepfunctions: Any, endpoint: str, keep: int, next_live: PromotionRecord | None = None
) -> Kept:
    """What has to stay of an endpoint's promotions, with `keep` good ones; `next_live` as if it were live already."""
    live = next_live or records.live(table, endpoint)
    uses = claims.uses(table, stepfunctions, endpoint)
    return kept(records.history(table, endpoint), live, lock.holder(table, endpoint), uses, keep)


def find(sagemaker: Any, s3: Any, place: Place, keep: Kept) -> Superseded:
    """What is superseded there."""
    survey = Survey(
        configs=list(_made(sagemaker, "EndpointConfig", place)),
        models=list(_made(sagemaker, "Model", place)),
        digests=set(_digests(s3, place)),
    )
    # It takes a look at everything in the account to know what refers to something.
    if not unprotected(survey, keep):
        return Superseded([], [], [])
    survey = dataclasses.replace(
        survey,
        configs_in_use=_configs_in_use(sagemaker),
        models_of_configs=dict(_described(sagemaker, "EndpointConfig", _models_of)),
        uris_of_models=dict(_described(sagemaker, "Model", lambda model: _uris_of(sagemaker, place.account, model))),
    )
    return superseded(survey, keep, f"s3://{place.bucket}/{place.folder}")


def remove(sagemaker: Any, s3: Any, place: Place, found: Superseded) -> int:
    """Remove it, what refers to something before that; how many objects there were. May be interrupted anywhere.

    In a versioned bucket an object gets a delete marker; its content goes when the bucket's lifecycle rule says so.
    """
    for name in found.endpoint_configs:
        none_if_not_found(sagemaker.delete_endpoint_config, EndpointConfigName=name)
    for name in found.models:
        none_if_not_found(sagemaker.delete_model, ModelName=name)
    return sum(_delete_objects(s3, place, f"{place.folder}/{digest}/") for digest in found.digests)


def _made(sagemaker: Any, kind: str, place: Place) -> Iterator[Made]:
    prefix = resource_prefix(place.application, place.stage)
    for summary in _listed(sagemaker, kind, NameContains=prefix):
        name = summary[f"{kind}Name"]
        if not name.startswith(prefix):
            continue
        # It may have been deleted in the meantime.
        tags = none_if_not_found(_tags, sagemaker=sagemaker, arn=summary[f"{kind}Arn"]) or {}
        is_ours = tags.get(EXECUTION_TAG, "").startswith(place.executions)
        if is_ours and tags.get(APPLICATION_TAG) == place.application:
            yield Made(name, tags.get(DIGEST_TAG, ""))


def _tags(sagemaker: Any, arn: str) -> dict[str, str]:
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def _listed(sagemaker: Any, kind: str, **request: Any) -> Iterator[dict[str, Any]]:
    operation = {"EndpointConfig": "list_endpoint_configs", "Model": "list_models", "Endpoint": "list_endpoints"}[kind]
    for page in sagemaker.get_paginator(operation).paginate(**request):
        yield from page[f"{kind}s"]


def _digests(s3: Any, place: Place) -> Iterator[str]:
    folder = f"{place.folder}/"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=place.bucket, Prefix=folder, Delimiter="/", ExpectedBucketOwner=place.account
    )
    for page in pages:
        for found in page.get("CommonPrefixes", []):
            name = found["Prefix"].removeprefix(folder).rstrip("/")
            if _DIGEST.fullmatch(name):
                yield name


def _configs_in_use(sagemaker: Any) -> set[str]:
    """The configs of all endpoints of the account, and those they are about to have."""
    found = set()
    for _, description in _described(sagemaker, "Endpoint", lambda description: description):
        found.add(description.get("EndpointConfigName"))
        found.add((description.get("PendingDeploymentSummary") or {}).get("EndpointConfigName"))
    return {name for name in found if name}


def _described[T](sagemaker: Any, kind: str, read: Callable[[dict[str, Any]], T]) -> list[tuple[str, T]]:
    """Return what `read` makes of the description of each one of a kind in the account, by name."""
    operation = {
        "EndpointConfig": sagemaker.describe_endpoint_config,
        "Model": sagemaker.describe_model,
        "Endpoint": sagemaker.describe_endpoint,
    }[kind]

    def describe(name: str) -> list[tuple[str, T]]:
        description = none_if_not_found(operation, **{f"{kind}Name": name})
        return [(name, read(description))] if description else []

    names = [summary[f"{kind}Name"] for summary in _listed(sagemaker, kind)]
    with ThreadPoolExecutor(_REQUESTS_IN_FLIGHT) as pool:
        return [pair for found in pool.map(describe, names) for pair in found]


def _models_of(config: dict[str, Any]) -> set[str]:
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    return {variant["ModelName"] for variant in variants if variant.get("ModelName")}


def _uris_of(sagemaker: Any, account: str, model: dict[str, Any]) -> set[str]:
    """Every `s3://` address in a model and in the packages it is made of, whatever they look like."""
    containers = containers_of(model)
    names = [container["ModelPackageName"] for container in containers if container.get("ModelPackageName")]
    # A package of another account is a product of the AWS Marketplace, whose artifacts are not here.
    own = [name for name in names if not name.startswith("arn:") or name.split(":")[4] == account]
    packages = [none_if_not_found(sagemaker.describe_model_package, ModelPackageName=name) for name in own]
    return set(_addresses([containers, packages]))


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _addresses(member)
    elif isinstance(value, str) and value.startswith("s3://"):
        yield value


def _delete_objects(s3: Any, place: Place, folder: str) -> int:
    count = 0
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=place.bucket, Prefix=folder, ExpectedBucketOwner=place.account
    )
    # A page has as many keys as one DeleteObjects takes: 1,000.
    for page in pages:
        keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
        if not keys:
            continue
        answer = s3.delete_objects(
            Bucket=place.bucket, Delete={"Objects": keys, "Quiet": True}, ExpectedBucketOwner=place.account
        )
        if errors := answer.get("Errors"):
            raise TransientError(f"{len(errors)} objects below {folder} could not be deleted: {errors[0]}")
        count += len(keys)
    return count
