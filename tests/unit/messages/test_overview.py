import datetime
from typing import Any

import pytest

from promotion.history.lock import Holder, Lock
from promotion.messages import overview
from promotion.messages.overview import Contents
from promotion.record import PromotionRecord

EXECUTION = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:first"
RECORD: PromotionRecord = {
    "execution": EXECUTION,
    "application": "reviews",
    "endpoint": "reviews-qa",
    "source_kind": "training_job",
    "status": "Succeeded",
    "reason": "",
    "model_name": "reviews-2",
    "metrics": {"accuracy": 0.93},
    "smoke_test_p95_latency_ms": 12,
    "approved_by": "arn:aws:iam::222222222222:user/anna",
    "started_at": "2026-05-04T16:00:00Z",
    "ended_at": "2026-05-04T17:20:01Z",
}
NOTHING = Contents(live=[], locks=[], waiting=[], history=[])


def rows(text: str, title: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    section = text.split(f"### {title}\n\n")[1].split("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in section.splitlines()[2:]]


def test_an_empty_stage_has_nothing_to_show() -> None:
    assert overview.markdown(NOTHING) == (
        "### Locked or waiting\n\nNothing.\n\n### Last outcomes\n\nNothing.\n\n### Live\n\nNothing."
    )


def test_the_live_models_are_listed_by_application() -> None:
    other: PromotionRecord = {**RECORD, "application": "prices", "endpoint": "prices-qa"}
    del other["smoke_test_p95_latency_ms"]

    prices, reviews = rows(overview.markdown(Contents([RECORD, other], [], [], [])), "Live")

    assert prices[0].startswith("[prices](https://eu-west-1.console.aws.amazon.com/sagemaker/")
    assert reviews[0].endswith("#/endpoints/reviews-qa)")
    assert reviews[1].startswith("[reviews-2](https://eu-west-1.console.aws.amazon.com/states/")
    assert reviews[2:] == ["2026-05-04 17:20 UTC", "arn:aws:iam::222222222222:user/anna", "accuracy 0.93", "12 ms"]


def test_locks_and_approval_requests_are_listed() -> None:
    acquired = datetime.datetime(2026, 5, 4, 17, tzinfo=datetime.UTC)
    stage = Contents([], [Lock("reviews-qa", acquired, Holder(EXECUTION, 0, RECORD))], [RECORD], [])

    locked, waiting = rows(overview.markdown(stage), "Locked or waiting")

    assert (locked[0], locked[2]) == ("reviews", "2026-05-04 17:00 UTC")
    assert locked[1].startswith("[locked by a promotion](https://")
    assert (waiting[0], waiting[2]) == ("reviews", "2026-05-04 16:00 UTC")
    assert waiting[1].startswith("[approval requested](https://")


def test_the_last_ten_outcomes_are_listed_newest_first() -> None:
    history: list[Any] = [RECORD | {"ended_at": f"2026-05-{day:02}T10:00:00Z"} for day in range(1, 13)]
    history.append(RECORD | {"source_kind": "rollback", "ended_at": "2026-06-01T10:00:00Z"})
    history.append(RECORD | {"status": "Failed", "reason": "too slow", "ended_at": "2026-06-02T10:00:00Z"})

    found = rows(overview.markdown(Contents([], [], [], history)), "Last outcomes")

    assert [row[0][:10] for row in found][:3] == ["2026-06-02", "2026-06-01", "2026-05-12"]
    assert len(found) == 10
    assert found[0][2].startswith("[Failed](")
    assert found[0][4] == "too slow"
    assert found[1][2].startswith("[RolledBack](")


@pytest.mark.parametrize("text", ["a|b", "<b>x</b>", "[x](https://example.com)", "two\nlines", "x" * 1000])
def test_no_text_of_others_changes_the_table(text: str) -> None:
    (row,) = rows(overview.markdown(Contents([], [], [], [RECORD | {"reason": text}])), "Last outcomes")

    assert len(row) == 5
    assert "https://" not in row[4]
    assert "<" not in row[4].replace("\\<", "")
    assert len(row[4]) <= 210


def test_an_overview_of_fifty_applications_begins_with_what_needs_attention() -> None:
    names = [f"application-{number:02}" for number in range(50)]
    records: list[Any] = [
        RECORD
        | {
            "application": name,
            "endpoint": f"{name}-qa",
            "started_at": f"2026-05-04T16:{59 - number:02}:00Z",
            "ended_at": f"2026-05-04T17:{number:02}:00Z",
            "reason": "It was slow. " * 1000,
        }
        for number, name in enumerate(names)
    ]

    text = overview.markdown(Contents(records[::-1], [], records[:5], records * 10))

    assert text.startswith("### Locked or waiting\n")
    assert [row[0] for row in rows(text, "Locked or waiting")] == names[4::-1]
    assert [row[1] for row in rows(text, "Last outcomes")] == ["application-49"] * 10
    assert [row[0].partition("]")[0].strip("[") for row in rows(text, "Live")] == names
    # A response of a function has up to 6 MB (Lambda quotas); the list of all applications begins after one screen.
    assert len(text) < 100_000
    assert text.partition("### Live")[0].count("\n") < 30
