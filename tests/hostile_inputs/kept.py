"""Strings that are preserved as strings, in logs and in the state machine's data, and secrets that are not repeated."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Iterator
from typing import Any

from jsonata import Jsonata

from promotion import step
from tests.hostile_inputs import asked, configured
from tests.hostile_inputs.trial import Hostile
from tests.linter import Project
from tests.support import log_lines

DEFINITION = Project.read().definition

TEXTS = {
    "a line break and a line like the log's": 'x\r\n{"level":"ERROR","message":"all is lost"}',
    "quotes that close a string": '"},"Next":"Promoted"',
    "a JSONata expression": "{% $eval('$states') %}",
    "a JSONPath": "$$.Execution.Input",
    "a substitution": "${PromotionTableName}",
    "a dynamic reference": "{{resolve:ssm:/production/password}}",
    "markup": "<script>alert(1)</script>",
    "escape codes": "\x1b[31mred",
    "U+202E": "re\u202eview",
    "a backslash before a quote": '\\", "b": "',
}
SECRET = "wJalrXUtnFEMI/K7MDENG"  # noqa: S105 - of AWS's documentation, in part


def logged(act: Any) -> str:
    """Return the functions' log output of `act`."""
    with log_lines.captured() as written:
        act()
    return written.getvalue()


def logs() -> Iterator[Hostile]:
    for what, text in TEXTS.items():
        act = functools.partial(logged, functools.partial(step.logger.info, "Request resolved", request=text))

        def is_one_line(lines: str, text: str = text) -> bool:
            (line,) = lines.splitlines()
            return bool(json.loads(line)["request"] == text and json.loads(line)["level"] == "INFO")

        yield Hostile("log", what, act, "one line of JSON that contains it as a string", None, is_one_line)

    def call() -> None:
        context = types.SimpleNamespace(
            function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="id"
        )
        step.step(lambda event, _: event)({"input": {"training_job": "x", "password": SECRET}}, context)

    how = "no function logs its event"
    act = functools.partial(logged, call)
    yield Hostile("log", "a secret in the input", act, how, None, lambda lines: SECRET not in lines)


def evaluated(expression: str, **variables: Any) -> Any:
    compiled = Jsonata(expression.strip("{%} \n"))
    frame = compiled.create_frame()
    for name, value in variables.items():
        frame.bind(name, value)
    return compiled.evaluate(None, frame)


def states() -> Iterator[Hostile]:
    merged = DEFINITION["States"]["Plan copy"]["Assign"]["promotion"]
    for what, text in TEXTS.items():
        promotion = {"application": "reviews", "approval_comment": text}
        result = {"result": {"Payload": {"promotion": {"digest": "d", "smoke_test": text}}}}
        act = functools.partial(evaluated, merged, promotion=promotion, states=result)

        def is_text(found: Any, text: str = text) -> bool:
            return bool(found["approval_comment"] == found["smoke_test"] == text)

        yield Hostile("state machine", f"a comment and a name of {what}", act, "copied as a string", None, is_text)
    (tried,) = DEFINITION["States"]["Recovery attempts exhausted?"]["Choices"]
    phrase = "Step Functions Execution Status Change " * 9
    for what, given in (
        ("in a manual input", {"training_job": phrase}),
        ("in an event", asked.event(detail={"TrainingJobName": "x", "note": phrase})),
        ("that is a string", phrase),
        ("that is a list", [phrase]),
    ):
        act = functools.partial(evaluated, tried["Condition"], states={"input": given})
        how = "it is not mistaken for the input of a recovery"
        yield Hostile(
            "state machine", f"an input {what} full of a recovery's words", act, how, None, lambda found: not found
        )


def secrets() -> Iterator[Hostile]:
    for what, act, says in (
        (
            "in a manual input",
            functools.partial(asked.read, {"training_job": "x", "password": SECRET}),
            'unknown key "password"',
        ),
        (
            "in an unknown key of the settings",
            functools.partial(configured.read, {"Model": {"Password": SECRET}}),
            "unknown key 'Password'",
        ),
        (
            "too long for a variable",
            functools.partial(configured.read, configured.container(Environment={"TOKEN": SECRET * 50})),
            "Environment.TOKEN has 1050 characters",
        ),
        (
            "among the variables of the upstream account",
            functools.partial(configured.read, configured.container(Environment={"AWS_SECRET_ACCESS_KEY": SECRET})),
            "Environment.AWS_SECRET_ACCESS_KEY sets credentials or an endpoint",
        ),
    ):
        yield Hostile("secret", what, act, says, hides=SECRET)


def every() -> Iterator[Hostile]:
    yield from logs()
    yield from states()
    yield from secrets()
