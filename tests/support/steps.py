"""The functions of a stage, invoked without the state machine."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.support.world import Stage

_SWITCH = re.compile(r'\{% "(true|false)" = "true" %\}')


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
    """Return the payload of a deployed state, with `given` instead of its expressions. Switches are true or false."""
    machine = stage.client("stepfunctions").describe_state_machine(stateMachineArn=stage.state_machine)
    definition = yaml.load(machine["definition"], yaml.CSafeLoader)
    found = definition["States"][state]["Arguments"]["Payload"]
    switches = {key: _SWITCH.fullmatch(value) for key, value in found.items() if isinstance(value, str)}
    return {**found, **{key: match[1] == "true" for key, match in switches.items() if match}, **given}


def _invoked(stage: Stage, function: str, payload: Any) -> tuple[bool, Any]:
    answer = stage.client("lambda").invoke(FunctionName=stage.physical_id(function), Payload=json.dumps(payload))
    return "FunctionError" in answer, json.loads(answer["Payload"].read())
