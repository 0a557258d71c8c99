"""The search for superseded resources in SageMaker and S3, and their removal."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.endpoint.sagemaker import tags as tags_of
from promotion.errors import TransientError
from promotion.history import claims, lock, records
from promotion.history.retention import Kept, OwnResource, Superseded, Survey, kept, superseded, unprotected
from promotion.history.table import PromotionTable
from promotion.naming import resource_prefix
from promotion.record import PromotionRecord
from promotion.source.candidate import containers_of
from promotion.source.tags import APPLICATION_TAG, DIGEST_TAG, EXECUTION_TAG

# SageMaker throttles more concurrent requests.
_REQUESTS_IN_FLIGHT = 4

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


def survey(sagemaker: Any, s3: Any, scope: Scope, keep: Kept) -> Survey:
    """Return the resources of the application, with the references to them if any of them is to be removed."""
    own = Survey(
        configs=list(_own_resources(sagemaker, "EndpointConfig", scope)),
        models=list(_own_resources(sagemaker, "Model", scope)),
        digests=set(_digests(s3, scope)),
    )
    # Only a description of every resource in the account tells which ones are referred to.
    return _with_new_references(sagemaker, scope, own) if unprotected(own, keep) else own


def _with_new_references(sagemaker: Any, scope: Scope, found: Survey) -> Survey:
    """Return the survey with the references of the endpoints as they are now, and of new endpoint configs and models.

    Endpoint configs and models never change.
    """
    known, models = found.models_of_configs, found.uris_of_models

    def uris(model: dict[str, Any]) -> set[str]:
        return _s3_uris(sagemaker, scope.account, model)

    return dataclasses.replace(
        found,
        uris_of_models=models | dict(_described(sagemaker, "Model", uris, models)),
        models_of_configs=known | dict(_described(sagemaker, "EndpointConfig", models_of, known)),
        configs_in_use=_configs_in_use(sagemaker),
    )


def find_superseded(found: Survey, scope: Scope, keep: Kept) -> Superseded:
    """Return the superseded resources of a survey."""
    if not unprotected(found, keep):
        return Superseded([], [], [])
    return superseded(found, keep, f"s3://{scope.bucket}/{scope.folder}")


def remove(sagemaker: Any, s3: Any, scope: Scope, found: Survey, keep: Kept) -> tuple[Superseded, int]:
    """Remove the superseded resources of a survey, and return them and the number of deleted objects.

    A resource is removed before those that it refers to, so that an interruption leaves nothing unusable. The survey
    takes a while, so the references are read again before each kind is removed: someone may have created an endpoint.
    In a versioned bucket an object gets a delete marker; the bucket's lifecycle rule expires its noncurrent version.
    """
    configs = models = digests = list[str]()
    if find_superseded(found, scope, keep).endpoint_configs:
        found = _with_new_references(sagemaker, scope, found)
        configs = find_superseded(found, scope, keep).endpoint_configs
        for name in configs:
            none_if_not_found(sagemaker.delete_endpoint_config, EndpointConfigName=name)
        found = _without(found, configs, [])
    if find_superseded(found, scope, keep).models:
        found = _with_new_references(sagemaker, scope, found)
        models = find_superseded(found, scope, keep).models
        for name in models:
            none_if_not_found(sagemaker.delete_model, ModelName=name)
        found = _without(found, [], models)
    if find_superseded(found, scope, keep).digests:
        found = _with_new_references(sagemaker, scope, found)
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
    for summary in _listed(sagemaker, kind, NameContains=prefix):
        name = summary[f"{kind}Name"]
        if not name.startswith(prefix):
            continue
        # The resource may have been deleted in the meantime.
        tags = none_if_not_found(tags_of, sagemaker=sagemaker, arn=summary[f"{kind}Arn"]) or {}
        is_own = tags.get(EXECUTION_TAG, "").startswith(scope.executions)
        if is_own and tags.get(APPLICATION_TAG) == scope.application:
            yield OwnResource(name, tags.get(DIGEST_TAG, ""))


def _listed(sagemaker: Any, kind: str, **request: Any) -> Iterator[dict[str, Any]]:
    operation = {"EndpointConfig": "list_endpoint_configs", "Model": "list_models", "Endpoint": "list_endpoints"}[kind]
    for page in sagemaker.get_paginator(operation).paginate(**request):
        yield from page[f"{kind}s"]


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


def _configs_in_use(sagemaker: Any) -> set[str]:
    """Return the endpoint configs of all endpoints in the account, including those of pending deployments."""
    names = set()
    for _, description in _described(sagemaker, "Endpoint", lambda description: description):
        names.add(description.get("EndpointConfigName"))
        names.add((description.get("PendingDeploymentSummary") or {}).get("EndpointConfigName"))
    return {name for name in names if name}


def _described[T](
    sagemaker: Any, kind: str, read: Callable[[dict[str, Any]], T], known: Container[str] = ()
) -> list[tuple[str, T]]:
    """Return the name of every resource of a kind in the account, and the result of `read` for its description.

    The `known` ones are left out.
    """
    operation = {
        "EndpointConfig": sagemaker.describe_endpoint_config,
        "Model": sagemaker.describe_model,
        "Endpoint": sagemaker.describe_endpoint,
    }[kind]

    def describe(name: str) -> list[tuple[str, T]]:
        description = none_if_not_found(operation, **{f"{kind}Name": name})
        return [(name, read(description))] if description else []

    names = [name for summary in _listed(sagemaker, kind) if (name := summary[f"{kind}Name"]) not in known]
    with ThreadPoolExecutor(_REQUESTS_IN_FLIGHT) as pool:
        return [pair for pairs in pool.map(describe, names) for pair in pairs]


def models_of(config: dict[str, Any]) -> set[str]:
    """Return the names of the models of an endpoint config."""
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    return {variant["ModelName"] for variant in variants if variant.get("ModelName")}


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
