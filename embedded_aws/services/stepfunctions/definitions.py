"""State machine definitions: substitutions in templates, and validation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from jsonata import Jsonata
from jsonata.jexception import JException
from moto.stepfunctions.parser.api import InvalidDefinition
from moto.stepfunctions.parser.asl.parse.asl_parser import ASLParserException

from embedded_aws.services.stepfunctions.language import parse
from embedded_aws.services.stepfunctions.substitutions import substitute

# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html: fields that JSONata states do not have.
_JSONPATH_FIELDS = ("InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector", "ItemsPath", "SecondsPath")
_ENDS = ("Choice", "Succeed", "Fail")


def from_template(definition: str, substitutions: Mapping[str, Any]) -> str:
    """Return the JSON of a definition in a template, with each `${name}` replaced.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachine.html:
    the text is replaced before JSON or YAML is parsed, so `MaxAttempts: ${Attempts}` becomes a number, and
    `Retry: ${Rules}` becomes the JSON value of the substitution.
    """
    try:
        definition = substitute(definition, substitutions)
    except ValueError as error:
        raise InvalidDefinition(f"Invalid State Machine Definition: '{error}'") from error
    try:
        return json.dumps(json.loads(definition), ensure_ascii=False)
    except json.JSONDecodeError:
        return _from_yaml(definition)


def _from_yaml(definition: str) -> str:
    try:
        # CloudFormation does not resolve YAML aliases; PyYAML would.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(definition, yaml.CSafeLoader)):
            raise InvalidDefinition("Invalid State Machine Definition: 'YAML aliases are not supported'")
        return json.dumps(yaml.load(definition, yaml.CSafeLoader), ensure_ascii=False)
    except (yaml.YAMLError, TypeError) as error:
        raise InvalidDefinition(f"Invalid State Machine Definition: '{error}'") from error


def validate(definition: str) -> None:
    """Raise InvalidDefinition for a definition that CreateStateMachine refuses.

    Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
    """
    try:
        document = json.loads(definition)
        problems = list(_problems(document, "", document.get("QueryLanguage", "JSONPath")))
        if not problems:
            parse(definition)
    except json.JSONDecodeError as error:
        problems = [f"INVALID_JSON_DESCRIPTION: {error}"]
    except (ASLParserException, ValueError, RuntimeError, TypeError, AttributeError) as error:
        problems = [f"SCHEMA_VALIDATION_FAILED: {error}"]
    if problems:
        raise InvalidDefinition(f"Invalid State Machine Definition: '{', '.join(problems)}'")


def _problems(machine: Mapping[str, Any], path: str, language: str) -> Iterator[str]:
    """Yield the errors in the states of a state machine, an iteration or a branch."""
    states = machine.get("States", {})
    for location, target in [(f"{path}/StartAt", machine.get("StartAt")), *_transitions(states, path)]:
        if target not in states:
            yield f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {location}"
    for name in set(states) - _reachable(machine):
        yield f'MISSING_TRANSITION_TARGET: State "{name}" is not reachable. at {path}/States/{name}'
    for name, state in states.items():
        yield from _state_problems(state, f"{path}/States/{name}", state.get("QueryLanguage", language))


def _state_problems(state: Mapping[str, Any], path: str, language: str) -> Iterator[str]:
    if state.get("Type") not in _ENDS and ("Next" in state) == bool(state.get("End")):
        yield f"SCHEMA_VALIDATION_FAILED: Exactly one of Next and End is required at {path}"
    if language == "JSONata":
        for field in set(_JSONPATH_FIELDS) & set(state):
            yield f"SCHEMA_VALIDATION_FAILED: The field '{field}' is not supported by JSONata at {path}"
    for field, value in state.items():
        if field in ("ItemProcessor", "Iterator"):
            yield from _problems(value, f"{path}/{field}", language)
        elif field == "Branches":
            for number, branch in enumerate(value):
                yield from _problems(branch, f"{path}/Branches[{number}]", language)
        elif language == "JSONata":
            yield from _expression_problems(value, f"{path}/{field}")


def _expression_problems(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _expression_problems(member, f"{path}/{key}")
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _expression_problems(member, f"{path}[{number}]")
    elif isinstance(value, str) and (value.startswith("{%") or value.endswith("%}")):
        if not (value.startswith("{%") and value.endswith("%}")):
            yield f"SCHEMA_VALIDATION_FAILED: An expression must begin with {{% and end with %}} at {path}"
            return
        try:
            Jsonata(value[2:-2].strip())
        except JException as error:
            yield f"SCHEMA_VALIDATION_FAILED: {error} at {path}"


def _transitions(states: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, state in states.items():
        location = f"{path}/States/{name}"
        for field in ("Next", "Default"):
            if field in state:
                yield f"{location}/{field}", state[field]
        for field in ("Choices", "Catch"):
            for number, rule in enumerate(state.get(field, [])):
                yield f"{location}/{field}[{number}]/Next", rule.get("Next")


def _reachable(machine: Mapping[str, Any]) -> set[str]:
    states = machine.get("States", {})
    reachable: set[str] = set()
    new = {machine.get("StartAt", "")}
    while new:
        reachable |= new
        new = {target for _, target in _transitions({name: states.get(name, {}) for name in new})} - reachable
    return reachable
