"""What is mere text stays mere text: in logs, in the state machine's data; and a secret is not repeated."""

from __future__ import annotations

import functools
import io
import json
import logging
import types
from collections.abc import Iterator
from typing import Any

from jsonata import Jsonata

from promotion import step
from tests.hostile_inputs import asked, configured
from tests.hostile_inputs.trial import Hostile
from tests.linter import Project

DEFINITION = Project.read().definition

TEXTS = {
    "a line break and a line like the log's": 'x\r\n{"level":"ERROR","message":"all is lost"}',
    "quotes that end a text": '"},"Next":"Promoted"',
    "a JSONata expression": "{% $eval('$states') %}",
    "a JSONPath": "$$.Execution.Input",
    "a substitution": "${PromotionTable}",
    "a dynamic reference": "{{resolve:ssm:/production/password}}",
    "markup": "<script>alert(1)</script>",
    "escape codes": "\x1b[31mred",
    "U+202E": "re\u202eview",
    "a backslash before a quote": '\\", "b": "',
}
SECRET = "wJalrXUtnFEMI/K7MDENG"  # noqa: S105 - of AWS's documentation, in part


def logged(act: Any) -> str:
    """What the functions' log has of it."""
    written = io.StringIO()
    streams = [handler for handler in step.logger.handlers if isinstance(handler, logging.StreamHandler)]
    before = [handler.setStream(written) for handler in streams]
    try:
        act()
    finally:
        for handler, stream in zip(streams, before, strict=True):
            handler.setStream(stream)
    return written.getvalue()


def logs() -> Iterator[Hostile]:
    for what, text in TEXTS.items():
        act = functools.partial(logged, functools.partial(step.logger.info, "Request read", request=text))

        def is_one_line(lines: str, text: str = text) -> bool:
            (line,) = lines.splitlines()
            return bool(json.loads(line)["request"] == text and json.loads(line)["level"] == "INFO")

        yield Hostile("log", what, act, "one line of JSON, in which it is a text", None, is_one_line)

    def call() -> None:
        context = types.SimpleNamespace(
            function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="id"
        )
        step.step(lambda event, _: event)({"input": {"training_job": "x", "password": SECRET}}, context)

    how = "no function logs what it was called with"
    act = functools.partial(logged, call)
    yield Hostile("log", "a secret beside what is asked for", act, how, None, lambda lines: SECRET not in lines)


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

        yield Hostile("state machine", f"a comment and a name of {what}", act, "carried as a text", None, is_text)
    (tried,) = DEFINITION["States"]["Recovery attempts exhausted?"]["Choices"]
    phrase = "Step Functions Execution Status Change " * 9
    for what, given in (
        ("by hand", {"training_job": phrase}),
        ("in an event", asked.event(detail={"TrainingJobName": "x", "note": phrase})),
        ("that is a text", phrase),
        ("that is a list", [phrase]),
    ):
        act = functools.partial(evaluated, tried["Condition"], states={"input": given})
        how = "it is read like any other, and not taken for a recovery's"
        yield Hostile(
            "state machine", f"an input {what} full of a recovery's words", act, how, None, lambda found: not found
        )


def secrets() -> Iterator[Hostile]:
    for what, act, says in (
        (
            "beside what is asked for by hand",
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
            "Environment.AWS_SECRET_ACCESS_KEY says as whom",
        ),
    ):
        yield Hostile("secret", what, act, says, hides=SECRET)


def every() -> Iterator[Hostile]:
    yield from logs()
    yield from states()
    yield from secrets()
