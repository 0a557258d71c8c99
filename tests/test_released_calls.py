"""Running promotions survive an update: the functions serve the calls of the definition that was released before."""

import json

import pytest

from tests.linter import released
from tests.linter.project import TEMPLATE, Project

PROJECT = Project.read()
RELEASED = json.loads(released.RECORD.read_text())
MODULE = "functions/steps/check_endpoint.py"
LAST = 'event["last"]'


def edited(path: str, old: str, new: str) -> Project:
    text = PROJECT.texts[path]
    assert old in text
    return Project({**PROJECT.texts, path: text.replace(old, new)})


def test_every_function_serves_the_calls_of_the_released_definition() -> None:
    """If no stage runs the released definition, record the calls again: python -m tests.linter.released."""
    assert list(released.incompatible_calls(PROJECT, RELEASED)) == []


def test_the_record_has_the_payload_and_the_result_of_each_call() -> None:
    call = released.calls(PROJECT)["Check endpoint"]

    assert call["function"] == "CheckEndpointFunction"
    assert "promotion" in call["payload"] or "endpoint" in call["payload"]
    assert call["result"]


@pytest.mark.parametrize(
    ("path", "old", "new", "finding"),
    [
        (MODULE, "@step\n", '@step\n# event["new"]\n', None),
        (MODULE, LAST, f'print(event["new"]) or {LAST}', "requires event['new']"),
        (MODULE, LAST, f'print(event.get("new")) or {LAST}', None),
        (TEMPLATE, "CheckEndpointFunction", "InspectDeploymentFunction", "CheckEndpointFunction no longer exists"),
    ],
)
def test_a_change_that_running_promotions_do_not_survive_is_reported(
    path: str, old: str, new: str, finding: str | None
) -> None:
    found = list(released.incompatible_calls(edited(path, old, new), released.calls(PROJECT)))

    assert len(found) == (finding is not None)
    assert finding is None or finding in found[0]


def test_a_result_that_is_no_longer_returned_is_reported() -> None:
    call = {"function": "CheckEndpointFunction", "payload": RELEASED["Check endpoint"]["payload"], "result": ["gone"]}

    [finding] = released.incompatible_calls(PROJECT, {"Check endpoint": call})

    assert finding == f"Check endpoint: {MODULE} does not return gone."
