import json
from typing import Any, cast

import pytest

from promotion.copying.manifest import PinnedObject
from promotion.endpoint.state import Inspection
from promotion.history.retention import Superseded
from promotion.plan import preview
from promotion.record import PromotionRecord
from promotion.source.images import Copy
from promotion.stage import Stage

STAGE = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111")
RECORD: PromotionRecord = {
    "source_kind": "training_job",
    "endpoint": "reviews-qa",
    "model_name": "reviews-2",
    "by_event": False,
    "quality_gate": [],
}
FAILED = [{"passed": False, "reason": "f1 is 0.1, but the least is 0.9"}]


def verdict(
    inspection: Inspection, *, again: str | None = None, approval: bool = False, conflicts: Any = (), **more: Any
) -> tuple[str, str]:
    return preview.verdict(
        cast(PromotionRecord, RECORD | more),
        inspection,
        again=again,
        asks_for_approval=approval,
        conflicts=list(conflicts),
    )


@pytest.mark.parametrize(
    ("inspection", "circumstances", "would_be", "why"),
    [
        (Inspection("update"), {}, "promoted", "The endpoint reviews-qa would be created with reviews-2."),
        (Inspection("update", "c1"), {}, "promoted", "would change from c1 to reviews-2."),
        (Inspection("busy", "c1", "It is Updating."), {}, "promoted", "It is Updating. The promotion would wait"),
        (Inspection("already_live", "c1", "It has it."), {}, "already_live", "It has it."),
        (Inspection("newer_live", "c1", "It is newer."), {}, "rejected", "It is newer."),
        (Inspection("unusable", "c1", "It is Failed."), {}, "failed", "It is Failed."),
        (Inspection("update", "c1"), {"approval": True}, "approval_requested", "once an approver has let it in"),
        (Inspection("update", "c1"), {"quality_gate": FAILED}, "rejected", "f1 is 0.1, but the least is 0.9"),
        (
            Inspection("update", "c1"),
            {"quality_gate": FAILED, "source_kind": "rollback"},
            "promoted",
            "would change from c1",
        ),
        (Inspection("update", "c1"), {"conflicts": ["the model m has another Image"]}, "failed", "has another Image"),
        (Inspection("update", "c1"), {"again": "It was live.", "by_event": True}, "already_superseded", "It was live."),
        (Inspection("update", "c1"), {"again": "It was live."}, "promoted", "would change from c1"),
    ],
)
def test_a_preview_says_how_the_promotion_would_end(
    inspection: Inspection, circumstances: dict[str, Any], would_be: str, why: str
) -> None:
    found = verdict(inspection, **circumstances)

    assert found[0] == would_be
    assert why in found[1]


def test_what_changes_is_told_with_both_values() -> None:
    asked = {"ModelName": "new", "PrimaryContainer": {"Image": "b", "Environment": {"A": "1"}}}
    found = {"ModelName": "old", "PrimaryContainer": {"Image": "a", "Environment": {"A": "1", "B": "2"}}}

    assert preview.changes(asked, found) == [
        {"what": "PrimaryContainer.Image", "from": "a", "to": "b"},
        {"what": "PrimaryContainer.Environment", "from": {"A": "1", "B": "2"}, "to": {"A": "1"}},
    ]
    assert preview.changes(asked, None) == []


def test_an_index_leads_to_the_member_of_a_list() -> None:
    asked = {"Containers": [{"Image": "a"}, {"Image": "c"}]}
    found = {"Containers": [{"Image": "a"}, {"Image": "b"}]}

    assert preview.changes(asked, found) == [{"what": "Containers[1].Image", "from": "b", "to": "c"}]


def test_whatever_there_is_a_preview_stays_far_below_what_an_output_may_be() -> None:
    long = {f"V{number}": "x" * 1000 for number in range(100)}
    changes = preview.changes({"PrimaryContainer": long}, {"PrimaryContainer": dict.fromkeys(long, "y" * 1000)})
    removed = preview.removed(Superseded(*([f"{n:064}" for n in range(20_000)],) * 3), "s3://stage/models/reviews")

    assert len(changes) == 50
    assert removed["sentence"].startswith("After success 20000 endpoint configs, 20000 models, 20000 artifacts")
    assert len(json.dumps([changes, removed])) < 64 * 1024


class S3:
    """A bucket in which every second of the objects is already."""

    def __init__(self, there: list[str]) -> None:
        self.there = there

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key} for key in self.there]}, {}]


def test_a_copy_of_20000_objects_is_told_in_short() -> None:
    objects = [
        PinnedObject("dev", f"{'k' * 900}/{n}", str(n), 10, '"e"', None, None, None, target=f"models/reviews/d/{n}")
        for n in range(20_000)
    ]
    s3 = S3([pinned.target for pinned in objects[::2]])
    image = Copy("upstream@sha256:1", "stage@sha256:1", "latest")

    copy = preview.copy(s3, STAGE, "models/reviews/d", objects, [image])

    assert copy["sentence"] == (
        "10,000 objects of 100,000 bytes would be copied to s3://stage/models/reviews/d/; 10,000 are there already."
    )
    assert len(copy["first"]) == 10
    assert copy["images"] == ["upstream@sha256:1 to stage@sha256:1"]
    assert len(json.dumps(copy)) < 8 * 1024
