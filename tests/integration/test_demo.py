"""What the demo shows, made of things given here; the demo itself is a command of its own."""

import datetime
from typing import Any

import pytest

from sandbox.demo import live
from sandbox.demo.accounts import OutcomeError
from sandbox.demo.following import History
from sandbox.demo.screen import Screen

BEGINNING = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
RECORD = {
    "endpoint": "reviews-production",
    "model_name": "reviews-production-20260102-0304-0123abcd",
    "source_arn": "arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-1",
    "ended_at": "2026-01-02T03:04:05.678Z",
    "approval": "8b1e",
    "approved_by": "arn:aws:iam::333333333333:user/operator",
    "approval_comment": "go",
}


class Stage:
    """A stage with these records of what is live, and this model behind its endpoint."""

    label, number, endpoint = "production", "333333333333", "reviews-production"

    def __init__(self, records: list[dict[str, str]], model: str | None) -> None:
        self._records = records
        self._model = model

    def live(self) -> list[dict[str, str]]:
        return self._records

    def serving(self) -> str | None:
        return self._model


def event(kind: str, seconds: float, name: str = "") -> dict[str, Any]:
    details = {"stateEnteredEventDetails": {"name": name}, "stateExitedEventDetails": {"name": name}}
    return {"type": kind, "timestamp": BEGINNING + datetime.timedelta(seconds=seconds), **details}


def test_each_state_is_a_line_with_its_seconds_and_what_takes_none_stands_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Screen().steps("a promotion") as steps:
        history = History(steps)
        events = [
            event("TaskStateEntered", 0, "Plan copy"),
            event("TaskStateExited", 1.5, "Plan copy"),
            event("ChoiceStateEntered", 1.5, "Approval required?"),
            event("MapStateEntered", 1.5, "Copy artifacts"),
        ]
        history.show(events)
        events += [
            event("TaskStateEntered", 1.6, "Copy batch"),
            event("TaskStateExited", 1.9, "Copy batch"),
            event("MapStateExited", 2, "Copy artifacts"),
            event("SucceedStateEntered", 2, "Promoted"),
            event("ExecutionSucceeded", 2),
        ]
        history.show(events)

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["", "a promotion", "Plan copy 1.5 s Approval required?", "Copy artifacts 0.5 s Copy batch"]
    assert history.ended
    assert history.last_state == "Promoted"


def test_the_table_says_what_is_live_since_when_and_by_whom(capsys: pytest.CaptureFixture[str]) -> None:
    live.show(Screen(), [Stage([RECORD], RECORD["model_name"]), Stage([], None)])  # type: ignore[list-item]

    shown = capsys.readouterr().out
    assert "training-job reviews-1" in shown
    assert "2026-01-02 03:04:05 UTC" in shown
    assert "user/operator" in shown
    assert "nothing yet" in shown


@pytest.mark.parametrize(("records", "model"), [([RECORD], "another"), ([RECORD], None), ([], "another")])
def test_a_table_that_is_not_what_the_endpoint_serves_is_not_shown(
    records: list[dict[str, str]], model: str | None
) -> None:
    with pytest.raises(OutcomeError, match="to list what reviews-production serves"):
        live.show(Screen(), [Stage(records, model)])  # type: ignore[list-item]
