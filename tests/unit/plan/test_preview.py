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
    "endpoint_config_name": "c2",
    "by_event": False,
    "quality_gate": [],
}
FAILED = [{"passed": False, "reason": "f1 is 0.1, but the least is 0.9"}]


def verdict(
    inspection: Inspection,
    *,
    duplicate: tuple[str, str] | None = None,
    approval: bool = False,
    conflicts: Any = (),
    no_rollback: str | None = None,
    **more: Any,
) -> tuple[str, str]:
    return preview.verdict(
        cast(PromotionRecord, RECORD | more),
        inspection,
        duplicate=duplicate,
        requests_approval=approval,
        conflicts=list(conflicts),
        no_rollback=no_rollback,
    )


@pytest.mark.parametrize(
    ("inspection", "circumstances", "would_be", "reason"),
    [
        (Inspection("update"), {}, "promoted", "The endpoint reviews-qa would be created with reviews-2."),
        (Inspection("update", "c1"), {}, "promoted", "would be updated from c1 to reviews-2."),
        (Inspection("busy", "c1", "It is Updating."), {}, "promoted", "It is Updating. The promotion would wait"),
        (Inspection("already_live", "c1", "It has it."), {}, "already_live", "It has it."),
        (Inspection("newer_live", "c1", "It is newer."), {}, "rejected", "It is newer."),
        (Inspection("unusable", "c1", "It is Failed."), {}, "failed", "It is Failed."),
        (
            Inspection("update", "c1"),
            {"approval": True},
            "approval_requested",
            "would be updated to reviews-2 after an approval",
        ),
        (Inspection("update", "c1"), {"quality_gate": FAILED}, "rejected", "f1 is 0.1, but the least is 0.9"),
        (
            Inspection("update", "c1"),
            {"quality_gate": FAILED, "source_kind": "rollback"},
            "promoted",
            "would be updated from c1",
        ),
        (Inspection("update", "c1"), {"conflicts": ["the model m has another Image"]}, "failed", "has another Image"),
        (
            Inspection("update", "c1"),
            {"duplicate": ("already_superseded", "It was live."), "by_event": True},
            "already_superseded",
            "It was live.",
        ),
        (
            Inspection("update", "c1"),
            {"duplicate": ("already_superseded", "It was live.")},
            "promoted",
            "would be updated from c1",
        ),
    ],
)
def test_a_preview_has_the_outcome_of_the_promotion(
    inspection: Inspection, circumstances: dict[str, Any], would_be: str, reason: str
) -> None:
    found = verdict(inspection, **circumstances)

    assert found[0] == would_be
    assert reason in found[1]


def test_a_preview_says_whether_a_failure_could_be_rolled_back() -> None:
    found = Inspection("update", "c1")

    assert verdict(found, no_rollback="It could not be rolled back.") == ("failed", "It could not be rolled back.")
    assert "tested and recorded again" in verdict(Inspection("update", "c2"))[1]
    assert preview.rollback(None, None) == "After a failure, the endpoint would be deleted."
    assert preview.rollback("c1", None) == "After a failure, the endpoint would be rolled back to c1."
    assert "no rollback to c1 would be possible: the model m no longer exists" in preview.rollback("c1", "the model m")


def test_a_change_has_both_values() -> None:
    request = {"ModelName": "new", "PrimaryContainer": {"Image": "b", "Environment": {"A": "1"}}}
    live = {"ModelName": "old", "PrimaryContainer": {"Image": "a", "Environment": {"A": "1", "B": "2"}}}

    assert preview.changes(request, live) == [
        {"what": "PrimaryContainer.Image", "from": "a", "to": "b"},
        {"what": "PrimaryContainer.Environment", "from": {"A": "1", "B": "2"}, "to": {"A": "1"}},
    ]
    assert preview.changes(request, None) == []


def test_the_path_of_a_change_can_have_an_index() -> None:
    request = {"Containers": [{"Image": "a"}, {"Image": "c"}]}
    live = {"Containers": [{"Image": "a"}, {"Image": "b"}]}

    assert preview.changes(request, live) == [{"what": "Containers[1].Image", "from": "b", "to": "c"}]


def test_a_preview_has_a_limited_size() -> None:
    long = {f"V{number}": "x" * 1000 for number in range(100)}
    changes = preview.changes({"PrimaryContainer": long}, {"PrimaryContainer": dict.fromkeys(long, "y" * 1000)})
    removed = preview.removed(Superseded(*([f"{n:064}" for n in range(20_000)],) * 3), "s3://stage/models/reviews")

    assert len(changes) == 50
    assert removed["sentence"].endswith(": 20000 endpoint configs, 20000 models, 20000 artifacts.")
    assert len(json.dumps([changes, removed])) < 64 * 1024


def test_only_kinds_with_superseded_resources_are_counted() -> None:
    nothing = preview.removed(Superseded([], [], []), "s3://stage/models/reviews")
    one = preview.removed(Superseded(["config"], [], []), "s3://stage/models/reviews")

    assert nothing["sentence"] == "Nothing would be removed."
    assert one["sentence"] == "After success, superseded resources would be removed: 1 endpoint config."


class S3:
    """A bucket with the objects `keys`."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key} for key in self.keys]}, {}]


def test_a_copy_of_20000_objects_is_summarized() -> None:
    objects = [
        PinnedObject("dev", f"{'k' * 900}/{n}", str(n), 10, '"e"', None, None, None, target=f"models/reviews/d/{n}")
        for n in range(20_000)
    ]
    s3 = S3([pinned.target for pinned in objects[::2]])
    image = Copy("upstream@sha256:1", "stage@sha256:1", "latest")

    copy = preview.copy(s3, STAGE, "models/reviews/d", objects, [image])

    assert copy["sentence"] == (
        "10,000 objects of 100,000 bytes would be copied to s3://stage/models/reviews/d/; 10,000 already exist."
    )
    assert len(copy["first"]) == 10
    assert copy["images"] == ["upstream@sha256:1 to stage@sha256:1"]
    assert len(json.dumps(copy)) < 8 * 1024


def test_copies_by_the_upstream_account_are_counted() -> None:
    objects = [
        PinnedObject(
            "dev", n, n, 10, '"e"', None, None, None, target=f"models/reviews/d/{n}", incoming=f"incoming/e/{n}"
        )
        for n in ("a", "b")
    ]

    copy = preview.copy(S3([objects[0].target]), STAGE, "models/reviews/d", objects, [])

    assert copy["sentence"] == (
        "1 objects of 10 bytes would be copied to s3://stage/models/reviews/d/; 1 already exist. The upstream account "
        "would copy 1 of them to incoming/ first."
    )


def test_secrets_are_named_and_their_values_are_not_shown() -> None:
    one = {"Image": "i", "Environment": {"HF_TOKEN": "hf_new", "THREADS": "4"}}
    live = {"PrimaryContainer": {"Image": "i", "Environment": {"HF_TOKEN": "hf_old", "THREADS": "2"}}}

    found = preview.candidate(RECORD, {"PrimaryContainer": one})
    changes = preview.changes({"PrimaryContainer": one}, live)
    added = preview.changes({"PrimaryContainer": one}, {"PrimaryContainer": {"Image": "i"}})

    assert found["secrets"] == ["Containers[0].Environment.HF_TOKEN"]
    assert changes[0]["to"] == {"HF_TOKEN": "a secret, which is not shown", "THREADS": "4"}
    assert not any(secret in str(changes + added) for secret in ("hf_new", "hf_old"))
