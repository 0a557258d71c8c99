"""The tables of docs/faults.md are the totals of a results file."""

import json
from typing import Any

from docs import faults
from tests.faults import judging
from tests.faults.scenarios import SCENARIOS

NUMBERS = {"hits": 1, "errors": []}


def row(case: str, outcome: str, **more: Any) -> str:
    return json.dumps(NUMBERS | {"case": case, "outcome": outcome} | more)


LINES = [
    json.dumps({"possible": {"update": 1000, "rollback": 500}}),
    row("update: access denied: RoleA sagemaker:CreateModel 1", judging.RESTORED, errors=["still locked"]),
    row("update: access denied: RoleA sagemaker:CreateModel 1", judging.RESTORED),
    row("update: 500 once: RoleA sagemaker:CreateModel 1", judging.PROMOTED),
    row("update: 500 once: RoleA sagemaker:CreateModel 2", judging.PROMOTED, hits=0),
    row("rollback: endpoint deleted: RoleB dynamodb:PutItem 1", judging.CHANGED),
]


def test_the_totals_are_those_of_the_last_result_of_each_trial() -> None:
    scenarios, kinds = faults.tables(LINES).split("\n\n")[1:]

    assert scenarios.splitlines() == [
        "| Scenario | possible | run | promoted | restored | changed, reported | not reached | incorrect |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        "| update | 1,000 | 3 | 1 | 1 | 0 | 1 | 0 |",
        "| rollback | 500 | 1 | 0 | 0 | 1 | 0 | 0 |",
        "| all | 1,500 | 4 | 1 | 1 | 1 | 1 | 0 |",
    ]
    assert kinds.splitlines()[2:] == [
        "| 500 once | 2 | 1 | 0 | 0 | 1 | 0 |",
        "| access denied | 1 | 0 | 1 | 0 | 0 | 0 |",
        "| endpoint deleted | 1 | 0 | 0 | 1 | 0 | 0 |",
        "| all | 4 | 1 | 1 | 1 | 1 | 0 |",
    ]


def test_the_summary_says_how_many_were_run_and_how_many_were_wrong() -> None:
    assert faults.tables(LINES).startswith("4 of 1,500 possible trials were run. None of them ended incorrectly.\n")
    assert faults.tables(LINES[1:2]).startswith("1 trials were run, and 1 ended incorrectly.\n")


def test_the_page_has_the_tables_between_its_marks() -> None:
    page = "before\n<!-- results -->\nold\n<!-- end of the results -->\nafter\n"

    assert faults.with_tables(page, LINES) == (
        f"before\n<!-- results -->\n{faults.tables(LINES)}\n<!-- end of the results -->\nafter\n"
    )


def test_the_documentation_explains_every_result_and_scenario() -> None:
    page = faults.PAGE.read_text()

    for column in faults._COLUMNS.values():
        assert f"| {column} |" in page
    for scenario in SCENARIOS:
        assert f"| {scenario} |" in page
