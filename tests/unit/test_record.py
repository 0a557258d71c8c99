"""The promotion record names every key, who writes it and who reads it, as the deployed files do."""

import pytest

from docs import record
from promotion.record import NEARLY_EVERY_STATE
from tests import linter
from tests.support import record_usage

PROJECT = linter.Project.read()
KEYS = record.keys()
WRITERS, READERS = record_usage.writers(PROJECT), record_usage.readers(PROJECT)


def test_every_key_that_is_written_is_in_the_record() -> None:
    assert set(WRITERS) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_written_by_whom_the_record_says(key: str) -> None:
    _, _, written_by, _ = KEYS[key]

    assert set(written_by.split(", ")) == WRITERS[key]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_read_by_whom_the_record_says(key: str) -> None:
    _, _, _, read_by = KEYS[key]

    if read_by == NEARLY_EVERY_STATE:
        assert len(READERS[key]) > len(list(PROJECT.states("Task"))) / 2
    else:
        assert set(filter(None, read_by.split(", "))) == READERS.get(key, set())


def test_the_record_in_the_architecture_is_that_of_today() -> None:
    page = record.PAGE.read_text()

    assert record.with_table(page) == page, "run `make docs`"
    assert all(f"| `{key}` |" in page for key in KEYS)
