"""The functions of a stage, invoked without the state machine."""

from __future__ import annotations

import json
from typing import Any

import yaml

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


def payload(stage: Stage, state: str, **given: Any) -> dict[str, Any]:
    """Return the payload of a deployed state, with `given` instead of its expressions."""
    machine = stage.client("stepfunctions").describe_state_machine(stateMachineArn=stage.state_machine)
    found = yaml.safe_load(machine["definition"])["States"][state]["Arguments"]["Payload"]
    return {**found, **given}


def _invoked(stage: Stage, function: str, payload: Any) -> tuple[bool, Any]:
    answer = stage.client("lambda").invoke(FunctionName=stage.physical_id(function), Payload=json.dumps(payload))
    return "FunctionError" in answer, json.loads(answer["Payload"].read())
