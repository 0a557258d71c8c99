"""Wrong arguments of the command end with a suggestion and the exit code 2."""

import pytest

from command import __main__ as command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stauts"], 'there is no stauts (did you mean "status"?)'),
        (["status", "--stge", "qa"], 'unrecognized arguments: --stge (did you mean "--stage"?)'),
        (["promote", "trainingjob", "x"], 'there is no trainingjob (did you mean "training-job"?)'),
        (["history", "reviews", "--limit", "0"], "argument --limit: 0 is not a positive number"),
        (["check", "no-such-file.json"], "The file no-such-file.json cannot be read: No such file or directory."),
    ],
)
def test_wrong_arguments_end_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = command.main(arguments)
    except SystemExit as exit_:
        code = int(str(exit_.code))

    assert code == 2
    assert message in capsys.readouterr().err
