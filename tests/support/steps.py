"""The functions of a stage, invoked without the state machine."""

from __future__ import annotations

import json
from typing import Any

from tests.support.world import Stage


def invoke(stage: Stage, function: str, payload: Any) -> Any:
    """Return the result of a stage's function. Raise AssertionError if the function fails."""
    has_failed, result = _invoked(stage, function, payload)
    assert not has_failed, result
    return result


def failure(stage: Stage, function: str, payload: Any) -> dict[str, Any]:
    """Return the error of a stage's function, as Lambda tells it. Raise AssertionError if the function succeeds."""
    has_failed, error = _invoked(stage, function, payload)
    assert has_failed, error
    return dict(error)


def _invoked(stage: Stage, function: str, payload: Any) -> tuple[bool, Any]:
    answer = stage.client("lambda").invoke(FunctionName=stage.physical_id(function), Payload=json.dumps(payload))
    return "FunctionError" in answer, json.loads(answer["Payload"].read())
