"""Tables and times for a terminal."""

import datetime
from typing import Any

import pytest

from command import report, text

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


def test_a_table_has_aligned_columns_without_the_empty_ones() -> None:
    lines = text.table(("A", "B", "C"), [("1", "", "x"), ("22", "", "y y")]).splitlines()

    assert lines == ["A   C", "1   x", "22  y y"]
    assert text.table(("A",), []) == ""


def test_the_last_column_is_cut_at_the_width_of_the_terminal() -> None:
    (_, line) = text.table(("A", "B"), [("name", "word " * 20)], width=30).splitlines()

    assert len(line) == 30
    assert line.endswith("…")


@pytest.mark.parametrize("hostile", ["a\x1b[2Jb", "a\r\nb", "a\u202eb"])
def test_a_cell_is_one_printable_line(hostile: str) -> None:
    (_, line) = text.table(("A",), [(hostile,)]).splitlines()

    assert line.isprintable()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-5, "0 s"), (40, "40 s"), (600, "10 min"), (7200, "2 h"), (3 * 86400, "3 d")]
)
def test_an_age_has_one_unit(seconds: int, shown: str) -> None:
    assert text.age(NOW - datetime.timedelta(seconds=seconds), NOW) == shown


def test_the_status_of_50_applications_shows_those_that_need_attention_first() -> None:
    quiet: dict[str, Any] = {
        "endpoint_status": "InService",
        "live_since": "2026-11-20T10:00:00Z",
        "promotion": None,
        "approvals": [],
        "problem": None,
    }
    items = [quiet | {"application": f"app-{number:02}", "model_name": f"app-{number:02}-qa-1"} for number in range(48)]
    items.insert(0, quiet | {"application": "broken", "model_name": None, "problem": "The endpoint does not exist."})
    waits = [{"id": "1", "source_name": "job-1", "requested_at": "2026-11-22T09:00:00Z"}]
    items.insert(1, quiet | {"application": "waits", "model_name": "waits-qa-1", "approvals": waits})

    lines = report.status({"stage": "qa", "applications": items, "running": [], "alarms": ["a"]}, NOW).splitlines()

    assert lines[0] == "Stage qa: 50 applications, 1 with a problem, 1 waiting for approval."
    assert lines[2].split() == ["APPLICATION", "MODEL", "LIVE", "SINCE", "ENDPOINT", "NOW"]
    assert lines[3].endswith("PROBLEM: The endpoint does not exist.")
    assert lines[4].endswith("approval of job-1 pending for 3 h")
    assert len(lines) == 2 + 1 + 50 + 1 + 2
    assert max(map(len, lines)) < 110
