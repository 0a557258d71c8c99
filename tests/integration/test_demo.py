"""The output of the demo, with test data. The demo itself is not run."""

import datetime
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from sandbox.demo import accounts as demo_accounts
from sandbox.demo import live, play
from sandbox.demo.accounts import OutcomeError, TooSlowError
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
    """A stage with these records of live models, whose endpoint serves this model."""

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


def test_each_state_is_a_line_with_its_duration_and_the_following_states_without_a_duration(
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


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_text_is_wrapped_at_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words = [f"word{number}" for number in range(60)]
    arn = f"arn:aws:states:eu-west-1:333333333333:stateMachine:{'x' * columns}"
    screen = Screen()

    for show in (screen.say, screen.good, screen.quote, screen.note, screen.failed):
        show(" ".join([*words, arn]))
        output = capsys.readouterr().out

        assert [word for word in output.split() if word not in ("✔", "│")] == [*words, arn]
        assert all(len(line) <= columns for line in output.splitlines() if arn not in line)


def test_names_of_states_are_not_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ["Quality gate passed?", "Approval required?", "Update required?"]

    with Screen().steps("a promotion") as steps:
        steps.begin("Plan copy", BEGINNING)
        for name in names:
            steps.add_detail(name)

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [f"Plan copy 0.0 s {names[0]}", f"{names[1]} {names[2]}"]


def test_live_models_are_shown_with_their_source_and_approval(capsys: pytest.CaptureFixture[str]) -> None:
    live.show(Screen(), [Stage([RECORD], RECORD["model_name"]), Stage([], None)])  # type: ignore[list-item]

    output = capsys.readouterr().out
    assert "training-job reviews-1" in output
    assert "2026-01-02 03:04:05 UTC" in output
    assert "user/operator" in output
    assert "reviews-production does not exist" in output


@pytest.mark.parametrize(("records", "model"), [([RECORD], "another"), ([RECORD], None), ([], "another")])
def test_a_promotion_table_that_differs_from_the_endpoint_is_an_error(
    records: list[dict[str, str]], model: str | None
) -> None:
    with pytest.raises(OutcomeError, match="to list the model that reviews-production serves"):
        live.show(Screen(), [Stage(records, model)])  # type: ignore[list-item]


@pytest.mark.parametrize("error", [ReadTimeoutError(endpoint_url="http://127.0.0.1:1/"), TimeoutError("It ran.")])
def test_a_slow_machine_is_named_instead_of_a_traceback(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def scene() -> int:
        raise error

    assert play.guarded(Screen(), scene) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "This machine is too busy: " in shown
    assert "Close other programs, and try again." in shown


def test_a_wait_that_ends_is_told_from_a_wrong_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_accounts.patience, "seconds", 0.0)

    with pytest.raises(TooSlowError, match="Expected: an end\nActual: none after 0 seconds"):
        demo_accounts.wait_for(lambda: None, "an end")
