"""The preview of a promotion: what it would copy, create, update and remove."""

from __future__ import annotations

import json
import re
from typing import Any

from promotion.copying.manifest import PinnedObject
from promotion.endpoint.model import differences
from promotion.endpoint.state import Inspection
from promotion.history.retention import Superseded
from promotion.record import PromotionRecord
from promotion.source import unpinned
from promotion.source.images import Copy
from promotion.source.quality_gate import why_failed
from promotion.stage import Stage

# The output of an execution is limited to 256 KiB (Step Functions service quotas).
_SHOWN_CHARACTERS = 300
_SHOWN_CHANGES = 50
_SHOWN_NAMES = 50
_SHOWN_OBJECTS = 10

_NOTHING_REMOVED = "Nothing would be removed."

# Members that SageMaker adds to its descriptions.
_ADDED = {"CreationTime", "DeploymentRecommendation", "EndpointConfigArn", "ModelArn", "ResponseMetadata"}


def verdict(
    record: PromotionRecord,
    inspection: Inspection,
    *,
    duplicate: tuple[str, str] | None,
    requests_approval: bool,
    conflicts: list[str],
    no_rollback: str | None = None,
) -> tuple[str, str]:
    """Return how the promotion would end, as (outcome, reason).

    `duplicate` is the outcome and the reason of an event whose candidate was promoted before. `conflicts` are the
    resources that already exist with other content. `no_rollback` is the reason of `rollback_target.refusal`.
    """
    is_rollback = record["source_kind"] == "rollback"
    endpoint, model = record["endpoint"], record["model_name"]
    if failed := None if is_rollback else why_failed(record["quality_gate"]):
        return "rejected", failed
    if conflicts:
        return "failed", f"A resource with the same name already exists: {', '.join(conflicts)}."
    if inspection.outcome == "newer_live":
        return "rejected", inspection.reason
    if inspection.outcome == "already_live":
        return "already_live", inspection.reason
    if inspection.outcome == "unusable":
        return "failed", inspection.reason
    if duplicate and record["by_event"]:
        return duplicate
    if no_rollback:
        return "failed", no_rollback
    if requests_approval:
        return "approval_requested", f"The endpoint {endpoint} would be updated to {model} after an approval."
    if inspection.outcome == "busy":
        return "promoted", f"{inspection.reason} The promotion would wait until it is InService, then deploy {model}."
    if inspection.previous is None:
        return "promoted", f"The endpoint {endpoint} would be created with {model}."
    if inspection.previous == record["endpoint_config_name"]:
        return (
            "promoted",
            f"The model {model}, which the endpoint {endpoint} serves, would be tested and recorded again with these "
            "settings.",
        )
    return "promoted", f"The endpoint {endpoint} would be updated from {inspection.previous} to {model}."


def candidate(record: PromotionRecord, model: dict[str, Any]) -> dict[str, Any]:
    """Return the members of the record that describe the candidate, and the places of secrets in its model.

    `model` is the CreateModel request.
    """
    return {
        "application": record.get("application"),
        "source_kind": record.get("source_kind"),
        "source_name": record.get("source_name"),
        "source_arn": record.get("source_arn"),
        "created_at": record.get("created_at"),
        "digest": record.get("digest"),
        "metrics": record.get("metrics"),
        "not_pinned": record.get("not_pinned", []),
        "secrets": unpinned.secrets(model.get("Containers") or [model.get("PrimaryContainer", {})]),
    }


def copy(s3: Any, stage: Stage, prefix: str, objects: list[PinnedObject], images: list[Copy]) -> dict[str, Any]:
    """Return a summary of the copy to `prefix` in the stage's bucket, of limited size for any number of objects."""
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=stage.bucket, Prefix=f"{prefix}/", ExpectedBucketOwner=stage.account
    )
    existing = {found["Key"] for page in pages for found in page.get("Contents", [])}
    missing = [pinned for pinned in objects if pinned.target not in existing]
    size, to = sum(pinned.size for pinned in missing), stage.uri(f"{prefix}/")
    through = sum(bool(pinned.incoming) for pinned in missing)
    note = f" The upstream account would copy {through:,} of them to incoming/ first." if through else ""
    return {
        "sentence": f"{len(missing):,} objects of {size:,} bytes would be copied to {to}; "
        f"{len(objects) - len(missing):,} already exist.{note}",
        "to": to,
        "objects": len(missing),
        "bytes": size,
        "objects_already_present": len(objects) - len(missing),
        "first": [
            {"from": f"s3://{pinned.bucket}/{pinned.key}"[:_SHOWN_CHARACTERS], "bytes": pinned.size}
            for pinned in missing[:_SHOWN_OBJECTS]
        ],
        "images": [f"{image.source} to {image.target}" for image in images],
    }


def request_of(described: dict[str, Any]) -> dict[str, Any]:
    """Return the request that created a model or endpoint config, from its description."""
    return {member: value for member, value in described.items() if member not in _ADDED}


def conflicts(kind: str, name: str, request: dict[str, Any], described: dict[str, Any] | None) -> list[str]:
    """Return the differences from an existing model or endpoint config of that name, as at most one phrase."""
    different = differences(request, described) if described else []
    return [f"the {kind} {name} has another {', '.join(different)}"] if different else []


def created(kind: str, name: str, exists: bool) -> str:
    """Return a sentence about the creation of a resource."""
    return f"The {kind} {name} already exists." if exists else f"The {kind} {name} would be created."


def rollback(previous: str | None, missing: str | None) -> str:
    """Return a sentence about the rollback after a failure; `missing` comes from `history.rollback_target`."""
    if previous is None:
        return "After a failure, the endpoint would be deleted."
    if missing:
        return f"After a failure, no rollback to {previous} would be possible: {missing} no longer exists."
    return f"After a failure, the endpoint would be rolled back to {previous}."


def removed(found: Superseded, prefix: str) -> dict[str, Any]:
    """Return what retention would remove after success; `prefix` is the S3 URI of the application's artifacts."""
    artifacts = [f"{prefix}/{digest}/" for digest in found.digests]
    lists = {"endpoint_configs": found.endpoint_configs, "models": found.models, "artifacts": artifacts}
    counts = ", ".join(_counted(len(names), kind.replace("_", " ")) for kind, names in lists.items() if names)
    return {
        "sentence": f"After success, superseded resources would be removed: {counts}." if counts else _NOTHING_REMOVED,
        **{kind: names[:_SHOWN_NAMES] for kind, names in lists.items()},
    }


def _counted(number: int, plural: str) -> str:
    return f"{number} {plural.removesuffix('s') if number == 1 else plural}"


def changes(request: dict[str, Any], live: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the differences between the live and the new resource: [{"what", "from", "to"}, …].

    `request` is a CreateModel or CreateEndpointConfig request, `live` the description of the live resource, if any.
    """
    if live is None:
        return []
    return [
        {"what": path}
        | {
            side: _shown(_without_secrets(_value(given, path), path.rpartition(".")[2]))
            for side, given in (("from", live), ("to", request))
        }
        for path in differences(request, live)[:_SHOWN_CHANGES]
    ]


def _value(document: Any, path: str) -> Any:
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(document, list):
            document = document[int(part)] if int(part) < len(document) else None
        elif isinstance(document, dict):
            document = document.get(part)
        else:
            return None
    return document


def _without_secrets(value: Any, name: str) -> Any:
    """Return the value of a member without secrets of an environment; `name` is that of the member."""
    if isinstance(value, dict):
        return {key: _without_secrets(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each, name) for each in value]
    return "a secret, which is not shown" if isinstance(value, str) and unpinned.is_secret(name) else value


def _shown(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return value if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
