"""Retention: the resources of earlier promotions that are superseded and can be removed.

Retention keeps the newest successful promotions of an endpoint: the live one, and those that it can be rolled back to.
It also keeps every resource that something refers to: an endpoint, a running promotion, the journal of an interrupted
promotion, or an inference component, endpoint config or model of another owner. It removes only resources that the
state machine of this stage created, according to their tags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from promotion.errors import InvalidRequestError
from promotion.history.claims import Use
from promotion.history.lock import Holder
from promotion.record import PromotionRecord

MINIMUM_KEEP = 2
"""The live promotion, and one to roll back to."""

MAXIMUM_KEEP = 1000


@dataclasses.dataclass(frozen=True)
class Kept:
    """The resources to keep: models and endpoint configs by name, artifacts by digest, and all resources in use."""

    names: frozenset[str]
    digests: frozenset[str]
    used_digests: frozenset[str]


@dataclasses.dataclass(frozen=True)
class OwnResource:
    """A model or endpoint config that this stage created, and the candidate's digest from its tag."""

    name: str
    digest: str


ANY_MODEL = "*"
"""In place of the name of a model that is not known yet."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """The resources of an application in a stage, and the references of the account to them.

    `configs` and `models` are those that the stage created for the application, `digests` those under the
    application's prefix in the bucket. `configs_in_use` are the endpoint configs of all endpoints in the account.
    `models_of_configs` and `uris_of_models` map every endpoint config to its models, and every model to its S3 URIs.
    `used_by_components` are the names of the models of all inference components and the S3 URIs of their containers;
    ANY_MODEL among them means that a component is being updated to a model that SageMaker does not show yet.
    """

    configs: list[OwnResource]
    models: list[OwnResource]
    digests: set[str]
    configs_in_use: set[str] = dataclasses.field(default_factory=set)
    models_of_configs: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    uris_of_models: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    used_by_components: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class Superseded:
    """The resources that can be removed, in the order of removal: a resource before those that it refers to."""

    endpoint_configs: list[str]
    models: list[str]
    digests: list[str]

    def __bool__(self) -> bool:
        return bool(self.endpoint_configs or self.models or self.digests)


def validated(value: Any, where: str) -> dict[str, int]:
    """Return the setting {"Keep": <number of successful promotions>}; raise InvalidRequestError if it is not valid.

    `where` names the setting and its parameter.
    """
    if not isinstance(value, dict) or set(value) != {"Keep"}:
        raise InvalidRequestError(f'{where} must be an object with only the key "Keep", such as {{"Keep": 5}}.')
    keep = value["Keep"]
    if not isinstance(keep, int) or isinstance(keep, bool) or not MINIMUM_KEEP <= keep <= MAXIMUM_KEEP:
        raise InvalidRequestError(
            f"{where}.Keep is {str(keep)!a:.100}. It must be an integer from {MINIMUM_KEEP} (the live promotion and "
            f"one to roll back to) to {MAXIMUM_KEEP}."
        )
    return {"Keep": keep}


def kept(
    history: list[PromotionRecord],
    live: PromotionRecord | None,
    holder: Holder | None,
    uses: Iterable[Use],
    keep: int,
) -> Kept:
    """Return the resources to keep of an endpoint's promotions, with the `keep` newest successful ones.

    `history` contains all records, oldest first; `holder` is the promotion that holds the lock; `uses` are the uses by
    running executions. Promotions with the same endpoint config count once.
    """
    succeeded: dict[str, PromotionRecord] = {}
    for record in [*history, *([live] if live else [])]:
        if record["status"] == "Succeeded":
            # A promotion that was rolled back to counts from the rollback.
            succeeded.pop(record["endpoint_config_name"], None)
            succeeded[record["endpoint_config_name"]] = record
    records = list(succeeded.values())[-keep:]
    journals = [holder.record] if holder else []
    used = {use.digest for use in uses} | {journal["digest"] for journal in journals}
    return Kept(
        names=frozenset(
            [record["endpoint_config_name"] for record in records]
            + [record["model_name"] for record in records]
            # The endpoint config that a recovery restores, and that of the endpoint of a component.
            + [journal.get("previous_endpoint_config_name", "") for journal in journals]
            + [
                journal["previous_component"]["endpoint_config"]
                for journal in journals
                if journal.get("previous_component")
            ]
        ),
        digests=frozenset(record["digest"] for record in records),
        used_digests=frozenset(used),
    )


def unprotected(survey: Survey, keep: Kept) -> Superseded:
    """Return the resources that no promotion needs, including those that something else refers to."""

    def unneeded(resources: list[OwnResource]) -> list[str]:
        return sorted(
            resource.name
            for resource in resources
            if resource.name not in keep.names and resource.digest not in keep.used_digests
        )

    return Superseded(
        unneeded(survey.configs), unneeded(survey.models), sorted(survey.digests - keep.digests - keep.used_digests)
    )


def superseded(survey: Survey, keep: Kept, prefix: str) -> Superseded:
    """Return the resources that can be removed; `prefix` is the S3 URI of the application's artifacts, without "/"."""
    candidates = unprotected(survey, keep)
    configs = [name for name in candidates.endpoint_configs if name not in survey.configs_in_use]
    remaining = {name: models for name, models in survey.models_of_configs.items() if name not in configs}
    models_in_use = {model for models in remaining.values() for model in models} | survey.used_by_components
    models = [name for name in candidates.models if not {name, ANY_MODEL} & models_in_use]
    uris = {uri for name, uris in survey.uris_of_models.items() if name not in models for uri in uris}
    uris |= survey.used_by_components
    digests = [digest for digest in candidates.digests if not any(overlaps(uri, f"{prefix}/{digest}/") for uri in uris)]
    return Superseded(configs, models, digests)


def overlaps(uri: str, folder: str) -> bool:
    """Return whether `uri` is in `folder`, or is a prefix that contains it."""
    return uri.startswith(folder) or (uri.endswith("/") and folder.startswith(uri))
