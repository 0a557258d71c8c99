"""The search for superseded resources in SageMaker and S3, and their removal."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.endpoint.sagemaker import tags as tags_of
from promotion.errors import TransientError
from promotion.history import claims, lock, records
from promotion.history.references import PAGES, References
from promotion.history.retention import (
    ANY_MODEL,
    Kept,
    OwnResource,
    Superseded,
    Survey,
    kept,
    overlaps,
    superseded,
    unprotected,
)
from promotion.history.table import PromotionTable
from promotion.naming import resource_prefix
from promotion.record import PromotionRecord
from promotion.source.candidate import containers_of
from promotion.source.tags import APPLICATION_TAG, DIGEST_TAG, EXECUTION_TAG

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Scope:
    """The resources of one application in one stage.

    `executions` is the common prefix of the ARNs of all executions of the stage's state machine, which are in the tags
    of the models and endpoint configs that it created.
    """

    application: str
    stage: str
    bucket: str
    account: str
    executions: str

    @property
    def folder(self) -> str:
        """The prefix of the application's artifacts in the bucket, without "/"."""
        return f"models/{self.application}"


def resources_to_keep(
    table: PromotionTable, stepfunctions: Any, endpoint: str, keep: int, next_live: PromotionRecord | None = None
) -> Kept:
    """Return the resources to keep of an endpoint's promotions, with the `keep` newest successful ones.

    A preview passes the record of the promotion that would be live as `next_live`.
    """
    live = next_live or records.live(table, endpoint)
    uses = claims.uses(table, stepfunctions, endpoint)
    return kept(records.history(table, endpoint), live, lock.holder(table, endpoint), uses, keep)


def survey(references: References, s3: Any, scope: Scope, keep: Kept) -> Survey:
    """Return the resources of the application, with the references to them if any of them is to be removed."""
    own = Survey(
        configs=list(_own_resources(references.sagemaker, "EndpointConfig", scope)),
        models=list(_own_resources(references.sagemaker, "Model", scope)),
        digests=set(_digests(s3, scope)),
    )
    return _with_references(references, scope, own, keep) if unprotected(own, keep) else own


def _with_references(references: References, scope: Scope, found: Survey, keep: Kept) -> Survey:
    """Return the survey with the references of all resources of the account as they are now."""
    candidates, sagemaker = unprotected(found, keep), references.sagemaker
    configs, models = set(candidates.endpoint_configs), set(candidates.models)
    folders = [f"s3://{scope.bucket}/{scope.folder}/{digest}/" for digest in candidates.digests]

    def uris(model: dict[str, Any]) -> set[str]:
        return _s3_uris(sagemaker, scope.account, model)

    def is_of_candidate(found: set[str]) -> bool:
        return any(overlaps(uri, folder) for uri in found for folder in folders)

    def is_used(found: set[str]) -> bool:
        return bool(found & {*models, ANY_MODEL}) or is_of_candidate(found)

    in_use = references.read("Endpoint", configs_of, lambda found: bool(found & configs))
    components = references.read("InferenceComponent", used_by, is_used)
    return dataclasses.replace(
        found,
        configs_in_use={config for found in in_use.values() for config in found},
        models_of_configs=references.read("EndpointConfig", models_of, lambda found: bool(found & models)),
        uris_of_models=references.read("Model", uris, is_of_candidate),
        used_by_components={name for found in components.values() for name in found},
    )


def find_superseded(found: Survey, scope: Scope, keep: Kept) -> Superseded:
    """Return the superseded resources of a survey."""
    if not unprotected(found, keep):
        return Superseded([], [], [])
    return superseded(found, keep, f"s3://{scope.bucket}/{scope.folder}")


def remove(references: References, s3: Any, scope: Scope, found: Survey, keep: Kept) -> tuple[Superseded, int]:
    """Remove the superseded resources of a survey, and return them and the number of deleted objects.

    A resource is removed before those that it refers to, so that an interruption leaves nothing unusable. The survey
    takes a while, so the references are read again before each kind is removed: someone may have created an endpoint.
    In a versioned bucket an object gets a delete marker; the bucket's lifecycle rule expires its noncurrent version.
    """
    configs = models = digests = list[str]()
    sagemaker = references.sagemaker
    if find_superseded(found, scope, keep).endpoint_configs:
        found = _with_references(references, scope, found, keep)
        configs = find_superseded(found, scope, keep).endpoint_configs
        for name in configs:
            none_if_not_found(sagemaker.delete_endpoint_config, EndpointConfigName=name)
        found = _without(found, configs, [])
    if find_superseded(found, scope, keep).models:
        found = _with_references(references, scope, found, keep)
        models = find_superseded(found, scope, keep).models
        for name in models:
            none_if_not_found(sagemaker.delete_model, ModelName=name)
        found = _without(found, [], models)
    if find_superseded(found, scope, keep).digests:
        found = _with_references(references, scope, found, keep)
        digests = find_superseded(found, scope, keep).digests
    objects = sum(_delete_objects(s3, scope, f"{scope.folder}/{digest}/") for digest in digests)
    return Superseded(configs, models, digests), objects


def _without(found: Survey, configs: list[str], models: list[str]) -> Survey:
    """Return the survey without removed endpoint configs and models."""
    return dataclasses.replace(
        found,
        configs=[each for each in found.configs if each.name not in configs],
        models=[each for each in found.models if each.name not in models],
        models_of_configs={name: of for name, of in found.models_of_configs.items() if name not in configs},
        uris_of_models={name: of for name, of in found.uris_of_models.items() if name not in models},
    )


def _own_resources(sagemaker: Any, kind: str, scope: Scope) -> Iterator[OwnResource]:
    prefix = resource_prefix(scope.application, scope.stage)
    operation = {"EndpointConfig": "list_endpoint_configs", "Model": "list_models"}[kind]
    pages = sagemaker.get_paginator(operation).paginate(NameContains=prefix, **PAGES)
    for summary in (summary for page in pages for summary in page[f"{kind}s"]):
        name = summary[f"{kind}Name"]
        if not name.startswith(prefix):
            continue
        # The resource may have been deleted in the meantime.
        tags = none_if_not_found(tags_of, sagemaker=sagemaker, arn=summary[f"{kind}Arn"]) or {}
        is_own = tags.get(EXECUTION_TAG, "").startswith(scope.executions)
        if is_own and tags.get(APPLICATION_TAG) == scope.application:
            yield OwnResource(name, tags.get(DIGEST_TAG, ""))


def _digests(s3: Any, scope: Scope) -> Iterator[str]:
    folder = f"{scope.folder}/"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=scope.bucket, Prefix=folder, Delimiter="/", ExpectedBucketOwner=scope.account
    )
    for page in pages:
        for common_prefix in page.get("CommonPrefixes", []):
            name = common_prefix["Prefix"].removeprefix(folder).rstrip("/")
            if _DIGEST.fullmatch(name):
                yield name


def configs_of(endpoint: dict[str, Any]) -> set[str]:
    """Return the endpoint config of an endpoint, and that of its pending deployment, if any."""
    pending = (endpoint.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    return {name for name in (endpoint.get("EndpointConfigName"), pending) if name}


def models_of(config: dict[str, Any]) -> set[str]:
    """Return the names of the models of an endpoint config."""
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    return {variant["ModelName"] for variant in variants if variant.get("ModelName")}


def used_by(component: dict[str, Any]) -> set[str]:
    """Return the names of the models of an inference component, and the S3 URIs of its containers.

    They include ANY_MODEL while it is being updated: its description has only the previous specification.
    """
    specifications = [component.get("Specification") or {}, *component.get("Specifications", [])]
    models = {specification["ModelName"] for specification in specifications if specification.get("ModelName")}
    changing = {ANY_MODEL} if component["InferenceComponentStatus"] == "Updating" else set()
    return models | changing | set(uris_in(specifications))


def _s3_uris(sagemaker: Any, account: str, model: dict[str, Any]) -> set[str]:
    """Return every S3 URI in a model and in the model packages of its containers, in whichever member it is."""
    containers = containers_of(model)
    names = [container["ModelPackageName"] for container in containers if container.get("ModelPackageName")]
    # A model package of another account is a product of AWS Marketplace, whose artifacts are not in this account.
    own = [name for name in names if not name.startswith("arn:") or name.split(":")[4] == account]
    packages = [none_if_not_found(sagemaker.describe_model_package, ModelPackageName=name) for name in own]
    return set(uris_in([containers, packages]))


def uris_in(value: Any) -> Iterator[str]:
    """Yield every S3 URI in a JSON document."""
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from uris_in(member)
    elif isinstance(value, str) and value.startswith("s3://"):
        yield value


def _delete_objects(s3: Any, scope: Scope, folder: str) -> int:
    count = 0
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=scope.bucket, Prefix=folder, ExpectedBucketOwner=scope.account
    )
    # A page has at most 1,000 keys, the maximum of DeleteObjects.
    for page in pages:
        keys = [{"Key": summary["Key"]} for summary in page.get("Contents", [])]
        if not keys:
            continue
        answer = s3.delete_objects(
            Bucket=scope.bucket, Delete={"Objects": keys, "Quiet": True}, ExpectedBucketOwner=scope.account
        )
        if errors := answer.get("Errors"):
            raise TransientError(
                f"{len(errors)} objects under s3://{scope.bucket}/{folder} could not be deleted: {errors[0]}"
            )
        count += len(keys)
    return count
