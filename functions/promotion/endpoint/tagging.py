"""The tags of an endpoint and its config: those of the candidate and of the settings, kept current by each promotion.

The tags of this project are not among them: they say whose endpoint it is, and are set only with its creation. A change
of the endpoint's tags is part of the journal, so that a rollback restores exactly what the promotion has changed.
"""

from __future__ import annotations

from typing import Any

from promotion.endpoint.model import tag_list
from promotion.endpoint.sagemaker import tags as tags_of
from promotion.record import PromotionRecord
from promotion.source.candidate import Candidate, own_tags

Changes = dict[str, list[str | None]]
"""The value of each tag before and after a promotion, by its key; None stands for no tag."""


def of_settings(settings: dict[str, Any]) -> dict[str, str]:
    """Return `Tags` of the settings by their keys."""
    return {tag["Key"]: tag["Value"] for tag in settings.get("Tags", [])}


def wanted(candidate: Candidate, settings: dict[str, Any]) -> dict[str, str]:
    """Return the tags of the candidate's endpoint and of its endpoint config; the settings override the candidate."""
    return candidate.tags | of_settings(settings)


def changes(
    current: dict[str, str], before: dict[str, str], after: dict[str, str], settings: dict[str, Any]
) -> Changes:
    """Return the changes from the `current` tags of an endpoint to those `after` a promotion.

    `before` are the tags of the live promotion. They are removed if they are no longer wanted. A value that someone
    else has set stays, unless the settings name another one.
    """
    explicit = of_settings(settings)
    theirs = {key for key, value in current.items() if value != before.get(key) and key not in explicit}
    removed = dict.fromkeys((key for key in before if key in current and key not in after), None)
    return {
        key: [current.get(key), value]
        for key, value in {**removed, **after}.items()
        if key not in theirs and current.get(key) != value
    }


def planned(
    record: PromotionRecord, live: PromotionRecord | None, current: dict[str, str], settings: dict[str, Any]
) -> tuple[PromotionRecord, Changes]:
    """Return the record with the tags that the endpoint will have, and the changes from its `current` ones.

    The record of a rollback is that of the earlier promotion, whose settings may have changed since.
    """
    tags = record.get("tags", {}) | of_settings(settings)
    return record | {"tags": tags}, changes(current, (live or {}).get("tags", {}), tags, settings)


def apply(sagemaker: Any, arn: str, changed: Changes) -> None:
    """Make the changes that nobody else has made meanwhile to the tags of a resource."""
    if not changed:
        return
    current = tags_of(sagemaker, arn)
    pending = {key: value for key, (old, value) in changed.items() if current.get(key) == old}
    if added := {key: value for key, value in pending.items() if value is not None}:
        sagemaker.add_tags(ResourceArn=arn, Tags=tag_list(added))
    if removed := sorted(key for key, value in pending.items() if value is None):
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=removed)


def restore(sagemaker: Any, arn: str, changed: Changes) -> None:
    """Undo the changes that `apply` has made."""
    apply(sagemaker, arn, {key: [new, old] for key, (old, new) in changed.items()})


def replace(sagemaker: Any, arn: str, tags: list[dict[str, str]]) -> None:
    """Replace the tags of an endpoint config of this stage by `tags` of its request, except those of this project."""
    after, current = (own_tags(each) for each in ({t["Key"]: t["Value"] for t in tags}, tags_of(sagemaker, arn)))
    apply(sagemaker, arn, changes(current, current, after, {}))
