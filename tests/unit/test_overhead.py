"""The time that a promotion adds to SageMaker's own, computed from the definition and the constants."""

import itertools
import re

from docs import overhead
from tests.linter import Project

STATES = Project.read().definition["States"]


def test_a_promotion_adds_less_than_25_seconds_with_warm_functions_and_45_with_cold_ones() -> None:
    total = overhead.total()

    assert 15 < total.warm < 25
    assert total.warm < total.cold < 45


def test_the_tables_of_the_documentation_are_current() -> None:
    page = overhead.PAGE.read_text()

    assert overhead.with_tables(page) == page, "run `make docs`"
    assert "below 25 seconds warm and 45 seconds cold" in page


def test_the_path_has_the_states_of_an_update_until_the_publication() -> None:
    path = overhead.path(STATES)

    assert len(path) == len(set(path))
    for state, following in itertools.pairwise(path):
        targets = [rule["Next"] for rule in STATES[state].get("Choices", [])]
        targets += [STATES[state][key] for key in ("Next", "Default") if key in STATES[state]]
        assert following in targets


def test_the_calls_of_each_function_on_the_path_have_a_duration() -> None:
    functions = [state for state in overhead.path(STATES) if ":lambda:invoke" in str(STATES[state])]

    assert list(overhead.CALLS) == functions
    assert {service for calls in overhead.CALLS.values() for service in calls} == set(overhead.CALL_SECONDS)


def test_the_end_of_a_deployment_is_noticed_after_ten_seconds() -> None:
    assert overhead.detection_seconds() == 10


def test_each_constant_names_its_source_or_is_assumed() -> None:
    for constant in overhead.CONSTANTS.values():
        assert re.match("assumed$|measured, ", constant.source)
        assert constant.seconds > 0
