"""Retention: what of earlier promotions is superseded, and may go.

Kept are the newest good promotions of an endpoint (what is live and the ways back), and whatever anything refers to:
an endpoint, a promotion under way, the journal of an interrupted one, a config or model of somebody else. Only what
this stage's state machine has made, which its tags say, is ever removed.
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
"""What is live, and one way back."""

MAXIMUM_KEEP = 1000


@dataclasses.dataclass(frozen=True)
class Kept:
    """What has to stay: models and endpoint configs by name, artifacts by digest, all that is of a used digest."""

    names: frozenset[str]
    digests: frozenset[str]
    used_digests: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Made:
    """A model or endpoint config that this stage made, and the candidate's digest that is its tag."""

    name: str
    digest: str


@dataclasses.dataclass(frozen=True)
class Survey:
    """What there is in the account.

    `configs` and `models` are those this stage made for the application, `digests` those below its prefix in the
    bucket. `configs_in_use` are named by endpoints; `models_of_configs` and `uris_of_models` say what each config and
    model of the account refers to.
    """

    configs: list[Made]
    models: list[Made]
    digests: set[str]
    configs_in_use: set[str] = dataclasses.field(default_factory=set)
    models_of_configs: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    uris_of_models: dict[str, set[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Superseded:
    """What may go, in the order in which it has to go: whatever refers to something goes before that."""

    endpoint_configs: list[str]
    models: list[str]
    digests: list[str]

    def __bool__(self) -> bool:
        return bool(self.endpoint_configs or self.models or self.digests)


def validated(value: Any, where: str) -> dict[str, int]:
    """The setting {"Keep": <number of good promotions>}; raises InvalidRequestError naming `where` otherwise."""
    if not isinstance(value, dict) or set(value) != {"Keep"}:
        raise InvalidRequestError(f'{where} has to be an object like {{"Keep": 5}}.')
    keep = value["Keep"]
    if not isinstance(keep, int) or isinstance(keep, bool) or not MINIMUM_KEEP <= keep <= MAXIMUM_KEEP:
        raise InvalidRequestError(
            f"{where}.Keep is {str(keep)!a:.100}; it is a whole number from {MINIMUM_KEEP}, which is what is live and "
            f"one way back, to {MAXIMUM_KEEP}."
        )
    return {"Keep": keep}


def kept(
    history: list[PromotionRecord],
    live: PromotionRecord | None,
    holder: Holder | None,
    uses: Iterable[Use],
    keep: int,
) -> Kept:
    """What has to stay of an endpoint's promotions: the `keep` newest good ones of different configs, and the rest.

    `history` are all records, oldest first; `holder` is the promotion that holds the lock; `uses` are those of
    executions that run.
    """
    good: dict[str, PromotionRecord] = {}
    for record in [*history, *([live] if live else [])]:
        if record["status"] == "Succeeded":
            # One that was gone back to is as new as its last time.
            good.pop(record["endpoint_config_name"], None)
            good[record["endpoint_config_name"]] = record
    records = list(good.values())[-keep:]
    journals = [holder.record] if holder else []
    used = {one.digest for one in uses} | {journal["digest"] for journal in journals}
    return Kept(
        names=frozenset(
            [record["endpoint_config_name"] for record in records]
            + [record["model_name"] for record in records]
            # What an interrupted promotion is brought back to.
            + [journal.get("previous_endpoint_config_name", "") for journal in journals]
        ),
        digests=frozenset(record["digest"] for record in records),
        used_digests=frozenset(used),
    )


def unprotected(survey: Survey, keep: Kept) -> Superseded:
    """What no promotion needs, whether anything else refers to it or not."""

    def free(made: list[Made]) -> list[str]:
        return sorted(one.name for one in made if one.name not in keep.names and one.digest not in keep.used_digests)

    return Superseded(
        free(survey.configs), free(survey.models), sorted(survey.digests - keep.digests - keep.used_digests)
    )


def superseded(survey: Survey, keep: Kept, prefix: str) -> Superseded:
    """What may go. `prefix` is the `s3://` address below which the digests of the application lie, without "/"."""
    free = unprotected(survey, keep)
    configs = [name for name in free.endpoint_configs if name not in survey.configs_in_use]
    staying = {name: models for name, models in survey.models_of_configs.items() if name not in configs}
    named = {model for models in staying.values() for model in models}
    models = [name for name in free.models if name not in named]
    uris = {uri for name, uris in survey.uris_of_models.items() if name not in models for uri in uris}
    digests = [digest for digest in free.digests if not any(_lies_in(uri, f"{prefix}/{digest}/") for uri in uris)]
    return Superseded(configs, models, digests)


def _lies_in(uri: str, folder: str) -> bool:
    """Whether `uri` is below `folder`, or a prefix that has the folder below it."""
    return uri.startswith(folder) or (uri.endswith("/") and folder.startswith(uri))
