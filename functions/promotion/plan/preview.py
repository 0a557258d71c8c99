"""A preview: what a promotion would copy, create, change and remove, for an operator to read."""

from __future__ import annotations

import json
import re
from typing import Any

from promotion.copying.manifest import PinnedObject
from promotion.endpoint.model import differences
from promotion.endpoint.state import Inspection
from promotion.history.retention import Superseded
from promotion.record import PromotionRecord
from promotion.source.images import Copy
from promotion.source.quality_gate import why_failed
from promotion.stage import Stage

# An execution's output has 256 KiB at most (Step Functions' quotas).
_SHOWN_CHARACTERS = 300
_SHOWN_CHANGES = 50
_SHOWN_NAMES = 50
_SHOWN_OBJECTS = 10

# Members that SageMaker adds to its descriptions.
_ADDED = {"CreationTime", "DeploymentRecommendation", "EndpointConfigArn", "ModelArn", "ResponseMetadata"}


def verdict(
    record: PromotionRecord,
    inspection: Inspection,
    *,
    again: str | None,
    asks_for_approval: bool,
    conflicts: list[str],
) -> tuple[str, str]:
    """How the promotion would end, in one word, and why.

    `again` says why an event brings nothing, if its candidate was live before, `conflicts` what is there already under
    a name it would use, with other content.
    """
    goes_back = record["source_kind"] == "rollback"
    endpoint, model = record["endpoint"], record["model_name"]
    if failed := None if goes_back else why_failed(record["quality_gate"]):
        return "rejected", failed
    if conflicts:
        return "failed", f"There is already something else under its name: {', '.join(conflicts)}."
    if inspection.outcome == "newer_live":
        return "rejected", inspection.reason
    if inspection.outcome == "already_live":
        return "already_live", inspection.reason
    if inspection.outcome == "unusable":
        return "failed", inspection.reason
    if again and record["by_event"]:
        return "already_superseded", again
    if asks_for_approval:
        return "approval_requested", f"{endpoint} would get {model} once an approver has let it in."
    if inspection.outcome == "busy":
        return "promoted", f"{inspection.reason} The promotion would wait for that, and then bring {model} onto it."
    if inspection.previous is None:
        return "promoted", f"The endpoint {endpoint} would be created with {model}."
    return "promoted", f"The endpoint {endpoint} would change from {inspection.previous} to {model}."


def candidate(record: PromotionRecord) -> dict[str, Any]:
    """What would be promoted."""
    return {
        "application": record.get("application"),
        "source_kind": record.get("source_kind"),
        "source_name": record.get("source_name"),
        "source_arn": record.get("source_arn"),
        "created_at": record.get("created_at"),
        "digest": record.get("digest"),
        "metrics": record.get("metrics"),
    }


def copy(s3: Any, stage: Stage, prefix: str, objects: list[PinnedObject], images: list[Copy]) -> dict[str, Any]:
    """What would be copied to `prefix` of the stage's bucket, in short, however many objects there are."""
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=stage.bucket, Prefix=f"{prefix}/", ExpectedBucketOwner=stage.account
    )
    existing = {found["Key"] for page in pages for found in page.get("Contents", [])}
    missing = [pinned for pinned in objects if pinned.target not in existing]
    size, to = sum(pinned.size for pinned in missing), stage.uri(f"{prefix}/")
    return {
        "sentence": f"{len(missing):,} objects of {size:,} bytes would be copied to {to}; "
        f"{len(objects) - len(missing):,} are there already.",
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
    """The members with which a model or endpoint config was created, by SageMaker's description of it."""
    return {member: value for member, value in described.items() if member not in _ADDED}


def conflicts(what: str, name: str, request: dict[str, Any], described: dict[str, Any] | None) -> list[str]:
    """Why a model or endpoint config cannot be created, if there is one of that name with other content."""
    different = differences(request, described) if described else []
    return [f"the {what} {name} has another {', '.join(different)}"] if different else []


def created(what: str, name: str, is_there: bool) -> str:
    return f"The {what} {name} is there already." if is_there else f"The {what} {name} would be created."


def removed(found: Superseded, prefix: str) -> dict[str, Any]:
    """What retention would remove after success; `prefix` is the `s3://` address of the application's artifacts."""
    artifacts = [f"{prefix}/{digest}/" for digest in found.digests]
    lists = {"endpoint_configs": found.endpoint_configs, "models": found.models, "artifacts": artifacts}
    return {
        "sentence": "After success "
        + ", ".join(f"{len(names)} {what.replace('_', ' ')}" for what, names in lists.items())
        + " would be removed as superseded.",
        **{what: names[:_SHOWN_NAMES] for what, names in lists.items()},
    }


def changes(asked: dict[str, Any], found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Where what would be live differs from what is: [{"what", "from", "to"}, …]; `found` None is nothing.

    `asked` are members of CreateModel or CreateEndpointConfig, `found` is the description of the live one.
    """
    if found is None:
        return []
    return [
        {"what": path, "from": _shown(_value(found, path)), "to": _shown(_value(asked, path))}
        for path in differences(asked, found)[:_SHOWN_CHANGES]
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


def _shown(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return value if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
