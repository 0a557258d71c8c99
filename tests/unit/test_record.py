"""The annotations of the promotion record, compared with the definition, the template and the code."""

import pytest

from docs import record
from promotion.record.annotations import NEARLY_EVERY_STATE
from tests import linter
from tests.support import record_usage

PROJECT = linter.Project.read()
KEYS = record.keys()
WRITERS, READERS = record_usage.writers(PROJECT), record_usage.readers(PROJECT)


def test_every_written_key_is_declared() -> None:
    assert set(WRITERS) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_the_declared_writers_of_a_key_are_its_writers(key: str) -> None:
    _, _, written_by, _ = KEYS[key]

    assert set(written_by.split(", ")) == WRITERS[key]


@pytest.mark.parametrize("key", KEYS)
def test_the_declared_readers_of_a_key_are_its_readers(key: str) -> None:
    _, _, _, read_by = KEYS[key]

    if read_by == NEARLY_EVERY_STATE:
        assert len(READERS[key]) > len(list(PROJECT.states("Task"))) / 2
    else:
        assert set(filter(None, read_by.split(", "))) == READERS.get(key, set())


def test_the_architecture_page_shows_the_current_record() -> None:
    page = record.PAGE.read_text()

    assert record.with_table(page) == page, "run `make docs`"
    assert all(f"| `{key}` |" in page for key in KEYS)
